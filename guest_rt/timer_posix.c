/* SPDX-License-Identifier: MIT */
/* timer_create and what works on such timers. */
#include <errno.h>
#include <limits.h>

#include "clock_timer.h"
#include "runtime.h"
#include "signals.h"
#include "syscalls.h"
#include "thread.h"
#include "user.h"

#define NS_PER_S 1000000000u

/* As the kernel has struct sigevent. */
struct event {
    uint64_t value;
    int32_t number;
    int32_t notify;
    int32_t tid;
};

#define NOTIFY_THREAD_ID 4 /* SIGEV_THREAD_ID beside SIGEV_SIGNAL's 0 */

/*
 * A timer that has fired is stopped until its signal is delivered; the
 * intervals that passed meanwhile are the overrun, as on Linux. What nobody
 * handles makes pauses: nothing would be gained by going faster.
 */
struct posix_timer {
    struct clock_timer clock; /* counts real time only up to a given one */
    clockid_t wanted;         /* the clock as it was asked for */
    struct signal_entry entry;
    struct event event;
    int overrun; /* of the last signal that was delivered */
    bool used;
    bool queued; /* the entry is */
    bool again;  /* to be started when the signal is delivered */
};

#define TIMERS          256
#define UNSEEN_PAUSE_NS 10000000u

static struct posix_timer timers[TIMERS] __attribute__((section(".lbss")));

/* ---- Firing ------------------------------------------------------------- */

static struct posix_timer *timer_of(struct signal_entry *entry)
{
    return (struct posix_timer *)((char *)entry -
                                  offsetof(struct posix_timer, entry));
}

/* Starts the next interval. Returns how many were missed. */
static int go_on(struct posix_timer *timer, uint64_t pause_ns)
{
    uint64_t passed, next_ns;

    timer->again = false;
    next_ns = clock_timer_next(&timer->clock,
                               clock_timer_now_ns(timer->clock.clock), &passed);
    clock_timer_start(&timer->clock, next_ns, pause_ns);
    return passed > INT_MAX ? INT_MAX : passed > 0 ? (int)passed - 1 : 0;
}

static void signal_done(struct signal_entry *entry, bool taken)
{
    struct posix_timer *timer = timer_of(entry);
    int missed = 0;

    timer->queued = false;
    if (timer->again)
        missed = go_on(timer, taken ? 0 : UNSEEN_PAUSE_NS);
    /* Unblocked and ignored counts as delivered, as on Linux. */
    timer->overrun = missed;
    entry->info.words[0] |= (uint64_t)(uint32_t)missed << 32;
}

static void reached(struct clock_timer *clock)
{
    struct posix_timer *timer = (struct posix_timer *)clock;
    struct thread *to = NULL;
    struct signal_info info = {
        .number = timer->event.number,
        .code = SI_TIMER,
        .words = {(uint64_t)(timer - timers), timer->event.value},
    };

    if (timer->event.notify & NOTIFY_THREAD_ID) {
        to = signal_find_thread(timer->event.tid);
        if (!to)
            return;
    }
    timer->again = clock->interval_ns > 0;
    if (timer->queued)
        return; /* set anew, before the last signal was delivered */
    timer->queued = true;
    timer->entry.done = signal_done;
    signal_send(to, &info, &timer->entry);
}

/* ---- Creating ----------------------------------------------------------- */

/* Stores the clock that a timer on `clock` counts. Returns 0 or -errno. */
static long find_clock(clockid_t clock, clockid_t *counted)
{
    struct timespec unused;

    *counted = clock;
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
    case CLOCK_TAI:
    case CLOCK_PROCESS_CPUTIME_ID:
        return 0;
    case CLOCK_THREAD_CPUTIME_ID: /* the caller's, for whoever reads it */
        *counted = (clockid_t)(~(unsigned)thread_current->tid << 3 | 6);
        return 0;
    default:
        if (__mayfly_sys_clock_gettime(clock, (long)&unused))
            return -EINVAL;
        return clock < 0 ? 0 : -EOPNOTSUPP;
    }
}

static bool is_event(const struct event *event)
{
    switch (event->notify) {
    case SIGEV_NONE:
        return true;
    case NOTIFY_THREAD_ID:
        if (!signal_find_thread(event->tid))
            return false;
        break;
    case SIGEV_SIGNAL:
    case SIGEV_THREAD:
        break;
    default:
        return false;
    }
    return event->number > 0 && event->number <= SIGNALS;
}

static struct posix_timer *find_free(void)
{
    for (int i = 0; i < TIMERS; i++)
        if (!timers[i].used && !timers[i].queued)
            return &timers[i];
    return NULL;
}

static long create(clockid_t clock, const struct event *wanted, int *id)
{
    struct posix_timer *timer = find_free();
    struct event event = {.number = SIGALRM, .notify = SIGEV_SIGNAL};
    clockid_t counted;
    long error = find_clock(clock, &counted);

    if (error)
        return error;
    if (!timer)
        return -EAGAIN;
    event.value = (uint64_t)(timer - timers);
    if (wanted)
        event = *wanted;
    if (!is_event(&event))
        return -EINVAL;
    *timer = (struct posix_timer){
        .clock = {.clock = counted, .reached = reached},
        .wanted = counted,
        .event = event,
        .used = true,
    };
    *id = (int)(timer - timers);
    return 0;
}

