/* SPDX-License-Identifier: MIT */
/* Process groups and sessions: the program leads the only one of each. */
#include <errno.h>

#include "runtime.h"
#include "syscalls.h"

static long check(long pid)
{
    return (int)pid == 0 || (int)pid == MF_PID ? MF_PID : -ESRCH;
}

long __mayfly_sys_getpgid(long pid)
{
    return check(pid);
}

long __mayfly_sys_getpgrp(void)
{
    return MF_PID;
}

long __mayfly_sys_getsid(long pid)
{
    return check(pid);
}

/* Who leads a group already cannot begin a session. */
long __mayfly_sys_setsid(void)
{
    return -EPERM;
}

/* Nor leave its group, leading the session. */
long __mayfly_sys_setpgid(long pid, long group)
{
    if ((int)group < 0)
        return -EINVAL;
    return check(pid) < 0 ? -ESRCH : -EPERM;
}
