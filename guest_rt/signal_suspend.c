/* SPDX-License-Identifier: MIT */
/* Waiting for a handler to run: rt_sigsuspend and pause. */
#include <errno.h>

#include "signals.h"
#include "syscalls.h"
#include "thread.h"

/* What others name as weak: without any handler there would be no end to it. */
static void (*const needed[])(void) __attribute__((used)) = {
    signal_link_deliver,
    mf_note_due,
};

/* What is told is not always a handler: others may have taken the signal. */
static long await_handler(long mask, long bytes)
{
    struct thread_signals *self = &thread_current->signals;
    long error;

    do {
        mf_lock();
        self->handled = false;
        error = signal_mask_for_call(mask, bytes);
        while (!error && !signal_has_handler() && !signal_is_cancelled())
            sched_block(WAIT_NO_END);
        mf_unlock();
    } while (!error && !self->handled && !signal_is_cancelled());
    return error ? error : -EINTR;
}

long __mayfly_sys_rt_sigsuspend(long mask, long bytes)
{
    return await_handler(mask, bytes);
}

long __mayfly_sys_pause(void)
{
    return await_handler(0, 0);
}
