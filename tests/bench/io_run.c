/* SPDX-License-Identifier: MIT */
/* Programs that run, and what they printed. */
#include "tests/bench/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 60000 /* for a program to be ready */
#define STOP_MS     5000  /* for it to end, once it was told to */
#define RUNNING_MAX 2

static volatile pid_t running[RUNNING_MAX];

/* ---- Command lines ------------------------------------------------- */

void io_push(struct io_command *command, const char *word)
{
    const unsigned room = sizeof(command->argv) / sizeof(command->argv[0]);

    if (command->count + 1 >= room)
        die("too many words");
    command->argv[command->count++] = word;
    command->argv[command->count] = NULL;
}

void io_push_mayfly(struct io_command *command, enum io_mode mode)
{
    io_push(command, IO_MAYFLY);
    io_push(command, "run");
    io_push(command, "--stats=" IO_STATS);
    if (mode == IO_INLINE || mode == IO_THREAD || mode == IO_SLEEPING) {
        io_push(command, "--io");
        io_push(command, mode == IO_INLINE ? "inline" : "thread");
    }
    if (mode == IO_SLEEPING)
        io_push(command, "--poll=0");
    if (mode == IO_MMIO)
        io_push(command, "--transport=mmio");
}

/* ---- Children ------------------------------------------------------ */

void io_kill(void)
{
    for (unsigned i = 0; i < RUNNING_MAX; i++)
        if (running[i] > 0 && kill(running[i], SIGKILL) == 0)
            waitpid(running[i], NULL, 0);
}

static void remember(pid_t from, pid_t to)
{
    static bool registered;

    if (!registered && atexit(io_kill))
        die("atexit");
    registered = true;
    for (unsigned i = 0; i < RUNNING_MAX; i++)
        if (running[i] == from) {
            running[i] = to;
            return;
        }
    die("too many programs at once");
}

void io_begin(struct io_child *child, const struct io_command *command)
{
    int pipes[2];

    memset(child, 0, sizeof(*child));
    child->name = command->argv[0];
    if (pipe2(pipes, O_CLOEXEC))
        die("pipe");
    child->pid = spawn(command->argv, pipes[1], STDERR_FILENO);
    remember(0, child->pid);
    close(pipes[1]);
    child->out = pipes[0];
}

/* Reads once, waiting so long. Returns false at the end or if it was long. */
static bool read_some(struct io_child *child, int milliseconds)
{
    struct pollfd wanted = {child->out, POLLIN, 0};
    size_t room = sizeof(child->text) - 1 - child->got;
    ssize_t bytes;

    if (poll(&wanted, 1, milliseconds) <= 0)
        return false;
    bytes = read(child->out, child->text + child->got, room);
    if (bytes > 0)
        child->got += (size_t)bytes;
    return bytes > 0;
}

/* What all its threads have run so far, as the scheduler counts it. */
static double threads_cpu_us(pid_t pid)
{
    char path[64], file[96];
    double ns = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    if (!threads)
        die("%s", path);
    for (struct dirent *entry; (entry = readdir(threads));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof(file), "%s/%.16s/schedstat", path, entry->d_name);
        double its = file_number(file, "");
        ns += its > 0 ? its : 0;
    }
    closedir(threads);
    return ns / 1e3;
}

void io_await(struct io_child *child, const char *line)
{
    uint64_t end = now_ns() + PATIENCE_MS * UINT64_C(1000000);

    while (!strstr(child->text, line)) {
        if (!read_some(child, PATIENCE_MS) || now_ns() > end) {
            errno = 0;
            die("%s printed '%s' instead of '%s'", child->name, child->text,
                line);
        }
    }
    child->ready_cpu_us = threads_cpu_us(child->pid);
}

/* The processor where a program was last that has ended and is not reaped:
 * field 39 of its stat, the 37th after the name in brackets. */
static int last_cpu(pid_t pid)
{
    char path[64], text[1024];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[bytes] = 0;
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 39; field++)
        at = strchr(at + 1, ' ');
    return at ? atoi(at) : -1;
}

