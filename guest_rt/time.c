/* SPDX-License-Identifier: MIT */
/* Clocks, read without an exit, and sleeping, which is one. */
#include <errno.h>
#include <sys/time.h>
#include <time.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/thread.h"

#define NS_PER_S 1000000000ull

/* One consistent reading of both clocks. */
struct reading {
    uint64_t monotonic_ns;
    uint64_t realtime_ns;
};

static struct reading read_clocks(void)
{
    const struct mf_clock *clock = &mf_boot_page()->clock;
    struct reading now;
    uint32_t seq;

    do {
        uint64_t tsc, base, elapsed;

        /* Pairs with the monitor, which makes seq odd while it writes. */
        while ((seq = __atomic_load_n(&clock->seq, __ATOMIC_ACQUIRE)) & 1)
            __builtin_ia32_pause();
        base = __atomic_load_n(&clock->tsc_base, __ATOMIC_RELAXED);
        __builtin_ia32_lfence();
        tsc = __builtin_ia32_rdtsc();
        /* Never before the base, not even where TSCs differ a little. */
        elapsed = tsc > base ? tsc - base : 0;
        elapsed =
            (uint64_t)((unsigned __int128)elapsed *
                           __atomic_load_n(&clock->mult, __ATOMIC_RELAXED) >>
                       32);
        now.monotonic_ns =
            __atomic_load_n(&clock->monotonic_ns, __ATOMIC_RELAXED) + elapsed;
        now.realtime_ns =
            __atomic_load_n(&clock->realtime_ns, __ATOMIC_RELAXED) + elapsed;
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (__atomic_load_n(&clock->seq, __ATOMIC_RELAXED) != seq);
    return now;
}

uint64_t mf_clock_monotonic(void)
{
    return read_clocks().monotonic_ns;
}

uint64_t mf_clock_realtime(void)
{
    return read_clocks().realtime_ns;
}

void mf_sleep_until(uint64_t deadline_ns)
{
    const uint64_t *events = &mf_boot_page()->events;

    if (sched_sleep_until) {
        sched_sleep_until(deadline_ns);
        return;
    }
    /* An event ends the wait too: whoever it is for clears and handles it. */
    while (mf_clock_monotonic() < deadline_ns) {
        uint64_t until_ns = mf_sleep_deadline(deadline_ns);

        mf_hypercall(MF_HC_WAIT, __atomic_load_n(events, __ATOMIC_ACQUIRE),
                     until_ns);
    }
}

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

long __mayfly_sys_clock_gettime(long clock, long result)
{
    struct timespec *time = (struct timespec *)result;

    switch ((clockid_t)clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI:
        *time = ns_to_timespec(mf_clock_realtime());
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_PROCESS_CPUTIME_ID:
    case CLOCK_THREAD_CPUTIME_ID:
        *time = ns_to_timespec(mf_clock_monotonic());
        return 0;
    default:
        return -EINVAL;
    }
}

long __mayfly_sys_clock_getres(long clock, long result)
{
    struct timespec *time = (struct timespec *)result, unused;
    long error = __mayfly_sys_clock_gettime(clock, (long)&unused);

    if (!error && time)
        *time = (struct timespec){.tv_nsec = 1};
    return error;
}

long __mayfly_sys_gettimeofday(long result, long zone)
{
    struct timeval *time = (struct timeval *)result;
    uint64_t now = mf_clock_realtime();

    if (time) {
        time->tv_sec = (time_t)(now / NS_PER_S);
        time->tv_usec = (suseconds_t)(now % NS_PER_S / 1000);
    }
    if (zone)
        *(struct timezone *)zone = (struct timezone){0};
    return 0;
}

long __mayfly_sys_time(long result)
{
    time_t now = (time_t)(mf_clock_realtime() / NS_PER_S);

    if (result)
        *(time_t *)result = now;
    return now;
}

long __mayfly_sys_nanosleep(long wanted, long left)
{
    return __mayfly_sys_clock_nanosleep(CLOCK_MONOTONIC, 0, wanted, left);
}

int sched_block(uint64_t deadline_ns) __attribute__((weak));

/* The same without the scheduler, where only the host has signals. */
static int sleep_alone(uint64_t deadline_ns)
{
    uint64_t *events = &mf_boot_page()->events;
    struct thread *self = thread_current;

    if (!signal_host_look) {
        mf_sleep_until(deadline_ns);
        return 0;
    }
    self->signals.handled = false;
    while (mf_clock_monotonic() < deadline_ns) {
        uint64_t until_ns = mf_sleep_deadline(deadline_ns);
        uint64_t seen = __atomic_and_fetch(
            events, ~(UINT64_C(1) << MF_EVENT_SIGNAL), __ATOMIC_ACQ_REL);

        mf_lock();
        signal_host_look();
        mf_unlock();
        if (self->signals.handled)
            return -EINTR;
        mf_hypercall(MF_HC_WAIT, seen, until_ns);
    }
    return 0;
}

/* Sleeps until then, or until a handler has run. Returns 0 or -EINTR. */
static int sleep_until(uint64_t deadline_ns)
{
    struct thread *self = thread_current;
    int result;

    if (!sched_block)
        return sleep_alone(deadline_ns);
    do {
        mf_lock();
        self->signals.handled = false;
        do
            result = sched_block(deadline_ns);
        while (result == 0);
        mf_unlock();
    } while (result == -EINTR && !self->signals.handled &&
             !(self->cancel && *self->cancel));
    return result == -EINTR ? -EINTR : 0;
}

/* What is left of a sleep, for nanosleep's last argument. */
static void tell_rest(struct timespec *left, uint64_t deadline_ns)
{
    uint64_t now_ns = mf_clock_monotonic();

    if (left)
        *left = ns_to_timespec(deadline_ns > now_ns ? deadline_ns - now_ns : 0);
}

long __mayfly_sys_clock_nanosleep(long clock, long flags, long wanted,
                                  long left)
{
    struct reading now = read_clocks();
    uint64_t deadline;

    if (timespec_to_ns((const struct timespec *)wanted, &deadline))
        return -EINVAL;
    if ((clockid_t)clock != CLOCK_REALTIME &&
        (clockid_t)clock != CLOCK_MONOTONIC &&
        (clockid_t)clock != CLOCK_BOOTTIME)
        return -EINVAL;

    if (!(flags & TIMER_ABSTIME)) {
        deadline = saturating_add(now.monotonic_ns, deadline);
    } else if ((clockid_t)clock == CLOCK_REALTIME) {
        if (deadline <= now.realtime_ns)
            return 0;
        deadline = saturating_add(now.monotonic_ns, deadline - now.realtime_ns);
    }
    if (sleep_until(deadline) == 0)
        return 0;
    if (!(flags & TIMER_ABSTIME))
        tell_rest((struct timespec *)left, deadline);
    return -EINTR;
}
