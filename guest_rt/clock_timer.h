/* SPDX-License-Identifier: MIT */
/* Timers on any clock, for setitimer and timer_create. */
#ifndef GUEST_RT_CLOCK_TIMER_H
#define GUEST_RT_CLOCK_TIMER_H

/*
 * A timer of the scheduler counts monotonic time. This one has a clock, and
 * when its monotonic guess is over it looks whether that clock is there: the
 * clocks of processor time stand still meanwhile, at times. Those are looked at
 * every 10 ms at most, which is how late they may be.
 */

#include <stdint.h>
#include <time.h>

#include "clock_jump.h"
#include "sched.h"

struct clock_timer {
    struct timer timer;
    struct clock_watch watch;
    clockid_t clock;
    uint64_t target_ns;   /* by that clock, while it runs */
    uint64_t interval_ns; /* its owner's; 0: once */
    /* The clock has reached the target, and the timer stopped. */
    void (*reached)(struct clock_timer *timer);
};

/* Nanoseconds by that clock; 0 if there is none, or its thread is gone. */
uint64_t clock_timer_now_ns(clockid_t clock);

/* Starts it for that time by its clock, but `pause_ns` from now at least. */
void clock_timer_start(struct clock_timer *timer, uint64_t target_ns,
                       uint64_t pause_ns);

void clock_timer_stop(struct clock_timer *timer);

/*
 * The first time after `now_ns`, by its clock, that is the target or a whole
 * number of intervals later. Stores how many of them were passed.
 */
uint64_t clock_timer_next(const struct clock_timer *timer, uint64_t now_ns,
                          uint64_t *passed);

/* What is left of it, by its clock: 1 at least while it runs, else 0. */
uint64_t clock_timer_left(const struct clock_timer *timer);

/* a + b, or the largest number. */
static inline uint64_t clock_timer_add(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

#endif
