/* SPDX-License-Identifier: MIT */
/* The benchmark's parts: samples, starting programs, tracing, the fleet. */
#ifndef BENCH_H
#define BENCH_H

/*
 * `bench` starts every competitor in turn, round after round, so that what
 * disturbs the machine disturbs all alike, and keeps all samples. Everything
 * here runs on one thread and ends the program if the host fails it: a
 * benchmark with half of its figures is worth nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* ---- util.c -------------------------------------------------------- */

/* Prints what failed, errno's meaning if errno is set, and exits with 1. */
void die(const char *format, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t now_ns(void);

/* The number after `key` in the text file `path`, such as "MemTotal:" in
 * /proc/meminfo; -1 if there is no such file or key. */
double file_number(const char *path, const char *key);

/* Pins this program, and so all that it starts, to the processor that BENCH_CPU
 * names. Returns its number, or -1: there is no such variable. */
int pin_from_env(void);

/* KVM VMs that exist on this host; -1 if the kernel does not tell: only root
 * may read its debugfs. */
int count_vms(void);

/* A series of measurements of one thing. */
struct samples {
    double *values;
    unsigned count;
};

/* Appends one. */
void samples_add(struct samples *samples, double value);

/* The value that `percent` of the samples do not exceed; NAN if none. */
double samples_percentile(const struct samples *samples, double percent);

/* Their median; NAN if there are none. */
double samples_median(const struct samples *samples);

/* Median of a[i] / b[i]: of pairs measured in the same round. */
double samples_median_ratio(const struct samples *a, const struct samples *b);

/* ---- json.c -------------------------------------------------------- */

/* Writes `"key": value`; what is NAN is null. */
void json_number(FILE *to, const char *key, double value);

/* Writes the first lines of a report: "schema": 1, and "host". */
void json_host(FILE *to);

/* Writes `"key": {count, p10, median, p99}`. */
void json_samples(FILE *to, const char *key, const struct samples *samples);

/* Writes a block for gnuplot's `index`: the title, then "us share" lines. */
void plot_distribution(FILE *to, const char *title,
                       const struct samples *samples);

/* Writes a line of a table of targets; `relation` is "<=" or ">=". Returns 1 if
 * the target is missed, else 0. */
unsigned put_target(FILE *to, const char *figure, double value,
                    const char *relation, double limit, int decimals,
                    const char *unit);

/* ---- spawn.c ------------------------------------------------------- */

/*
 * Starts a program with its standard output on `out` and its standard error on
 * `err`, by posix_spawn: a child that shares the caller's memory until it
 * executes (CLONE_VM | CLONE_VFORK), so that the caller's size does not count.
 * Returns its process id.
 */
pid_t spawn(const char *const *argv, int out, int err);

/* Starts a program that waits until it is stopped, at the latest when this
 * program exits. */
pid_t spawn_waiting(const char *const *argv, int out);

/* Kills all of those; for signal handlers too. */
void kill_waiting(void);

/* Ends all of those by SIGTERM and reaps them; they must exit with `status`,
 * unless that is negative. */
void stop_waiting(int status);

/* One start, in microseconds from before the spawn. */
struct start {
    double first_us; /* the first byte of output was read; NAN: none came */
    double exit_us;  /* wait returned */
};

/*
 * Runs a program and times it. It must exit with `status` after having written
 * exactly `output`, or the benchmark ends.
 */
void start_timed(const char *const *argv, const char *output, int status,
                 int err, struct start *start);

/* Runs a program, reads its output to the end; returns its seconds. Stores up
 * to `room` - 1 bytes and a 0 in `text`, the number of all in `*bytes`. */
double run_reading(const char *const *argv, int err, char *text, size_t room,
                   uint64_t *bytes);

/* ---- trace.c ------------------------------------------------------- */

#define SYSCALLS_MAX 512

/* What one run of a program took, seen from outside by ptrace. */
struct trace {
    unsigned calls; /* system calls after execve, exit_group included */
    unsigned by_number[SYSCALLS_MAX];
    double rss_kib; /* resident at its end, from the page tables */
    double pss_kib; /* its share of that */
    double hwm_kib; /* the most that was resident, by the kernel's counter */
};

/* Runs a program under ptrace, all threads and its children's included. */
void trace_program(const char *const *argv, struct trace *trace);

#define TRACED_MAX 8

/* Counts the system calls of processes that run already, from now on. */
void trace_attach(const pid_t *pids, unsigned count);

/* ... until now: of each of them, without memory. They go on. */
void trace_detach(struct trace *traces);

/* A system call's name, or "unknown". */
const char *trace_name(unsigned number);

/* ---- fleet.c ------------------------------------------------------- */

/* Many VMs at once. */
struct fleet {
    unsigned count;       /* VMs alive, each having printed */
    double starts_per_s;  /* while they were being started */
    double pss_kib;       /* of one, on average */
    double alone_pss_kib; /* of one while no other is alive */
    double host_kib;      /* MemAvailable's decrease by one */
    double idle_seconds;  /* how long they were watched */
    double idle_cpu_us;   /* processor time that all of them took meanwhile */
    double stop_seconds;  /* until all were stopped and reaped */
    int vms_left;         /* VMs more than before, afterwards */
};

/*
 * Keeps `count` processes of `argv` alive at once; each is a VM that prints
 * `greeting` and then waits.
 */
void fleet_run(const char *const *argv, const char *greeting, unsigned count,
               struct fleet *fleet);

/* ---- report.c ------------------------------------------------------ */

enum { ALIVE, COLD, CASES };

/* A program that competes. */
struct competitor {
    const char *name;
    const char *label;
    const char *argv[32];
    const char *output;
    int status;
    unsigned every;      /* takes part in each n-th round */
    const char *skipped; /* why it does not take part, or NULL */
    struct samples first_us[CASES];
    struct samples exit_us[CASES];
    struct trace trace;
    bool traced;
};

/* In this order; the figures of the first three are compared by name. */
enum { FLOOR, HELLO, BOOT, MUSL, GLIBC, QEMU_KVM, QEMU_TCG, COMPETITORS };

#define STAGES_MAX 16

struct stage {
    char name[24];
    struct samples took_us;
};

/* The same program in a guest and on Linux. */
struct pair {
    double guest;
    double native;
};

struct results {
    unsigned rounds;
    int cpu;            /* all programs were pinned to it; -1: not pinned */
    bool realtime;      /* start latency: all ran as SCHED_FIFO */
    double load;        /* average of the last minute before the run */
    unsigned disturbed; /* cold rounds put off: a VM not ours was alive */
    struct competitor competitors[COMPETITORS];
    double hello_exits, boot_exits;
    double hello_pages; /* guest memory that the host had to provide */
    double hello_monitor_calls;
    struct stage stages[STAGES_MAX];
    unsigned stage_count;
    double monitor_bytes, hello_bytes; /* stripped */
    struct fleet fleet;
    struct pair getppid_ns, getppid_raw_ns, clock_ns; /* a call */
    struct pair pipe_mib_s; /* written to a pipe, and read from it */
    double pipe_exits_per_mib;
};

/* Prints the tables. Returns how many targets were missed. */
unsigned report_text(FILE *to, const struct results *results);

/* Writes everything as JSON (tests/bench/README.md names the keys). */
void report_json(const char *path, const struct results *results);

/* Writes what the plots are made of below `directory`. */
void report_plot_data(const char *directory, const struct results *results);

#endif
