/* SPDX-License-Identifier: MIT */
/* musl's system calls as direct calls into the Mayfly runtime. */

/*
 * musl includes this header, always through its internal syscall.h, wherever
 * it makes a system call. Its numbers are constants nearly everywhere, so the
 * switch below folds to a single call and a program links only what it uses.
 */
#include "mayfly_syscalls.h"

#define __SYSCALL_LL_E(x) (x)
#define __SYSCALL_LL_O(x) (x)
#define IPC_64            0

#define MAYFLY_INLINE static __inline __attribute__((__always_inline__))

MAYFLY_INLINE long __syscall6(long n, long a, long b, long c, long d, long e,
                              long f)
{
    if (!__builtin_constant_p(n))
        return __mayfly_syscall(n, a, b, c, d, e, f);
    switch (n) {
        MAYFLY_CASES
    default:
        return __mayfly_sys_missing(n);
    }
}

MAYFLY_INLINE long __syscall0(long n)
{
    return __syscall6(n, 0, 0, 0, 0, 0, 0);
}

MAYFLY_INLINE long __syscall1(long n, long a)
{
    return __syscall6(n, a, 0, 0, 0, 0, 0);
}

MAYFLY_INLINE long __syscall2(long n, long a, long b)
{
    return __syscall6(n, a, b, 0, 0, 0, 0);
}

MAYFLY_INLINE long __syscall3(long n, long a, long b, long c)
{
    return __syscall6(n, a, b, c, 0, 0, 0);
}

MAYFLY_INLINE long __syscall4(long n, long a, long b, long c, long d)
{
    return __syscall6(n, a, b, c, d, 0, 0);
}

MAYFLY_INLINE long __syscall5(long n, long a, long b, long c, long d, long e)
{
    return __syscall6(n, a, b, c, d, e, 0);
}

/*
 * A cancellation point. musl's own goes through a function that takes any
 * number; build redirects its callers here. Programs without pthread_cancel
 * have neither of these (src/thread/cancel_point.c). What begin returns other
 * than 0 is the call's result.
 */
long __mayfly_cp_begin(long n, const volatile int **outer)
    __attribute__((__weak__));
long __mayfly_cp_end(long n, long result, const volatile int *outer)
    __attribute__((__weak__));

MAYFLY_INLINE long __mayfly_syscall_cp(long n, long a, long b, long c, long d,
                                       long e, long f)
{
    const volatile int *outer = 0;
    long result = __mayfly_cp_begin ? __mayfly_cp_begin(n, &outer) : 0;

    if (result)
        return result;
    result = __syscall6(n, a, b, c, d, e, f);
    return __mayfly_cp_end ? __mayfly_cp_end(n, result, outer) : result;
}
