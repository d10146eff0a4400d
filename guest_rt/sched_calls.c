/* SPDX-License-Identifier: MIT */
/* Calls about scheduling: one processor, priorities without effect. */
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/thread.h"

long __mayfly_sys_sched_yield(void)
{
    if (sched_yield_thread) {
        mf_lock();
        sched_yield_thread();
        mf_unlock();
    }
    return 0;
}
