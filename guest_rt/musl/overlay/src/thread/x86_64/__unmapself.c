/* SPDX-License-Identifier: MIT */
/* Ends a thread whose stack nobody else unmaps: the next thread does. */
#include "pthread_impl.h"

_Noreturn void __mayfly_unmapself(void *stack, size_t bytes);

void __unmapself(void *stack, size_t bytes)
{
    __mayfly_unmapself(stack, bytes);
}
