/* SPDX-License-Identifier: MIT */
/* rt_sigqueueinfo and rt_tgsigqueueinfo: signals with a value. */
#include <errno.h>
#include <string.h>

#include "runtime.h"
#include "signals.h"
#include "syscalls.h"
#include "thread.h"
#include "user.h"

/*
 * The information comes from the caller. What looks as if the kernel had sent
 * it may only be sent to oneself, and everybody here is.
 */
static long send(struct thread *to, int number, struct signal_info *info)
{
    info->number = number;
    return number ? signal_send(to, info, NULL) : 0;
}

long __mayfly_sys_rt_sigqueueinfo(long pid, long number, long from)
{
    struct signal_info info;
    long result;

    if (USER_GET(info, from))
        return -EFAULT;
    if (!signal_is_sendable((int)number))
        return -EINVAL;
    if ((int)pid != MF_PID)
        return -ESRCH;
    mf_lock();
    result = send(NULL, (int)number, &info);
    mf_unlock();
    return result;
}

long __mayfly_sys_rt_tgsigqueueinfo(long pid, long tid, long number, long from)
{
    struct signal_info info;
    struct thread *to;
    long result = -ESRCH;

    if (USER_GET(info, from))
        return -EFAULT;
    if (!signal_is_sendable((int)number) || (int)pid <= 0 || (int)tid <= 0)
        return -EINVAL;
    mf_lock();
    to = (int)pid == MF_PID ? signal_find_thread((int)tid) : NULL;
    if (to)
        result = send(to, (int)number, &info);
    mf_unlock();
    return result;
}
