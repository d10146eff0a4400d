/* SPDX-License-Identifier: MIT */
/* Calls about scheduling: one processor, priorities without effect. */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sys/membarrier.h>
#include <sys/resource.h>
#include <time.h>

#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/thread.h"
#include "guest_rt/user.h"

long __mayfly_sys_sched_yield(void)
{
    if (sched_yield_thread) {
        mf_lock();
        sched_yield_thread();
        mf_unlock();
    }
    return 0;
}

/* A process or thread that there is; 0 is the caller. */
static bool is_known(long tid)
{
    if (tid == 0 || tid == MF_PID)
        return true;
    return thread_find && thread_find((int)tid);
}

/* Priorities that a policy has, or -EINVAL. Deadlines have none. */
static int priority_max(long policy)
{
    switch ((int)policy & ~SCHED_RESET_ON_FORK) {
    case SCHED_FIFO:
    case SCHED_RR:
        return 99;
    case SCHED_OTHER:
    case SCHED_BATCH:
    case SCHED_IDLE:
        return 0;
    default:
        return -EINVAL;
    }
}

static int check_priority(long policy, int priority)
{
    int most = priority_max(policy);

    if (most < 0 || priority < (most > 0) || priority > most)
        return -EINVAL;
    return 0;
}

/* What the calls with a tid and a pointer begin with. Returns 0 or -errno. */
static long check_call(long tid, long pointer)
{
    if ((int)tid < 0 || !pointer)
        return -EINVAL;
    return is_known((int)tid) ? 0 : -ESRCH;
}

/* Threads take turns whatever their policy: there is one, SCHED_OTHER. */
long __mayfly_sys_sched_setscheduler(long tid, long policy, long param)
{
    long error = check_call(tid, param);
    int priority; /* the kernel's struct sched_param */

    if (!error)
        error = USER_GET(priority, param);
    return error ? error : check_priority(policy, priority);
}

long __mayfly_sys_sched_getscheduler(long tid)
{
    if ((int)tid < 0)
        return -EINVAL;
    return is_known((int)tid) ? SCHED_OTHER : -ESRCH;
}

long __mayfly_sys_sched_setparam(long tid, long param)
{
    return __mayfly_sys_sched_setscheduler(tid, SCHED_OTHER, param);
}

long __mayfly_sys_sched_getparam(long tid, long param)
{
    static const int priority;
    long error = check_call(tid, param);

    return error ? error : USER_PUT(param, priority);
}

long __mayfly_sys_sched_get_priority_max(long policy)
{
    return priority_max(policy);
}

long __mayfly_sys_sched_get_priority_min(long policy)
{
    int most = priority_max(policy);

    return most < 0 ? most : most > 0;
}

long __mayfly_sys_sched_rr_get_interval(long tid, long result)
{
    static const struct timespec slice = {.tv_nsec = 10000000};
    long error = check_call(tid, result);

    return error ? error : USER_PUT(result, slice);
}

/* ---- One processor ------------------------------------------------------ */

long __mayfly_sys_sched_getaffinity(long tid, long bytes, long mask)
{
    static const long first = 1;

    if ((unsigned)bytes < sizeof(long) || bytes % (long)sizeof(long))
        return -EINVAL;
    if (!is_known((int)tid))
        return -ESRCH;
    return USER_PUT(mask, first) ? -EFAULT : (long)sizeof(first);
}

long __mayfly_sys_sched_setaffinity(long tid, long bytes, long mask)
{
    unsigned char first = 0;

    if ((unsigned)bytes > 0 && USER_GET(first, mask))
        return -EFAULT;
    if (!is_known((int)tid))
        return -ESRCH;
    return first & 1 ? 0 : -EINVAL;
}

long __mayfly_sys_getcpu(long cpu, long node, long unused)
{
    static const unsigned first;

    (void)unused;
    if ((cpu && USER_PUT(cpu, first)) || (node && USER_PUT(node, first)))
        return -EFAULT;
    return 0;
}

/* Threads see each other's writes in order where there is one processor. */
long __mayfly_sys_membarrier(long command, long flags, long cpu)
{
    const int known = MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
                      MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED |
                      MEMBARRIER_CMD_PRIVATE_EXPEDITED |
                      MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;

    (void)cpu;
    if (flags)
        return -EINVAL;
    if (command == MEMBARRIER_CMD_QUERY)
        return known;
    return command & (command - 1) || !(command & known) ? -EINVAL : 0;
}

/* ---- Nice values, remembered -------------------------------------------- */

static int nice_value;

/* A process, a group or a user: all are this one. Returns 0 or -errno. */
static long check_who(long which, long who)
{
    if ((int)which < PRIO_PROCESS || (int)which > PRIO_USER)
        return -EINVAL;
    if ((int)which == PRIO_USER)
        return who ? -ESRCH : 0;
    return is_known((int)who) ? 0 : -ESRCH;
}

/* As the kernel has it: 20 - nice, so that it is positive. */
long __mayfly_sys_getpriority(long which, long who)
{
    long error = check_who(which, who);

    return error ? error : 20 - nice_value;
}

long __mayfly_sys_setpriority(long which, long who, long value)
{
    long error = check_who(which, who);

    if (error)
        return error;
    nice_value = (int)value < -20 ? -20 : (int)value > 19 ? 19 : (int)value;
    return 0;
}
