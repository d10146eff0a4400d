/* SPDX-License-Identifier: MIT */
/* System calls by a number known only at run time. */
#include "guest_rt/syscalls.h"

long __mayfly_syscall(long number, long a, long b, long c, long d, long e,
                      long f)
{
    switch (number) {
        MAYFLY_SYSCALLS(MAYFLY_CASE)
    default:
        return __mayfly_sys_missing(number);
    }
}
