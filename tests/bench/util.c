/* SPDX-License-Identifier: MIT */
/* The clock, numbers out of files, and percentiles. */
#include "tests/bench/bench.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

void die(const char *format, ...)
{
    int error = errno;
    va_list args;

    fflush(stdout);
    fprintf(stderr, "bench: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (error)
        fprintf(stderr, ": %s", strerror(error));
    fputc('\n', stderr);
    exit(1);
}

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double file_number(const char *path, const char *key)
{
    char text[8192];
    FILE *file = fopen(path, "re");

    if (!file)
        return -1;
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[bytes] = 0;
    const char *at = strstr(text, key);
    return at ? strtod(at + strlen(key), NULL) : -1;
}

/* ---- VMs on this host ---------------------------------------------- */

#define DEBUGFS "/sys/kernel/debug"

/* KVM's directory in debugfs, which is mounted for this program and its
 * children only where it is not mounted anyway. */
static DIR *open_kvm_debugfs(void)
{
    DIR *directory = opendir(DEBUGFS "/kvm");

    if (directory || unshare(CLONE_NEWNS) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("debugfs", DEBUGFS, "debugfs", 0, NULL))
        return directory;
    return opendir(DEBUGFS "/kvm");
}

int count_vms(void)
{
    DIR *directory = open_kvm_debugfs();
    int count = 0;

    if (!directory)
        return -1;
    /* Statistics of all, and a directory PID-FD for each. */
    for (struct dirent *entry; (entry = readdir(directory));)
        count += isdigit((unsigned char)entry->d_name[0]) != 0;
    closedir(directory);
    return count;
}

/* ---- Samples ------------------------------------------------------- */

void samples_add(struct samples *samples, double value)
{
    unsigned n = samples->count;

    /* Grows at powers of two. */
    if ((n & (n - 1)) == 0) {
        size_t room = n ? 2 * (size_t)n : 1;

        samples->values =
            realloc(samples->values, room * sizeof(*samples->values));
        if (!samples->values)
            die("out of memory");
    }
    samples->values[samples->count++] = value;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double samples_percentile(const struct samples *samples, double percent)
{
    unsigned n = samples->count;
    double *sorted = malloc((n + 1) * sizeof(*sorted));

    if (!sorted)
        die("out of memory");
    if (n)
        memcpy(sorted, samples->values, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare);
    unsigned rank = (unsigned)ceil(percent / 100 * n);
    double value = n ? sorted[rank ? rank - 1 : 0] : NAN;
    free(sorted);
    return value;
}

double samples_median(const struct samples *samples)
{
    return samples_percentile(samples, 50);
}

double samples_median_ratio(const struct samples *a, const struct samples *b)
{
    struct samples ratios = {0};

    for (unsigned i = 0; i < a->count && i < b->count; i++)
        samples_add(&ratios, a->values[i] / b->values[i]);
    double median = samples_median(&ratios);
    free(ratios.values);
    return median;
}

int pin_from_env(void)
{
    const char *cpu = getenv("BENCH_CPU");
    cpu_set_t set;

    if (!cpu || !*cpu)
        return -1;
    CPU_ZERO(&set);
    CPU_SET((size_t)atoi(cpu), &set);
    if (sched_setaffinity(0, sizeof(set), &set))
        die("cannot run on CPU %s", cpu);
    return atoi(cpu);
}
