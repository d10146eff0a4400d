/* SPDX-License-Identifier: MIT */
/* Counting a program's system calls and memory from outside. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

#define OPTIONS                                                       \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL | \
     PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK)

const char *trace_name(unsigned number)
{
    static const char *const names[SYSCALLS_MAX] = {
#include "syscall_names.h"
    };

    return number < SYSCALLS_MAX && names[number] ? names[number] : "unknown";
}

/*
 * A process's peak in wait4's rusage is not its own: a vforked child starts
 * with its parent's memory, and execve keeps the peak. So look at the memory
 * itself, at the last moment when there is one.
 */
static void read_memory(pid_t pid, struct trace *trace)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
    trace->rss_kib = file_number(path, "Rss:");
    trace->pss_kib = file_number(path, "Pss:");
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    trace->hwm_kib = file_number(path, "VmHWM:");
}

static void note_call(pid_t pid, struct trace *trace)
{
    struct __ptrace_syscall_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0)
        die("PTRACE_GET_SYSCALL_INFO");
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
        return;
    trace->calls++;
    if (info.entry.nr < SYSCALLS_MAX)
        trace->by_number[info.entry.nr]++;
}

static void run_child(const char *const *argv, int out)
{
    dup2(out, STDOUT_FILENO);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

void trace_program(const char *const *argv, struct trace *trace)
{
    int out = open("/dev/null", O_WRONLY | O_CLOEXEC);
    pid_t child = fork(), pid;
    int status;

    if (child == 0)
        run_child(argv, out);
    memset(trace, 0, sizeof(*trace));
    /* execve's own stop; its return is over by then. */
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
        die("cannot trace %s", argv[0]);
    if (ptrace(PTRACE_SETOPTIONS, child, NULL, OPTIONS) ||
        ptrace(PTRACE_SYSCALL, child, NULL, NULL))
        die("cannot trace %s", argv[0]);
    while ((pid = waitpid(-1, &status, __WALL)) > 0) {
        long signal = 0;

        if (!WIFSTOPPED(status)) {
            if (pid == child)
                break;
            continue;
        }
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            note_call(pid, trace);
        else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
            read_memory(pid, trace);
        else if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP)
            signal = WSTOPSIG(status);
        ptrace(PTRACE_SYSCALL, pid, NULL, signal);
    }
    close(out);
}

/* ---- Processes that run already ------------------------------------------ */

/* The tracer is a process of its own, whose end lets the others go. */
static struct {
    pid_t pid;
    unsigned count;
    pid_t traced[TRACED_MAX];
    struct trace *traces; /* shared with the tracer */
} tracer;

static void count_calls(pid_t pid)
{
    for (unsigned i = 0; i < tracer.count; i++)
        if (tracer.traced[i] == pid)
            note_call(pid, &tracer.traces[i]);
}

/* Only processes of one thread are traced so. */
static void seize(void)
{
    for (unsigned i = 0; i < tracer.count; i++)
        if (ptrace(PTRACE_SEIZE, tracer.traced[i], NULL,
                   PTRACE_O_TRACESYSGOOD) ||
            ptrace(PTRACE_INTERRUPT, tracer.traced[i], NULL, NULL))
            die("cannot trace %d", tracer.traced[i]);
}

static __attribute__((noreturn)) void be_tracer(int ready)
{
    unsigned stopped = 0;
    int status;

    seize();
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        bool event = pid > 0 && status >> 16 == PTRACE_EVENT_STOP;

        if (pid < 0 || !WIFSTOPPED(status))
            continue;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            count_calls(pid);
        ptrace(PTRACE_SYSCALL, pid, NULL,
               event || WSTOPSIG(status) == (SIGTRAP | 0x80)
                   ? 0L
                   : (long)WSTOPSIG(status));
        if (event && ++stopped == tracer.count && write(ready, "", 1) != 1)
            die("cannot say that processes are traced");
    }
}

void trace_attach(const pid_t *pids, unsigned count)
{
    int pipes[2];
    char byte;

    if (count > TRACED_MAX || pipe2(pipes, O_CLOEXEC))
        die("cannot trace %u processes", count);
    tracer.count = count;
    memcpy(tracer.traced, pids, count * sizeof(*pids));
    tracer.traces =
        mmap(NULL, TRACED_MAX * sizeof(*tracer.traces), PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    tracer.pid = fork();
    if (tracer.pid == 0) {
        close(pipes[0]);
        be_tracer(pipes[1]);
    }
    close(pipes[1]);
    if (tracer.pid < 0 || read(pipes[0], &byte, 1) != 1)
        die("cannot trace");
    close(pipes[0]);
}

void trace_detach(struct trace *traces)
{
    int status;

    kill(tracer.pid, SIGKILL);
    waitpid(tracer.pid, &status, 0);
    memcpy(traces, tracer.traces, tracer.count * sizeof(*traces));
    munmap(tracer.traces, TRACED_MAX * sizeof(*tracer.traces));
}