static double seconds_us(struct timeval time)
{
    return (double)time.tv_sec * 1e6 + (double)time.tv_usec;
}

void io_end(struct io_child *child, int milliseconds, struct io_end *end)
{
    uint64_t late = now_ns() + (uint64_t)milliseconds * 1000000u;
    struct rusage usage;
    siginfo_t info;

    while (read_some(child, milliseconds) && now_ns() < late)
        ;
    struct pollfd closed = {child->out, 0, 0};
    if (poll(&closed, 1, 0) <= 0)
        kill(child->pid, SIGTERM);
    while (read_some(child, STOP_MS))
        ;
    if (poll(&closed, 1, 0) <= 0)
        kill(child->pid, SIGKILL);
    close(child->out);
    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT))
        die("wait");
    end->cpu = last_cpu(child->pid);
    if (wait4(child->pid, &end->status, 0, &usage) != child->pid)
        die("wait");
    remember(child->pid, 0);
    end->cpu_us = seconds_us(usage.ru_utime) + seconds_us(usage.ru_stime) -
                  child->ready_cpu_us;
}

void io_check(const struct io_child *child, const struct io_end *end)
{
    errno = 0;
    if (end->status)
        die("%s ended with wait status %#x and printed '%s'", child->name,
            (unsigned)end->status, child->text);
}

/* ---- What was printed ---------------------------------------------- */

double io_number(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    errno = 0;
    if (!at)
        die("no '%s' in '%s'", key, text);
    return strtod(at + strlen(key), NULL);
}

static const char *load_stats(void)
{
    static char text[16384];
    FILE *file = fopen(IO_STATS, "re");

    if (!file)
        die("%s", IO_STATS);
    text[fread(text, 1, sizeof(text) - 1, file)] = 0;
    fclose(file);
    return text;
}

double io_stat(const char *key)
{
    return io_number(load_stats(), key);
}

void io_add_stats(struct samples samples[IO_METRICS], const char *name,
                  double requests)
{
    static const struct {
        enum io_metric metric;
        const char *key;
    } of_device[] = {
        {IO_REQUESTS, "\"requests\": "},
        {IO_KICKS, "\"kicks\": "},
        {IO_BATCHES, "\"batches\": "},
        {IO_BATCH_MAX, "\"batch_max\": "},
        {IO_NOTIFICATIONS, "\"notifications\": "},
        {IO_SUPPRESSED, "\"suppressed\": "},
    };
    const char *text = load_stats();
    char key[64];

    samples_add(&samples[IO_DONE], requests);
    samples_add(&samples[IO_EXITS],
                io_number(text, "\"exits\": ") * 1000 / requests);
    samples_add(&samples[IO_HYPERCALLS],
                io_number(text, "\"exits_hypercall\": ") * 1000 / requests);
    samples_add(&samples[IO_UPCALLS],
                io_number(text, "\"injections\": ") * 1000 / requests);
    samples_add(&samples[IO_HAD_THREAD], io_number(text, "\"io_thread\": "));
    samples_add(&samples[IO_SLEEPS], io_number(text, "\"io_sleeps\": "));
    snprintf(key, sizeof(key), "{\"name\": \"%s\"", name);
    const char *device = strstr(text, key);
    errno = 0;
    if (!device)
        die("%s has no device %s", IO_STATS, name);
    for (unsigned i = 0; i < sizeof(of_device) / sizeof(of_device[0]); i++)
        samples_add(&samples[of_device[i].metric],
                    io_number(device, of_device[i].key));
}

/* ---- Modes --------------------------------------------------------- */

void io_each_mode(struct io_load *load,
                  void (*run)(struct io_load *, enum io_mode))
{
    static unsigned seed = 1; /* the same orders in each run */
    unsigned order[IO_MODES] = {0};

    for (unsigned i = 0; i < IO_MODES; i++) {
        unsigned j = (unsigned)rand_r(&seed) % (i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    for (unsigned i = 0; i < IO_MODES; i++)
        if (load->modes & 1u << order[i])
            run(load, (enum io_mode)order[i]);
}
