/* SPDX-License-Identifier: MIT */
/* How it is now: what the admin endpoint tells. */
#include "vmm/server/supervisor.h"

#include <time.h>

/* Of the supervisor's time, one part in so many at most is for memory. */
#define MEMORY_SHARE 20u

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void read_memory(const struct supervisor *supervisor,
                        struct supervisor_memory *memory)
{
    const struct dispatch *dispatch = &supervisor->dispatch;

    for (unsigned i = 0; i < dispatch->max; i++) {
        const struct worker *worker = &dispatch->workers[i];

        if (worker->state != WORKER_ABSENT && worker->memory_fd >= 0)
            (void)memory_add(worker->memory_fd, &memory->workers);
    }
    if (supervisor->memory_fd >= 0)
        (void)memory_add(supervisor->memory_fd, &memory->own);
}

/*
 * The kernel looks at each page of each worker, and nobody is served meanwhile:
 * who asks again and again gets what was true a moment ago.
 */
static const struct supervisor_memory *
look_at_memory(struct supervisor *supervisor)
{
    uint64_t start_ns = monotonic_ns(), end_ns;

    if (start_ns < supervisor->memory.again_ns)
        return &supervisor->memory;
    supervisor->memory = (struct supervisor_memory){0};
    read_memory(supervisor, &supervisor->memory);
    end_ns = monotonic_ns();
    supervisor->memory.again_ns = end_ns + MEMORY_SHARE * (end_ns - start_ns);
    return &supervisor->memory;
}

static void count_workers(const struct dispatch *dispatch,
                          struct metrics_gauges *gauges)
{
    static const enum metrics_workers kinds[] = {
        [WORKER_STARTING] = METRICS_STARTING,
        [WORKER_IDLE] = METRICS_IDLE,
        [WORKER_BUSY] = METRICS_BUSY,
        [WORKER_RETIRING] = METRICS_RETIRING,
    };

    for (unsigned i = 0; i < dispatch->max; i++) {
        const struct worker *worker = &dispatch->workers[i];

        if (worker->state != WORKER_ABSENT)
            gauges->workers[kinds[worker->state]]++;
    }
}

/* What they have in their pages. Returns how many have a connection of their
 * own. */
static unsigned look_at_workers(struct dispatch *dispatch)
{
    (void)own_look_all(dispatch);
    dispatch_pump(dispatch);
    return own_count_busy(dispatch);
}

size_t supervisor_write_metrics(void *context, char *to)
{
    struct supervisor *supervisor = context;
    unsigned own = look_at_workers(&supervisor->dispatch);
    const struct supervisor_memory *memory = look_at_memory(supervisor);
    const unsigned *counts = supervisor->clients.counts;
    struct metrics_gauges gauges = {
        .connections =
            {
                [METRICS_WAITING] = counts[CLIENT_SILENT],
                [METRICS_QUEUED] = counts[CLIENT_QUEUED],
                [METRICS_SERVED] = counts[CLIENT_SERVED] + own,
                [METRICS_CLOSING] = counts[CLIENT_CLOSING],
            },
        .workers_use = memory->workers,
        .own_use = memory->own,
        .log_lost = supervisor->log.lost,
    };

    count_workers(&supervisor->dispatch, &gauges);
    if (supervisor->fleet.current.exists)
        gauges.snapshot_bytes = supervisor->fleet.current.made.stored_bytes;
    return metrics_write(&supervisor->metrics, &gauges, to);
}

bool supervisor_is_healthy(void *context)
{
    const struct supervisor *supervisor = context;
    const struct dispatch *dispatch = &supervisor->dispatch;

    if (supervisor->phase != SERVING)
        return false;
    for (unsigned i = 0; i < dispatch->max; i++)
        if (dispatch->workers[i].state == WORKER_IDLE ||
            dispatch->workers[i].state == WORKER_BUSY)
            return true;
    return false;
}
