/* SPDX-License-Identifier: MIT */
/* Setting clocks, which are the host's. */
#include <errno.h>
#include <sys/time.h>
#include <time.h>

#include "syscalls.h"
#include "user.h"

long __mayfly_sys_clock_settime(long clock, long time)
{
    struct timespec wanted;

    if ((clockid_t)clock != CLOCK_REALTIME)
        return -EINVAL;
    if (USER_GET(wanted, time))
        return -EFAULT;
    if (wanted.tv_sec < 0 || wanted.tv_nsec < 0 || wanted.tv_nsec >= 1000000000)
        return -EINVAL;
    return -EPERM;
}

long __mayfly_sys_settimeofday(long time, long zone)
{
    struct timeval wanted = {0};

    if ((time && USER_GET(wanted, time)) ||
        (zone && !user_can_read((const void *)zone, sizeof(struct timezone))))
        return -EFAULT;
    if (wanted.tv_sec < 0 || wanted.tv_usec < 0 || wanted.tv_usec >= 1000000)
        return -EINVAL;
    return -EPERM;
}
