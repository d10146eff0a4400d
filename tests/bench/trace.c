/* SPDX-License-Identifier: MIT */
/* Counting a program's system calls and memory from outside. */
#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
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
