/* SPDX-License-Identifier: MIT */
/* rt_sigaction. */
#include <errno.h>
#include <string.h>

#include "signals.h"
#include "syscalls.h"
#include "thread.h"
#include "user.h"

/*
 * Handlers are run where system calls end: who can install one gets the code
 * for it, and mf_due(), which calls it and which others name as weak.
 */
static void (*const needed[])(void) __attribute__((used)) = {
    signal_link_deliver,
    mf_note_due,
};

static void set_action(int number, const struct signal_action *wanted)
{
    struct signal_action *action = &mf_signal_actions[number - 1];

    *action = *wanted;
    action->mask &= ~SIGNALS_UNBLOCKABLE;
    if (signal_is_ignored(number))
        signal_discard(number);
    signal_host_handle(number, action->handler != (void *)SIG_DFL);
}

long __mayfly_sys_rt_sigaction(long number, long wanted, long old, long bytes)
{
    struct signal_action before, action;
    int error = 0;

    if (bytes != sizeof(uint64_t))
        return -EINVAL;
    if (wanted && USER_GET(action, wanted))
        return -EFAULT;
    if (number < 1 || number > SIGNALS ||
        (wanted && (signal_bit((int)number) & SIGNALS_UNBLOCKABLE)))
        return -EINVAL;
    mf_lock();
    before = mf_signal_actions[number - 1];
    if (wanted)
        set_action((int)number, &action);
    if (old)
        error = USER_PUT(old, before);
    mf_unlock();
    return error;
}
