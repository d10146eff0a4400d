/* SPDX-License-Identifier: MIT */
/* Setting clocks, which are the host's. */
#include <errno.h>
#include <sys/time.h>
#include <time.h>

#include "syscalls.h"

long __mayfly_sys_clock_settime(long clock, long time)
{
    const struct timespec *wanted = (const struct timespec *)time;

    if ((clockid_t)clock != CLOCK_REALTIME || wanted->tv_sec < 0 ||
        wanted->tv_nsec < 0 || wanted->tv_nsec >= 1000000000)
        return -EINVAL;
    return -EPERM;
}

long __mayfly_sys_settimeofday(long time, long zone)
{
    const struct timeval *wanted = (const struct timeval *)time;

    (void)zone;
    if (wanted && (wanted->tv_sec < 0 || wanted->tv_usec < 0 ||
                   wanted->tv_usec >= 1000000))
        return -EINVAL;
    return -EPERM;
}
