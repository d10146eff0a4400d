/* SPDX-License-Identifier: MIT */
/* futex(2), of which a program without threads needs nearly nothing. */
#include <errno.h>
#include <linux/futex.h>
#include <time.h>

#include "guest_rt/futex.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/user.h"

#define COMMAND(operation) \
    ((operation) & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME))

/* When a wait with this timeout ends; a relative one is monotonic. */
static uint64_t deadline_of(long operation, const struct timespec *timeout)
{
    uint64_t time =
        (uint64_t)timeout->tv_sec * 1000000000 + (uint64_t)timeout->tv_nsec;

    if (COMMAND(operation) == FUTEX_WAIT)
        return mf_clock_monotonic() + time;
    if (operation & FUTEX_CLOCK_REALTIME)
        return time - mf_clock_realtime() + mf_clock_monotonic();
    return time;
}

/*
 * With one thread nobody wakes a waiter: a wait ends with its timeout, and
 * without one it is a deadlock, which it is on Linux too.
 */
long __mayfly_sys_futex(long address, long operation, long value, long timeout,
                        long address2, long value3)
{
    long command = COMMAND(operation);
    uint64_t deadline_ns = UINT64_MAX;
    struct timespec time;
    uint32_t word;

    if (futex_call)
        return futex_call(address, operation, value, timeout, address2, value3);
    if (command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET)
        return 0;
    if (command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET)
        return -ENOSYS;
    if (address & 3)
        return -EINVAL;
    if (USER_GET(word, address) || (timeout && USER_GET(time, timeout)))
        return -EFAULT;
    if (word != (uint32_t)value)
        return -EAGAIN;
    if (timeout)
        deadline_ns = deadline_of(operation, &time);
    mf_sleep_until(deadline_ns);
    return -ETIMEDOUT;
}
