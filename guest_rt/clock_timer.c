/* SPDX-License-Identifier: MIT */
/* Timers on any clock. */
#include "clock_timer.h"

#include <stddef.h>

#include "runtime.h"
#include "syscalls.h"
#include "thread.h"

/* Somebody has to fire them: the scheduler, which others name as weak. */
static void (*const needed)(void) __attribute__((used)) = source_poll;

/* How often a clock of processor time is looked at. */
#define CPU_LOOK_NS 10000000u

static bool counts_cpu_time(clockid_t clock)
{
    return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID ||
           clock == CLOCK_THREAD_CPUTIME_ID;
}

uint64_t clock_timer_now_ns(clockid_t clock)
{
    struct timespec now;

    if (__mayfly_sys_clock_gettime(clock, (long)&now))
        return 0;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The clock will not be there before this monotonic time. */
static uint64_t guess(const struct clock_timer *timer)
{
    uint64_t now_ns = clock_timer_now_ns(timer->clock);
    uint64_t left_ns =
        timer->target_ns > now_ns ? timer->target_ns - now_ns : 0;

    return clock_timer_add(mf_clock_monotonic(), left_ns);
}

static void fire(struct timer *timer)
{
    struct clock_timer *self = (struct clock_timer *)timer;
    uint64_t again_ns;

    if (clock_timer_now_ns(self->clock) >= self->target_ns) {
        clock_watch_remove(&self->watch);
        self->reached(self);
        return;
    }
    again_ns = guess(self);
    if (counts_cpu_time(self->clock) &&
        again_ns < mf_clock_monotonic() + CPU_LOOK_NS)
        again_ns = mf_clock_monotonic() + CPU_LOOK_NS;
    timer_start(timer, again_ns);
}

static bool counts_real_time(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_TAI;
}

/* Real time has jumped: the guess was wrong. */
static void jump(struct clock_watch *watch)
{
    struct clock_timer *self =
        (struct clock_timer *)((char *)watch -
                               offsetof(struct clock_timer, watch));

    timer_start(&self->timer, guess(self));
}

void clock_timer_start(struct clock_timer *timer, uint64_t target_ns,
                       uint64_t pause_ns)
{
    uint64_t now_ns = mf_clock_monotonic(), deadline_ns;

    timer->timer.fire = fire;
    timer->target_ns = target_ns;
    timer->watch.jumped = jump;
    if (counts_real_time(timer->clock))
        clock_watch_add(&timer->watch);
    deadline_ns = guess(timer);
    if (deadline_ns < now_ns + pause_ns)
        deadline_ns = now_ns + pause_ns;
    timer_start(&timer->timer, deadline_ns);
    if (deadline_ns <= now_ns)
        mf_note_due(); /* and not with the next interruption */
}

void clock_timer_stop(struct clock_timer *timer)
{
    timer_stop(&timer->timer);
    clock_watch_remove(&timer->watch);
}

uint64_t clock_timer_next(const struct clock_timer *timer, uint64_t now_ns,
                          uint64_t *passed)
{
    *passed = 0;
    if (now_ns < timer->target_ns || !timer->interval_ns)
        return timer->target_ns;
    *passed = (now_ns - timer->target_ns) / timer->interval_ns + 1;
    return clock_timer_add(timer->target_ns, *passed * timer->interval_ns);
}

uint64_t clock_timer_left(const struct clock_timer *timer)
{
    uint64_t now_ns = clock_timer_now_ns(timer->clock);

    if (!timer_is_running(&timer->timer))
        return 0;
    return timer->target_ns > now_ns ? timer->target_ns - now_ns : 1;
}
