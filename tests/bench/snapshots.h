/* SPDX-License-Identifier: MIT */
/* The benchmark of snapshots: what it measures, and how that is shown. */
#ifndef BENCH_SNAPSHOTS_H
#define BENCH_SNAPSHOTS_H

#include "tests/bench/bench.h"

/* How many pages what is reset has dirtied, and what a clone writes. */
enum { RESET_0, RESET_64, RESETS };
enum { CLONE_10, CLONE_30, CLONES };

/* Programs that are started and timed to their first output. */
enum { START_NATIVE, START_FLOOR, START_COLD, START_RESTORE, STARTS };

struct resets {
    struct samples us;       /* mayfly_reset() and an empty mayfly_call() */
    struct samples added_us; /* a round's median less that of the bare exit */
    double pages;            /* copied back by one reset */
    double monitor_calls;    /* system calls of both together */
};

/* A new VM, to the answer of its first call. */
struct clones {
    struct samples us;       /* a template's clone, after one was learned of */
    struct samples plain_us; /* ... when nothing was learned */
    struct samples ahead_us; /* ... when it was learned, and the VM made
                                (mayfly_create) before the clock started */
    struct samples restore_us; /* from the snapshot's file */
    struct samples destroy_us; /* the end of the first kind */
};

/* Many VMs in this process, all from one snapshot. */
struct idle_clones {
    unsigned count;
    double seconds;         /* to make them, one after the other */
    double destroy_seconds; /* to end them */
    double bare_seconds;    /* as many VMs of the floor, one exit each */
    double spread_seconds;  /* as many clones, in IDLE_PROCESSES at once */
    double pss_kib;         /* of one: this process's proportional set size */
    double available_kib;   /* ... and MemAvailable's decrease */
};

#define IDLE_PROCESSES 8u

struct snapshot_results {
    unsigned rounds;
    int cpu;       /* pinned to it; -1: not pinned */
    bool realtime; /* starts: SCHED_FIFO */
    double load;
    struct samples bare_us; /* one exit to user space and back */
    struct resets resets[RESETS];
    struct samples starts_us[STARTS];
    struct clones clones[CLONES];
    struct idle_clones idle;
    double snapshot_kib; /* the file of images/calls */
};

extern const unsigned reset_pages[RESETS], clone_pages[CLONES];
extern const char *const start_titles[STARTS];

/* ---- snapshots_exit.c: the least that an exit takes -------------------- */

struct bare_vm;

/* A VM in which nothing but exits happens. */
struct bare_vm *bare_vm_create(void);

/* One exit. */
void bare_vm_exit(struct bare_vm *vm);

void bare_vm_destroy(struct bare_vm *vm);

/* ---- snapshots_report.c ------------------------------------------------ */

/* Prints the tables. Returns how many targets were missed. */
unsigned snapshots_text(FILE *to, const struct snapshot_results *results);

/* tests/bench/README.md names the keys. */
void snapshots_json(const char *path, const struct snapshot_results *results);

/* The distributions of latencies, for the plot. */
void snapshots_plot_data(const char *path,
                         const struct snapshot_results *results);

#endif
