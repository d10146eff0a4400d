/* SPDX-License-Identifier: MIT */
/* Notification coalescing: when a driver is told of finished packets. */
#ifndef VIRTIO_COALESCE_H
#define VIRTIO_COALESCE_H

/*
 * A network device counts the packets that it has received or sent on a queue,
 * and the time since the first of them, and has a notification due when either
 * reaches what the driver has set (virtio 1.3, 5.1.6.5.9, "Notifications
 * Coalescing"; 1.2 has no such section). Then it starts again with the next
 * packet. A notification that is due is still one that the driver may not want
 * (2.7.7): to find that out, then, is the caller's part.
 *
 * There is one of these for each queue that coalesces. It has no clock: times
 * are the caller's, in nanoseconds, and never go back. It belongs to the thread
 * that serves the device.
 */

#include "vmm/base/util.h"

#define COALESCE_NEVER UINT64_MAX /* a point in time that does not come */

/* What the driver sets. One of them 0: tell it of every packet. */
struct coalesce_limits {
    uint32_t max_packets;
    uint32_t max_usecs;
};

/* What became of the packets so far; survives resets. */
struct coalesce_stats {
    uint64_t packets;    /* counted in all */
    uint64_t at_once;    /* notifications due without any delay */
    uint64_t delayed;    /* batches of packets that had to wait ... */
    uint64_t by_packets; /* ... until there were enough, */
    uint64_t by_time;    /* ... for as long as allowed, */
    uint64_t by_change;  /* ... until the limits changed */
};

struct coalesce {
    struct coalesce_limits limits; /* as they are in force */
    uint64_t pending;              /* packets since the last one was due */
    uint64_t since_ns;             /* when the first of these came */
    struct coalesce_stats stats;
};

/* Back to the start: limits 0, nothing pending, so nothing is ever due. */
void coalesce_reset(struct coalesce *coalesce);

/* Returns whether packets may have to wait: neither limit is 0. */
bool coalesce_is_on(const struct coalesce *coalesce);

/*
 * Counts `packets` more, at least one, that are finished at `now_ns`. Returns
 * whether a notification is due. While coalescing is off the time is not used.
 */
MUST_CHECK bool coalesce_add(struct coalesce *coalesce, uint32_t packets,
                             uint64_t now_ns);

/* Returns whether a notification has become due by `now_ns`. */
MUST_CHECK bool coalesce_expire(struct coalesce *coalesce, uint64_t now_ns);

/*
 * Returns whether packets wait, and makes them wait no more: the caller has a
 * reason of its own to tell the driver.
 */
MUST_CHECK bool coalesce_flush(struct coalesce *coalesce);

/*
 * Sets new limits. Returns whether a notification is due at `now_ns` because
 * what waits has reached them already.
 */
MUST_CHECK bool coalesce_set(struct coalesce *coalesce,
                             struct coalesce_limits limits, uint64_t now_ns);

/* Returns when coalesce_expire() will find something, or COALESCE_NEVER. */
uint64_t coalesce_deadline(const struct coalesce *coalesce);

#endif
