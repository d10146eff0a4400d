/* SPDX-License-Identifier: MIT */
/* What a server counts, and how Prometheus reads it. */
#ifndef VMM_SERVER_METRICS_H
#define VMM_SERVER_METRICS_H

/*
 * Counters only grow and are counted as things happen; gauges say how it is
 * now and are asked for when somebody looks. Text format 0.0.4; names and
 * meanings are in vmm/README.md. One thread: the supervisor's.
 */

#include "vmm/server/histogram.h"
#include "vmm/server/memory.h"
#include "vmm/server/record.h"

/* What happens once in a while. */
enum metrics_event {
    METRICS_COLD_START, /* an image was booted to its snapshot */
    METRICS_COLD_START_FAILED,
    METRICS_WARM_START,    /* a worker has a VM of the snapshot: READY */
    METRICS_WORKER_DEATH,  /* one ended that should not have, or was killed */
    METRICS_RELOAD,        /* a new snapshot's workers took over */
    METRICS_RELOAD_FAILED, /* what there was stays */
    METRICS_EVENT_COUNT,
};

/* Where connections are now. */
enum metrics_connections {
    METRICS_WAITING, /* for their client's first byte */
    METRICS_QUEUED,  /* for a worker */
    METRICS_SERVED,  /* in a VM, or handed to its worker in advance */
    METRICS_CLOSING, /* told 502, 503 or 504, until their client has it */
    METRICS_CONNECTIONS_COUNT,
};

/* What workers do now. */
enum metrics_workers {
    METRICS_STARTING, /* not ready yet */
    METRICS_IDLE,     /* ready */
    METRICS_BUSY,
    METRICS_RETIRING, /* get nothing new: of an old snapshot, or spent */
    METRICS_WORKERS_COUNT,
};

struct metrics_gauges {
    uint64_t connections[METRICS_CONNECTIONS_COUNT];
    uint64_t workers[METRICS_WORKERS_COUNT];
    uint64_t snapshot_bytes;       /* of the one that is served from */
    struct memory_use workers_use; /* all of them together */
    struct memory_use own_use;     /* the supervisor's */
    uint64_t log_lost;             /* lines, of the access log */
};

/* Answers of the supervisor's own: 502, 503, 504. */
#define METRICS_ANSWER_FIRST 502u
#define METRICS_ANSWER_COUNT 3u

/* Zero-initialised. */
struct metrics {
    uint64_t accepted;
    uint64_t ends[CONNECTION_END_COUNT];
    uint64_t answers[METRICS_ANSWER_COUNT];
    uint64_t events[METRICS_EVENT_COUNT];
    uint64_t in_bytes, out_bytes, exits;
    uint64_t resets, reset_pages, reset_ns;
    struct histogram total, vm, queue;
};

/* Enough for metrics_write(). */
#define METRICS_TEXT_BYTES 32768u

/* A connection was accepted. */
void metrics_connection_accepted(struct metrics *metrics);

/* It is over: once for each that was accepted. */
void metrics_connection_ended(struct metrics *metrics,
                              const struct connection_record *record);

/* A VM was reset: `pages` were copied back, in `ns`; in 0 it was not. */
void metrics_vm_reset(struct metrics *metrics, uint64_t pages, uint64_t ns);

void metrics_count(struct metrics *metrics, enum metrics_event event);

/*
 * Writes the text, METRICS_TEXT_BYTES at most, without a zero at its end.
 * Returns its length.
 */
size_t metrics_write(const struct metrics *metrics,
                     const struct metrics_gauges *gauges, char *to);

#endif
