/* SPDX-License-Identifier: MIT */
/* Cancellation points, in programs that have pthread_cancel. */
#include "pthread_impl.h"

/*
 * On Linux the signal handler of pthread_cancel() sees by the program counter
 * that it interrupted a cancellable system call. Here calls are functions, so
 * the runtime is told of the flag instead: at a cancellation point nothing
 * blocks once that is set, but returns EINTR.
 */

hidden long __cancel(void);

/* Sets the running thread's flag and returns the one before (cancel.c). */
const volatile int *__mayfly_cancel_flag(const volatile int *flag);

long __mayfly_cp_begin(long n, const volatile int **outer)
{
    pthread_t self = __pthread_self();
    int state = self->canceldisable;

    if (state && (state == PTHREAD_CANCEL_DISABLE || n == SYS_close)) {
        *outer = __mayfly_cancel_flag(0);
        return 0;
    }
    *outer = __mayfly_cancel_flag(&self->cancel);
    if (!self->cancel)
        return 0;
    __mayfly_cancel_flag(0);
    return __cancel();
}

long __mayfly_cp_end(long n, long result, const volatile int *outer)
{
    pthread_t self = __pthread_self();

    __mayfly_cancel_flag(outer);
    if (result != -EINTR || n == SYS_close || !self->cancel ||
        self->canceldisable == PTHREAD_CANCEL_DISABLE)
        return result;
    __mayfly_cancel_flag(0);
    return __cancel();
}

/* Where a signal handler makes a thread go on that shall end at once. */
void __mayfly_cancel_now(void)
{
    __mayfly_cancel_flag(0);
    __cancel();
}
