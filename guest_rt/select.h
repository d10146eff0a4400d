/* SPDX-License-Identifier: MIT */
/* Waiting for several descriptors: what poll and select share. */
#ifndef GUEST_RT_SELECT_H
#define GUEST_RT_SELECT_H

#include <time.h>

#include "file.h"

/*
 * One descriptor that is waited for. The events are those of poll(2), which
 * are the same numbers as epoll's.
 */
struct select_one {
    struct waiter waiter;
    struct thread *thread;
    struct file *file; /* with a reference; NULL: not waited for */
    uint32_t wanted, found;
};

/* Which of these events hold now, errors and hang-ups in any case. */
uint32_t select_events(struct file *file, uint32_t wanted);

/*
 * Waits until one of `count` entries has events, or until `deadline_ns` (0:
 * only looks). Entries with a file have `wanted`; `found` is filled in, and the
 * files are put. Returns 0 or -EINTR.
 */
int select_wait(struct select_one *entries, unsigned count,
                uint64_t deadline_ns);

/*
 * When a call with this timeout ends; NULL is WAIT_NO_END, a time of 0 is 0.
 * Returns 0, -EFAULT or -EINVAL.
 */
int select_deadline(const struct timespec *timeout, uint64_t *deadline_ns);

/* The same for milliseconds, of which those below 0 are WAIT_NO_END. */
uint64_t select_deadline_ms(int timeout_ms);

/* What is left of it then, for the calls that tell. */
struct timespec select_time_left(uint64_t deadline_ns);

/* Tells it, if there was a timeout; as Linux does, only if that can be. */
void select_give_left(struct timespec *timeout, uint64_t deadline_ns);

/* signals.h: the mask of ppoll, pselect6 and epoll_pwait. */
long signal_mask_for_call(long wanted, long bytes) __attribute__((weak));

/* Sets that mask, if there are signals. Returns 0 or -errno. */
static inline long select_mask(const void *mask, long bytes)
{
    return mask && signal_mask_for_call
               ? signal_mask_for_call((long)mask, bytes)
               : 0;
}

#endif