long __mayfly_sys_timer_create(long clock, long event, long id)
{
    long result;

    if ((event && !user_can_read((void *)event, sizeof(struct event))) ||
        !user_can_write((void *)id, sizeof(int)))
        return -EFAULT;
    mf_lock();
    result = create((clockid_t)clock, (const struct event *)event, (int *)id);
    mf_unlock();
    return result;
}

/* ---- Using -------------------------------------------------------------- */

static struct posix_timer *find(long id)
{
    if ((int)id < 0 || (int)id >= TIMERS || !timers[(int)id].used)
        return NULL;
    return &timers[(int)id];
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S),
                             .tv_nsec = (long)(ns % NS_PER_S)};
}

static int ns_of(const struct timespec *time, uint64_t *ns)
{
    if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec >= NS_PER_S)
        return -EINVAL;
    if ((uint64_t)time->tv_sec >= UINT64_MAX / 2 / NS_PER_S)
        *ns = UINT64_MAX / 2;
    else
        *ns = (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
    return 0;
}

/* What is left: of the interval that runs, even if nobody has been told. */
static struct itimerspec tell(const struct posix_timer *timer)
{
    const struct clock_timer *clock = &timer->clock;
    uint64_t now_ns = clock_timer_now_ns(clock->clock), passed, next_ns;
    uint64_t left_ns = clock_timer_left(clock);

    if (timer->again) {
        next_ns = clock_timer_next(clock, now_ns, &passed);
        left_ns = next_ns > now_ns ? next_ns - now_ns : clock->interval_ns > 0;
    }
    return (struct itimerspec){
        .it_value = timespec_of(left_ns),
        .it_interval = timespec_of(clock->interval_ns),
    };
}

/* SIGEV_NONE: nobody is told, so that it only has to be looked at. */
static void start(struct posix_timer *timer, uint64_t target_ns)
{
    if (timer->event.notify == SIGEV_NONE) {
        timer->clock.target_ns = target_ns;
        timer->again = timer->clock.interval_ns > 0 ||
                       target_ns > clock_timer_now_ns(timer->clock.clock);
    } else {
        clock_timer_start(&timer->clock, target_ns, 0);
    }
}

static void set(struct posix_timer *timer, bool absolute, uint64_t value_ns,
                uint64_t interval_ns)
{
    clock_timer_stop(&timer->clock);
    timer->again = false;
    timer->overrun = 0;
    timer->clock.interval_ns = interval_ns;
    timer->clock.clock = timer->wanted;
    /* When real time jumps, an interval is as long as before. */
    if (!absolute &&
        (timer->wanted == CLOCK_REALTIME || timer->wanted == CLOCK_TAI))
        timer->clock.clock = CLOCK_MONOTONIC;
    if (!value_ns)
        return;
    if (!absolute)
        value_ns =
            clock_timer_add(clock_timer_now_ns(timer->clock.clock), value_ns);
    start(timer, value_ns);
}

long __mayfly_sys_timer_settime(long id, long flags, long wanted, long result)
{
    const struct itimerspec *new = (const struct itimerspec *)wanted;
    uint64_t value_ns, interval_ns;
    struct posix_timer *timer;
    struct itimerspec old;

    if (!new)
        return -EINVAL;
    if (!user_can_read(new, sizeof(*new)) ||
        (result && !user_can_write((void *)result, sizeof(old))))
        return -EFAULT;
    if (ns_of(&new->it_value, &value_ns) ||
        ns_of(&new->it_interval, &interval_ns))
        return -EINVAL;
    mf_lock();
    timer = find(id);
    if (timer) {
        old = tell(timer);
        set(timer, flags & TIMER_ABSTIME, value_ns, interval_ns);
        if (result)
            *(struct itimerspec *)result = old;
    }
    mf_unlock();
    return timer ? 0 : -EINVAL;
}

long __mayfly_sys_timer_gettime(long id, long result)
{
    const struct posix_timer *timer;

    if (!user_can_write((void *)result, sizeof(struct itimerspec)))
        return -EFAULT;
    mf_lock();
    timer = find(id);
    if (timer)
        *(struct itimerspec *)result = tell(timer);
    mf_unlock();
    return timer ? 0 : -EINVAL;
}

long __mayfly_sys_timer_getoverrun(long id)
{
    const struct posix_timer *timer;
    long result;

    mf_lock();
    timer = find(id);
    result = timer ? timer->overrun : -EINVAL;
    mf_unlock();
    return result;
}

/* A signal that is pending stays so, and its entry in use until then. */
long __mayfly_sys_timer_delete(long id)
{
    struct posix_timer *timer;

    mf_lock();
    timer = find(id);
    if (timer) {
        clock_timer_stop(&timer->clock);
        timer->again = false;
        timer->used = false;
    }
    mf_unlock();
    return timer ? 0 : -EINVAL;
}
