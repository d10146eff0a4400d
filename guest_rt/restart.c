/* SPDX-License-Identifier: MIT */
/* Whether an interrupted system call is made again. */
#include "guest_rt/thread.h"

bool sched_restart(void)
{
    const struct thread *self = thread_current;

    if (self->cancel && *self->cancel)
        return false;
    return signal_restarts && signal_restarts();
}
