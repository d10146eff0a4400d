/* SPDX-License-Identifier: MIT */
/* The benchmark of `mayfly serve`: what it measures, and how that is shown. */
#ifndef BENCH_SERVE_H
#define BENCH_SERVE_H

#include "tests/bench/bench.h"

/* The same program: as a process, in VMs, in VMs without TCP/IP of its own. */
enum { SERVER_NATIVE, SERVER_VM, SERVER_STREAMS, SERVERS };

/* Whose system calls are counted. */
enum { CALLER_SUPERVISOR, CALLER_WORKER, CALLERS };

/* 10,000 requests over 1000 connections. */
struct serve_crowd {
    uint64_t asked, right; /* requests */
    double seconds;
    double p50_ms, p99_ms, longest_ms;
    char surprise[512]; /* the first answer that was not right */
};

struct serve_counts {
    double exits, resets, pages; /* a request */
    double reset_us;
    double calls[CALLERS]; /* system calls of a request */
    double by_number[CALLERS][SYSCALLS_MAX];
};

struct serve_server {
    struct samples p50_us;     /* of each round, one client */
    struct samples p99_us;     /* ... */
    struct samples per_second; /* of each round, several clients */
    struct samples us;         /* of each request, one client */
    struct serve_crowd crowd;
    struct serve_counts counts; /* not of a process */
};

struct serve_results {
    unsigned rounds, requests; /* of one client in a round */
    unsigned clients;          /* several */
    double load;
    struct serve_server servers[SERVERS];
};

extern const char *const serve_titles[SERVERS];
extern const char *const serve_names[SERVERS];

/* What one client's request takes longer than with a process, by round. */
double serve_added_us(const struct serve_results *results, unsigned server);

/* Requests a second against the process's, by round. */
double serve_ratio(const struct serve_results *results, unsigned server);

/* ---- serve_report.c ----------------------------------------------------- */

/* Prints the tables. Returns how many targets were missed. */
unsigned serve_text(FILE *to, const struct serve_results *results);

/* tests/bench/README.md names the keys. */
void serve_json(const char *path, const struct serve_results *results);

/* The distributions of latencies, for the plot. */
void serve_plot_data(const char *path, const struct serve_results *results);

#endif
