/* SPDX-License-Identifier: MIT */
/* How it is now: what the admin endpoint tells. */
#include "vmm/server/supervisor.h"

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

        if (worker->state == WORKER_ABSENT)
            continue;
        gauges->workers[kinds[worker->state]]++;
        if (worker->memory_fd >= 0)
            (void)memory_add(worker->memory_fd, &gauges->workers_use);
    }
}

size_t supervisor_write_metrics(void *context, char *to)
{
    const struct supervisor *supervisor = context;
    const unsigned *counts = supervisor->clients.counts;
    struct metrics_gauges gauges = {
        .connections =
            {
                [METRICS_WAITING] = counts[CLIENT_SILENT],
                [METRICS_QUEUED] = counts[CLIENT_QUEUED],
                [METRICS_SERVED] = counts[CLIENT_SERVED],
                [METRICS_CLOSING] = counts[CLIENT_CLOSING],
            },
        .log_lost = supervisor->log.lost,
    };

    count_workers(&supervisor->dispatch, &gauges);
    if (supervisor->fleet.current.exists)
        gauges.snapshot_bytes = supervisor->fleet.current.made.stored_bytes;
    if (supervisor->memory_fd >= 0)
        (void)memory_add(supervisor->memory_fd, &gauges.own_use);
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
