/* SPDX-License-Identifier: MIT */
/* Calls about time: clocks and sleeping. */
#include <errno.h>
#include <sys/time.h>
#include <time.h>

#include "guest_rt/clock_jump.h"
#include "guest_rt/cpu_clock.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/thread.h"
#include "guest_rt/user.h"

#define NS_PER_S 1000000000ull

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

/* Sets *ns; returns 0 or -EINVAL. What is out of range becomes the longest. */
static int timespec_to_ns(const struct timespec *time, uint64_t *ns)
{
    if (time->tv_sec < 0 || time->tv_nsec < 0 ||
        time->tv_nsec >= (long)NS_PER_S)
        return -EINVAL;
    if ((uint64_t)time->tv_sec >= UINT64_MAX / NS_PER_S)
        *ns = UINT64_MAX;
    else
        *ns = (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
    return 0;
}

static struct timespec ns_to_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S),
                             .tv_nsec = (long)(ns % NS_PER_S)};
}

static int read_cpu_clock(long clock, uint64_t *ns)
{
    int error;

    mf_lock();
    error = cpu_clock_read((clockid_t)clock, ns);
    mf_unlock();
    return error;
}

static int read_clock(long clock, uint64_t *ns)
{
    switch ((clockid_t)clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
        *ns = mf_clock_realtime();
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        *ns = mf_clock_monotonic();
        return 0;
    default:
        return read_cpu_clock(clock, ns);
    }
}

long __mayfly_sys_clock_gettime(long clock, long result)
{
    struct timespec time;
    uint64_t ns;
    int error = read_clock(clock, &ns);

    if (error)
        return error;
    time = ns_to_timespec(ns);
    return USER_PUT(result, time);
}

long __mayfly_sys_clock_getres(long clock, long result)
{
    static const struct timespec resolution = {.tv_nsec = 1};
    uint64_t unused;
    int error = read_clock(clock, &unused);

    return error || !result ? error : USER_PUT(result, resolution);
}

long __mayfly_sys_gettimeofday(long result, long zone)
{
    static const struct timezone none;
    uint64_t now = mf_clock_realtime();
    struct timeval time = {.tv_sec = (time_t)(now / NS_PER_S),
                           .tv_usec = (suseconds_t)(now % NS_PER_S / 1000)};
    int error = result ? USER_PUT(result, time) : 0;

    return error || !zone ? error : USER_PUT(zone, none);
}

long __mayfly_sys_time(long result)
{
    time_t now = (time_t)(mf_clock_realtime() / NS_PER_S);

    return result && USER_PUT(result, now) ? -EFAULT : now;
}

long __mayfly_sys_nanosleep(long wanted, long left)
{
    return __mayfly_sys_clock_nanosleep(CLOCK_MONOTONIC, 0, wanted, left);
}

#pragma weak sched_block
#pragma weak sched_wake

/* When a sleep ends. */
struct sleep {
    bool real; /* in real time, which may jump; else monotonic */
    uint64_t end_ns;
    struct clock_watch watch;
    struct thread *thread; /* that sleeps */
};

static struct sleep read_sleep(long clock, long flags, uint64_t ns)
{
    struct sleep sleep = {.end_ns = ns, .thread = thread_current};

    if (!(flags & TIMER_ABSTIME))
        sleep.end_ns = saturating_add(mf_clock_monotonic(), ns);
    else
        sleep.real =
            (clockid_t)clock == CLOCK_REALTIME || (clockid_t)clock == CLOCK_TAI;
    return sleep;
}

/* In monotonic time, as it looks now; 0: it is over. */
static uint64_t sleep_deadline(const struct sleep *sleep)
{
    uint64_t now_ns;

    if (!sleep->real)
        return sleep->end_ns;
    now_ns = mf_clock_realtime();
    return sleep->end_ns <= now_ns
               ? 0
               : saturating_add(mf_clock_monotonic(), sleep->end_ns - now_ns);
}

/* The same without the scheduler, where only the host has signals. */
static int sleep_alone(const struct sleep *sleep)
{
    uint64_t *events = &mf_boot_page()->events, deadline_ns;
    struct thread *self = thread_current;

    self->signals.handled = false;
    while (mf_clock_monotonic() < (deadline_ns = sleep_deadline(sleep))) {
        uint64_t until_ns = mf_sleep_deadline(deadline_ns);
        uint64_t seen = __atomic_and_fetch(
            events, ~(UINT64_C(1) << MF_EVENT_SIGNAL), __ATOMIC_ACQ_REL);

        if (signal_host_look) {
            mf_lock();
            signal_host_look();
            mf_unlock();
        }
        if (self->signals.handled)
            return -EINTR;
        mf_hypercall(MF_HC_WAIT, seen, until_ns);
    }
    return 0;
}

static void jump(struct clock_watch *watch)
{
    struct sleep *sleep =
        (struct sleep *)((char *)watch - offsetof(struct sleep, watch));

    sched_wake(sleep->thread);
}

static int block_until(struct sleep *sleep)
{
    int result;

    if (sleep->real) {
        sleep->watch.jumped = jump;
        clock_watch_add(&sleep->watch);
    }
    do
        result = sched_block(sleep_deadline(sleep));
    while (result == 0 || (result == -ETIMEDOUT &&
                           sleep_deadline(sleep) > mf_clock_monotonic()));
    if (sleep->real)
        clock_watch_remove(&sleep->watch);
    return result;
}

/* Sleeps until then, or until a handler has run. Returns 0 or -EINTR. */
static int sleep_until(struct sleep *sleep)
{
    struct thread *self = thread_current;
    int result;

    if (!sched_block)
        return sleep_alone(sleep);
    do {
        mf_lock();
        self->signals.handled = false;
        result = block_until(sleep);
        mf_unlock();
    } while (result == -EINTR && !self->signals.handled &&
             !(self->cancel && *self->cancel));
    return result == -EINTR ? -EINTR : 0;
}

static long check_sleep_clock(long clock)
{
    switch ((clockid_t)clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
        return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
        return -EOPNOTSUPP;
    default:
        return -EINVAL;
    }
}

/* As on Linux, a handler with SA_RESTART ends a sleep too. */
long __mayfly_sys_clock_nanosleep(long clock, long flags, long wanted,
                                  long left)
{
    struct timespec time;
    struct sleep sleep;
    uint64_t ns;
    long error = check_sleep_clock(clock);

    if (!error)
        error = USER_GET(time, wanted);
    if (!error)
        error = timespec_to_ns(&time, &ns);
    if (error)
        return error;
    sleep = read_sleep(clock, flags, ns);
    error = sleep_until(&sleep);
    if (error && left && !(flags & TIMER_ABSTIME)) {
        uint64_t now_ns = mf_clock_monotonic();

        time =
            ns_to_timespec(sleep.end_ns > now_ns ? sleep.end_ns - now_ns : 0);
        if (USER_PUT(left, time))
            return -EFAULT;
    }
    return error;
}
