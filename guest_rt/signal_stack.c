/* SPDX-License-Identifier: MIT */
/* sigaltstack. */
#include <errno.h>

#include "signals.h"
#include "syscalls.h"
#include "thread.h"
#include "user.h"

static long set_stack(struct thread_signals *self, const stack_t *wanted)
{
    unsigned flags = (unsigned)wanted->ss_flags & ~SIGNAL_AUTODISARM;

    if (flags != 0 && flags != SS_DISABLE && flags != SS_ONSTACK)
        return -EINVAL;
    if (flags != SS_DISABLE && wanted->ss_size < MINSIGSTKSZ)
        return -ENOMEM;
    signal_set_stack(self, wanted);
    return 0;
}

long __mayfly_sys_sigaltstack(long wanted, long old)
{
    struct thread_signals *self;
    stack_t before, stack;
    bool on_it;
    long result = 0;

    if (wanted && USER_GET(stack, wanted))
        return -EFAULT;
    mf_lock();
    self = &thread_current->signals;
    before = signal_stack(self);
    on_it = signal_is_on_stack(self, (uint64_t)__builtin_frame_address(0));
    if (on_it)
        before.ss_flags |= SS_ONSTACK;
    if (wanted)
        result = on_it ? -EPERM : set_stack(self, &stack);
    if (!result && old)
        result = USER_PUT(old, before);
    mf_unlock();
    return result;
}
