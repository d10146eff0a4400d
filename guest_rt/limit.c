/* SPDX-License-Identifier: MIT */
/* Resource limits: told, kept, and enforced for descriptors. */
#include <string.h>
#include <sys/resource.h>

#include "guest_rt/file.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"

/* A program that opens nothing has no limit of descriptors to change. */
#pragma weak file_limit

static struct rlimit limits[RLIM_NLIMITS];

/* What Linux's would be on a machine like this one. */
static void fill(void)
{
    const struct mf_boot *boot = mf_boot_page();
    static const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    static bool filled;

    if (filled)
        return;
    filled = true;
    for (int i = 0; i < RLIM_NLIMITS; i++)
        limits[i] = none;
    limits[RLIMIT_STACK].rlim_cur = boot->stack_top - boot->stack_low;
    limits[RLIMIT_CORE].rlim_cur = 0;
    limits[RLIMIT_NOFILE].rlim_cur = FILE_DESCRIPTORS_MAX;
    limits[RLIMIT_NOFILE].rlim_max = FILE_DESCRIPTORS_MAX;
    limits[RLIMIT_NICE] = limits[RLIMIT_RTPRIO] = (struct rlimit){0, 0};
}

static long set(long resource, const struct rlimit *wanted)
{
    if (wanted->rlim_cur > wanted->rlim_max)
        return -EINVAL;
    if (resource == RLIMIT_NOFILE) {
        if (wanted->rlim_max > FILE_DESCRIPTORS_MAX)
            return -EPERM;
        if (&file_limit)
            file_limit = (unsigned)wanted->rlim_cur;
    }
    if (resource == RLIMIT_AS && &mf_memory_limit_bytes)
        mf_memory_limit_bytes = wanted->rlim_cur;
    limits[resource] = *wanted;
    return 0;
}

static long call(long pid, long resource, const struct rlimit *wanted,
                 struct rlimit *result)
{
    struct rlimit new;

    if (pid != 0 && pid != MF_PID)
        return -ESRCH;
    if (resource < 0 || resource >= RLIM_NLIMITS)
        return -EINVAL;
    if ((wanted && !user_can_read(wanted, sizeof(*wanted))) ||
        (result && !user_can_write(result, sizeof(*result))))
        return -EFAULT;
    fill();
    if (wanted)
        new = *wanted; /* may be where the result goes */
    if (result)
        *result = limits[resource];
    return wanted ? set(resource, &new) : 0;
}

long __mayfly_sys_prlimit64(long pid, long resource, long wanted, long result)
{
    long error;

    mf_lock();
    error = call((int)pid, (int)resource, (const struct rlimit *)wanted,
                 (struct rlimit *)result);
    mf_unlock();
    return error;
}

long __mayfly_sys_getrlimit(long resource, long result)
{
    return __mayfly_sys_prlimit64(0, resource, 0, result);
}

long __mayfly_sys_setrlimit(long resource, long wanted)
{
    return __mayfly_sys_prlimit64(0, resource, wanted, 0);
}
