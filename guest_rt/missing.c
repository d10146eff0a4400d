/* SPDX-License-Identifier: MIT */
/* System calls without an implementation. */
#include <errno.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/syscalls.h"

long __mayfly_sys_missing(long number)
{
    struct mf_missing *missing = mf_boot_page()->missing;

    for (unsigned i = 0; i < MF_MISSING_MAX; i++) {
        if (missing[i].count && missing[i].number != (uint32_t)number)
            continue;
        missing[i].number = (uint32_t)number;
        if (missing[i].count != UINT32_MAX)
            missing[i].count++;
        break;
    }
    return -ENOSYS;
}

/* What is NONE in the list; an image contains those that it calls. */
#define MISSING_FULL(number, name, arguments)
#define MISSING_PARTIAL(number, name, arguments)
#define MISSING_NONE(number, name, arguments)               \
    long __mayfly_sys_##name(MAYFLY_PARAMETERS_##arguments) \
    {                                                       \
        return __mayfly_sys_missing(number);                \
    }
#define MISSING(number, name, arguments, state, note) \
    MISSING_##state(number, name, arguments)
MAYFLY_SYSCALLS(MISSING)
