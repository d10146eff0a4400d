/* SPDX-License-Identifier: MIT */
/* prctl(2): names of threads, and the few settings that mean something here. */
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "guest_rt/syscalls.h"
#include "guest_rt/thread.h"
#include "guest_rt/user.h"

/* Core dumps are the monitor's business; the setting is remembered. */
static long dumpable = 1;

static long set_name(const char *name)
{
    if (!user_can_read_string(name, THREAD_NAME_BYTES - 1))
        return -EFAULT;
    strncpy(thread_current->name, name, THREAD_NAME_BYTES - 1);
    thread_current->name[THREAD_NAME_BYTES - 1] = '\0';
    return 0;
}

long __mayfly_sys_prctl(long option, long a, long b, long c, long d)
{
    (void)b;
    (void)c;
    (void)d;
    switch ((int)option) {
    case PR_SET_NAME:
        return set_name((const char *)a);
    case PR_GET_NAME:
        return USER_PUT(a, thread_current->name);
    case PR_GET_DUMPABLE:
        return dumpable;
    case PR_SET_DUMPABLE:
        if (a != 0 && a != 1)
            return -EINVAL;
        dumpable = a;
        return 0;
    case PR_GET_TIMERSLACK:
        return 1;
    case PR_SET_TIMERSLACK:
    case PR_SET_PDEATHSIG: /* a parent that never ends */
    case PR_SET_NO_NEW_PRIVS:
        return 0;
    case PR_GET_NO_NEW_PRIVS:
        return 1;
    default:
        return -EINVAL;
    }
}
