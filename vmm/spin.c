/* SPDX-License-Identifier: MIT */
/* How long to look for work before a sleep, and what was learnt about it. */
#include "vmm/spin.h"

#include <sys/resource.h>

#include "vmm/base/os.h"
#include "vmm/base/util.h"

/* The shortest look after long sleeps, as a part of the longest. */
#define LEAST_PART 4

/* From less it could not grow again. */
#define LEAST_NS 1000u

uint64_t spin_displaced(void)
{
    struct rusage usage;

    if (os_syscall(SYS_getrusage, RUSAGE_THREAD, &usage))
        return 0;
    return (uint64_t)usage.ru_nivcsw;
}

void spin_init(struct spin *spin, uint64_t first_ns)
{
    *spin = (struct spin){
        .max_ns = first_ns * SPIN_GROWTH,
        .limit_ns = first_ns,
    };
}

void spin_found(struct spin *spin, uint64_t ns)
{
    uint64_t least_ns = spin->max_ns / LEAST_PART;

    if (ns <= spin->max_ns)
        spin->limit_ns = min_u64(spin->max_ns, spin->limit_ns * 2);
    else
        spin->limit_ns =
            min_u64(spin->limit_ns, max_u64(least_ns, spin->limit_ns / 2));
}

void spin_missed(struct spin *spin)
{
    uint64_t displaced;

    if (spin->max_ns == 0)
        return;
    displaced = spin_displaced();
    if (displaced > spin->displaced)
        spin->limit_ns /= 4;
    spin->displaced = displaced;
    spin->limit_ns = max_u64(spin->limit_ns, min_u64(spin->max_ns, LEAST_NS));
}

void spin_yield(void)
{
    os_syscall(SYS_sched_yield);
}
