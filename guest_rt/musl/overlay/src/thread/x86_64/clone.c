/* SPDX-License-Identifier: MIT */
/* Makes a thread: the runtime calls its function, there is no return twice. */
#include <stdarg.h>
#include "pthread_impl.h"

long __mayfly_clone(int (*start)(void *), void *stack, unsigned long flags,
                    void *argument, int *parent_tid, void *tls, int *child_tid);

int __clone(int (*start)(void *), void *stack, int flags, void *argument, ...)
{
    int *parent_tid, *child_tid;
    va_list rest;
    void *tls;

    va_start(rest, argument);
    parent_tid = va_arg(rest, int *);
    tls = va_arg(rest, void *);
    child_tid = va_arg(rest, int *);
    va_end(rest);
    return __mayfly_clone(start, stack, (unsigned)flags, argument, parent_tid,
                          tls, child_tid);
}
