/* SPDX-License-Identifier: MIT */
/* Cancellation points: what musl tells of them. */
#include "guest_rt/thread.h"

/* musl's door to here (musl/overlay/src/thread/cancel_point.c). */
const volatile int *__mayfly_cancel_flag(const volatile int *flag);

const volatile int *__mayfly_cancel_flag(const volatile int *flag)
{
    const volatile int *before = thread_current->cancel;

    thread_current->cancel = flag;
    return before;
}
