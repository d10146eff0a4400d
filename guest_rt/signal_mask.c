/* SPDX-License-Identifier: MIT */
/* rt_sigprocmask and rt_sigpending. */
#include <errno.h>
#include <string.h>

#include "signals.h"
#include "syscalls.h"
#include "thread.h"
#include "user.h"

/*
 * What the program blocks it may take later, if it contains what does that:
 * until then it is pending.
 */
#pragma weak signal_host_await

/* Sets *blocked to the mask that `how` makes of it. Returns 0 or -EINVAL. */
static int change_mask(long how, uint64_t set, uint64_t *blocked)
{
    switch (how) {
    case SIG_BLOCK:
        *blocked |= set;
        return 0;
    case SIG_UNBLOCK:
        *blocked &= ~set;
        return 0;
    case SIG_SETMASK:
        *blocked = set;
        return 0;
    default:
        return -EINVAL;
    }
}

long __mayfly_sys_rt_sigprocmask(long how, long wanted, long old, long bytes)
{
    uint64_t before, blocked, set;
    int error = 0;

    if (bytes != sizeof(set))
        return -EINVAL;
    if (wanted && USER_GET(set, wanted))
        return -EFAULT;
    mf_lock();
    before = blocked = thread_current->signals.blocked;
    if (wanted)
        error = change_mask(how, set, &blocked);
    if (!error) {
        if (signal_host_await)
            signal_host_await(blocked & ~before);
        if (blocked != before)
            signal_set_mask(blocked);
        if (old)
            error = USER_PUT(old, before);
    }
    mf_unlock();
    return error;
}

long __mayfly_sys_rt_sigpending(long result, long bytes)
{
    uint64_t pending;
    int error;

    if ((size_t)bytes > sizeof(pending))
        return -EINVAL;
    mf_lock();
    pending = signal_pending() & thread_current->signals.blocked;
    error = user_put((void *)result, &pending, (size_t)bytes);
    mf_unlock();
    return error;
}
