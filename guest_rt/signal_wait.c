/* SPDX-License-Identifier: MIT */
/* rt_sigtimedwait. */
#include <errno.h>
#include <time.h>

#include "runtime.h"
#include "signals.h"
#include "syscalls.h"
#include "thread.h"
#include "user.h"

/* Sets *deadline_ns, monotonic; 0 is never. Returns 0 or -errno. */
static int read_timeout(long from, uint64_t *deadline_ns)
{
    uint64_t now = mf_clock_monotonic(), ns;
    struct timespec timeout;

    *deadline_ns = WAIT_NO_END;
    if (!from)
        return 0;
    if (USER_GET(timeout, from))
        return -EFAULT;
    if (timeout.tv_sec < 0 || timeout.tv_nsec < 0 ||
        timeout.tv_nsec >= 1000000000)
        return -EINVAL;
    if (__builtin_mul_overflow((uint64_t)timeout.tv_sec, 1000000000u, &ns) ||
        __builtin_add_overflow(ns, (uint64_t)timeout.tv_nsec + now, &ns))
        return 0;
    *deadline_ns = ns;
    return 0;
}

/* Waits for one of the set. Returns its number, -EAGAIN or -EINTR. */
static long await(uint64_t set, uint64_t deadline_ns, struct signal_info *info)
{
    struct thread_signals *self = &thread_current->signals;
    int number, waited = 0;

    self->awaited = set;
    while (!(number = signal_take(set, info))) {
        /* A handler goes first; what was told is not always one. */
        signal_refresh();
        if (self->due || waited == -ETIMEDOUT || signal_is_cancelled())
            break;
        waited = sched_block(deadline_ns);
    }
    self->awaited = 0;
    signal_refresh();
    if (number)
        return number;
    return waited == -ETIMEDOUT ? -EAGAIN : -EINTR;
}

long __mayfly_sys_rt_sigtimedwait(long wanted, long result, long timeout,
                                  long bytes)
{
    uint64_t deadline_ns, set;
    struct signal_info info;
    siginfo_t told;
    long number;

    if (bytes != sizeof(set))
        return -EINVAL;
    if (USER_GET(set, wanted))
        return -EFAULT;
    number = read_timeout(timeout, &deadline_ns);
    if (number)
        return number;
    set &= ~SIGNALS_UNBLOCKABLE;
    mf_lock();
    signal_host_await(set);
    number = await(set, deadline_ns, &info);
    mf_unlock();
    if (number <= 0 || !result)
        return number;
    signal_fill_info(&told, &info);
    return USER_PUT(result, told) ? -EFAULT : number;
}
