/* SPDX-License-Identifier: MIT */
/* setitimer, getitimer and alarm. */
#include <errno.h>
#include <sys/time.h>

#include "clock_timer.h"
#include "runtime.h"
#include "signals.h"
#include "syscalls.h"
#include "thread.h"
#include "user.h"

#define NS_PER_S  1000000000u
#define NS_PER_US 1000u
#define US_PER_S  1000000

/* However short its interval is, a timer leaves some time for the program. */
#define PAUSE_NS 50000u

static void reached(struct clock_timer *timer);

/* By ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF: all time is user time. */
static struct clock_timer timers[] = {
    {.clock = CLOCK_MONOTONIC, .reached = reached},
    {.clock = CLOCK_PROCESS_CPUTIME_ID, .reached = reached},
    {.clock = CLOCK_PROCESS_CPUTIME_ID, .reached = reached},
};
#define TIMERS ((long)(sizeof(timers) / sizeof(timers[0])))

static void reached(struct clock_timer *timer)
{
    static const int numbers[] = {SIGALRM, SIGVTALRM, SIGPROF};
    struct signal_info info = {
        .number = numbers[timer - timers],
        .code = SI_KERNEL,
    };
    uint64_t passed, now_ns = clock_timer_now_ns(timer->clock);

    if (timer->interval_ns)
        clock_timer_start(timer, clock_timer_next(timer, now_ns, &passed),
                          PAUSE_NS);
    signal_send(NULL, &info, NULL);
}

static struct timeval timeval_of(uint64_t ns)
{
    ns += NS_PER_US - 1; /* what runs has something left */
    return (struct timeval){
        .tv_sec = (time_t)(ns / NS_PER_S),
        .tv_usec = (suseconds_t)(ns % NS_PER_S / NS_PER_US),
    };
}

static int ns_of(const struct timeval *time, uint64_t *ns)
{
    if (time->tv_sec < 0 || time->tv_usec < 0 || time->tv_usec >= US_PER_S)
        return -EINVAL;
    if ((uint64_t)time->tv_sec >= UINT64_MAX / 2 / NS_PER_S)
        *ns = UINT64_MAX / 2;
    else
        *ns = (uint64_t)time->tv_sec * NS_PER_S +
              (uint64_t)time->tv_usec * NS_PER_US;
    return 0;
}

/* Sets it to fire in `value_ns` (0: not), and tells what it was. */
static struct itimerval exchange(struct clock_timer *timer, uint64_t value_ns,
                                 uint64_t interval_ns)
{
    struct itimerval old = {
        .it_value = timeval_of(clock_timer_left(timer)),
        .it_interval = timeval_of(timer->interval_ns),
    };

    timer->interval_ns = interval_ns;
    if (value_ns)
        clock_timer_start(
            timer, clock_timer_add(clock_timer_now_ns(timer->clock), value_ns),
            0);
    else
        clock_timer_stop(timer);
    return old;
}

long __mayfly_sys_getitimer(long which, long result)
{
    const struct clock_timer *timer = &timers[which];

    if (which < 0 || which >= TIMERS)
        return -EINVAL;
    if (!user_can_write((void *)result, sizeof(struct itimerval)))
        return -EFAULT;
    mf_lock();
    *(struct itimerval *)result = (struct itimerval){
        .it_value = timeval_of(clock_timer_left(timer)),
        .it_interval = timeval_of(timer->interval_ns),
    };
    mf_unlock();
    return 0;
}

long __mayfly_sys_setitimer(long which, long wanted, long result)
{
    const struct itimerval *new = (const struct itimerval *)wanted;
    uint64_t value_ns = 0, interval_ns = 0;
    struct itimerval old;

    if ((new && !user_can_read(new, sizeof(*new))) ||
        (result && !user_can_write((void *)result, sizeof(old))))
        return -EFAULT;
    if (which < 0 || which >= TIMERS ||
        (new && (ns_of(&new->it_value, &value_ns) ||
                 ns_of(&new->it_interval, &interval_ns))))
        return -EINVAL;
    mf_lock();
    old = exchange(&timers[which], value_ns, interval_ns);
    if (result)
        *(struct itimerval *)result = old;
    mf_unlock();
    return 0;
}

/* Whole seconds, of which a started one counts. */
long __mayfly_sys_alarm(long seconds)
{
    struct itimerval old;

    mf_lock();
    old = exchange(&timers[ITIMER_REAL], (uint64_t)(unsigned)seconds * NS_PER_S,
                   0);
    mf_unlock();
    return (long)(old.it_value.tv_sec + (old.it_value.tv_usec > 0));
}
