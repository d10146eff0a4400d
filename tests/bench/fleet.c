/* SPDX-License-Identifier: MIT */
/* Many VMs alive at once: what each takes, and what they do while idle. */
#include "tests/bench/bench.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IN_FLIGHT    4 /* started, and not yet heard of */
#define IDLE_SECONDS 5

static double mem_available_kib(void)
{
    return file_number("/proc/meminfo", "MemAvailable:");
}

/* Starts `count`, never more than IN_FLIGHT that have not greeted. All write
 * into one pipe: a greeting is shorter than what a pipe keeps together. */
static void start_all(const char *const *argv, size_t greeting_bytes,
                      unsigned count, int in, int out, pid_t *pids)
{
    unsigned started = 0;
    size_t got = 0;
    char text[4096];

    while (got < count * greeting_bytes) {
        while (started < count && started < got / greeting_bytes + IN_FLIGHT)
            pids[started++] = spawn_waiting(argv, out);
        ssize_t bytes = read(in, text, sizeof(text));
        if (bytes <= 0)
            die("a VM of the fleet said nothing");
        got += (size_t)bytes;
    }
}

/* Processor time of all threads of a process, in nanoseconds. */
static uint64_t cpu_ns(pid_t pid)
{
    char path[300];
    uint64_t sum = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        die("a VM of the fleet is gone");
    for (struct dirent *task; (task = readdir(tasks));) {
        if (!isdigit((unsigned char)task->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid,
                 task->d_name);
        double ns = file_number(path, "");
        if (ns < 0)
            die("%s: no scheduler statistics", path);
        sum += (uint64_t)ns;
    }
    closedir(tasks);
    return sum;
}

static uint64_t cpu_ns_of_all(const pid_t *pids, unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += cpu_ns(pids[i]);
    return sum;
}

static double mean_pss_kib(const pid_t *pids, unsigned count)
{
    double sum = 0;
    char path[64];

    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pids[i]);
        sum += file_number(path, "Pss:");
    }
    return sum / count;
}

void fleet_run(const char *const *argv, const char *greeting, unsigned count,
               struct fleet *fleet)
{
    pid_t *pids = calloc(count, sizeof(*pids));
    int vms = count_vms();
    int pipes[2];

    if (!pids || pipe2(pipes, O_CLOEXEC))
        die("cannot prepare the fleet");
    start_all(argv, strlen(greeting), 1, pipes[0], pipes[1], pids);
    fleet->alone_pss_kib = mean_pss_kib(pids, 1);
    stop_waiting(128 + SIGTERM);

    double available = mem_available_kib();
    uint64_t begin = now_ns();
    start_all(argv, strlen(greeting), count, pipes[0], pipes[1], pids);
    fleet->starts_per_s = count / ((double)(now_ns() - begin) / 1e9);
    fleet->count = count;
    sleep(1);
    fleet->host_kib = (available - mem_available_kib()) / count;
    fleet->pss_kib = mean_pss_kib(pids, count);

    uint64_t cpu = cpu_ns_of_all(pids, count);
    begin = now_ns();
    sleep(IDLE_SECONDS);
    fleet->idle_seconds = (double)(now_ns() - begin) / 1e9;
    fleet->idle_cpu_us = (double)(cpu_ns_of_all(pids, count) - cpu) / 1e3;

    begin = now_ns();
    stop_waiting(128 + SIGTERM);
    fleet->stop_seconds = (double)(now_ns() - begin) / 1e9;
    fleet->vms_left = count_vms() - vms;
    close(pipes[0]);
    close(pipes[1]);
    free(pids);
}
