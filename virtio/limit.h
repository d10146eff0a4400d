/* SPDX-License-Identifier: MIT */
/* Rate limits: two token buckets, for operations and for bytes. */
#ifndef VIRTIO_LIMIT_H
#define VIRTIO_LIMIT_H

/*
 * A bucket fills at its rate and holds a tenth of a second's worth, and never
 * less than one token, so a device that was idle may start with a small burst.
 * An operation takes one token of the first bucket and its bytes of the
 * second. It passes if both have that much. One that is larger than a whole
 * bucket passes when the bucket is full, and leaves a debt that is paid off
 * before the next one: over any time t, no more than rate * t, the burst and
 * one such operation pass.
 *
 * What a bucket lacks is kept in billionths of a token, in 128 bits, and never
 * rounded, so any rate holds exactly, however often one asks. (A bucket of one
 * token is full again when a wait ends that was rounded up to a nanosecond;
 * the rest of that nanosecond is lost.) Time comes from the caller, who reads
 * no clock where limit_is_set() is false. A limit belongs to one thread at a
 * time.
 */

#include "vmm/base/util.h"

/* How much may pass in a second; 0: as much as there is. */
struct limit_rate {
    uint64_t ops;
    uint64_t bytes;
};

struct limit_bucket {
    uint64_t rate;             /* tokens per second; 0: no limit */
    unsigned __int128 missing; /* billionths of a token: what the bucket lacks,
                                * more than its size if in debt */
};

struct limit {
    struct limit_bucket ops;
    struct limit_bucket bytes;
    uint64_t filled_ns; /* until when the buckets have been filled */
};

/* Sets up a limit with full buckets. */
void limit_init(struct limit *limit, struct limit_rate rate);

/* Whether there is any limit. */
static inline bool limit_is_set(const struct limit *limit)
{
    return limit->ops.rate || limit->bytes.rate;
}

/*
 * May an operation of `bytes` bytes pass at host time `now_ns`? Returns 0 if
 * so: it is counted. Otherwise nothing is counted, and the host time is
 * returned from which on the same question has the answer yes, if nothing else
 * passes until then. A time before the last one counts as that.
 */
MUST_CHECK uint64_t limit_take(struct limit *limit, uint64_t now_ns,
                               uint64_t bytes);

/*
 * `bytes` bytes more have passed than were asked for: a debt that what comes
 * next has to wait for.
 */
void limit_charge(struct limit *limit, uint64_t bytes);

#endif
