/* SPDX-License-Identifier: MIT */
/* Notification coalescing: when a driver is told of finished packets. */
#include "virtio/coalesce.h"

#define NS_PER_USEC 1000u

void coalesce_reset(struct coalesce *coalesce)
{
    *coalesce = (struct coalesce){.stats = coalesce->stats};
}

bool coalesce_is_on(const struct coalesce *coalesce)
{
    return coalesce->limits.max_packets > 0 && coalesce->limits.max_usecs > 0;
}

uint64_t coalesce_deadline(const struct coalesce *coalesce)
{
    uint64_t delay_ns = coalesce->limits.max_usecs * (uint64_t)NS_PER_USEC;

    return coalesce->pending > 0 ? coalesce->since_ns + delay_ns
                                 : COALESCE_NEVER;
}

/* The packets that wait are due, for the reason that `counter` counts. */
static bool is_due(struct coalesce *coalesce, uint64_t *counter)
{
    coalesce->pending = 0;
    (*counter)++;
    return true;
}

bool coalesce_add(struct coalesce *coalesce, uint32_t packets, uint64_t now_ns)
{
    struct coalesce_stats *stats = &coalesce->stats;
    bool is_first = coalesce->pending == 0;

    stats->packets += packets;
    if (!coalesce_is_on(coalesce))
        return is_due(coalesce, &stats->at_once);
    if (is_first)
        coalesce->since_ns = now_ns;
    coalesce->pending += packets;
    if (coalesce->pending >= coalesce->limits.max_packets)
        return is_due(coalesce,
                      is_first ? &stats->at_once : &stats->by_packets);
    if (is_first)
        stats->delayed++;
    return coalesce_expire(coalesce, now_ns);
}

bool coalesce_expire(struct coalesce *coalesce, uint64_t now_ns)
{
    return coalesce_deadline(coalesce) <= now_ns &&
           is_due(coalesce, &coalesce->stats.by_time);
}

bool coalesce_flush(struct coalesce *coalesce)
{
    return coalesce->pending > 0 &&
           is_due(coalesce, &coalesce->stats.by_packets);
}

bool coalesce_set(struct coalesce *coalesce, struct coalesce_limits limits,
                  uint64_t now_ns)
{
    coalesce->limits = limits;
    if (coalesce->pending == 0)
        return false;
    if (!coalesce_is_on(coalesce) || coalesce->pending >= limits.max_packets ||
        coalesce_deadline(coalesce) <= now_ns)
        return is_due(coalesce, &coalesce->stats.by_change);
    return false;
}
