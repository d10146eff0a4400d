/* SPDX-License-Identifier: MIT */
/* Requests to images/function, many at a time, and whether all is right. */
#ifndef TESTS_LOAD_LOAD_H
#define TESTS_LOAD_LOAD_H

/*
 * One thread keeps `connections` connections open at a time, each of which
 * makes `per_connection` requests one after the other, until `requests` were
 * made. What a request asks for is drawn from `paths` (in the same order in
 * each run), and what comes is held against what images/function/README.md
 * says: /fresh has to be clean, /random new, an /echo what was sent.
 *
 * Three more names are for clients that do not behave: /vanish-silent connects
 * and says nothing, /vanish-half goes away in the middle of its request,
 * /vanish-answer in the middle of the answer.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* How a request ended. */
enum load_outcome {
    LOAD_RIGHT,   /* with the answer that is due, or as a client who vanishes */
    LOAD_502,     /* a gateway's answer: its server failed, */
    LOAD_503,     /* ... is not there, */
    LOAD_504,     /* ... takes too long */
    LOAD_CLOSED,  /* the connection ended before the answer did */
    LOAD_REFUSED, /* there was none */
    LOAD_LATE,    /* neither answer nor end within the limit */
    LOAD_WRONG,   /* another answer, or one that was given before */
    LOAD_OUTCOMES
};

extern const char *const load_outcome_names[LOAD_OUTCOMES];

#define LOAD_PATHS_MAX 32

struct load_config {
    const char *to;           /* ADDR:PORT, [ADDR]:PORT or unix:PATH */
    const char *const *paths; /* what is asked for; one may be there twice */
    unsigned path_count;
    unsigned connections;    /* at a time */
    unsigned per_connection; /* requests, by keep-alive; 0 is 1 */
    uint64_t requests;       /* in all */
    uint64_t limit_ns;       /* for one of them; 0: 30 s */
    /* Called whenever another `progress_every` requests have ended; 0: never.
     * False ends the load: nothing more is asked. */
    bool (*progress)(void *context, uint64_t ended);
    void *context;
    uint64_t progress_every;
};

struct load_results {
    uint64_t outcomes[LOAD_PATHS_MAX][LOAD_OUTCOMES]; /* by index in paths */
    uint64_t total[LOAD_OUTCOMES];
    uint64_t ended;   /* requests */
    double seconds;   /* from the first to the last */
    float *latencies; /* of right answers, in microseconds, from connecting (or
                         sending, on a connection that is there) to the
                         answer's last byte; ascending; free() */
    size_t latency_count;
    char complaint[512]; /* the first wrong answer, in words */
};

/*
 * Runs a load to its end. Returns 0, or -errno if it could not be begun.
 * Free `results->latencies` afterwards.
 */
int load_run(const struct load_config *config, struct load_results *results);

/* The outcome that images/function, served as it should be, has for a path. */
enum load_outcome load_expected(const char *path);

/* Nearest rank, of ascending latencies; NAN of none. */
double load_percentile(const struct load_results *results, double percent);

/* A table of what became of the requests. */
void load_print(FILE *to, const struct load_config *config,
                const struct load_results *results);

/* "us count" lines, 32 to a power of two; for plots. Returns 0 or -errno. */
int load_write_histogram(const char *path, const struct load_results *results);

#endif
