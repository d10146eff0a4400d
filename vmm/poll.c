/* SPDX-License-Identifier: MIT */
/* How long to look for work before a sleep, and what was learnt about it. */
#include "vmm/poll.h"

#include <sys/resource.h>

#include "vmm/base/os.h"
#include "vmm/base/util.h"

/* The shortest look after long sleeps, as a part of the longest. */
#define LEAST_PART 4

/* From less it could not grow again. */
#define LEAST_NS 1000u

static long displaced_so_far(void)
{
    struct rusage usage;

    if (os_syscall(SYS_getrusage, RUSAGE_THREAD, &usage))
        return 0;
    return usage.ru_nivcsw;
}

void poll_init(struct poll *poll, uint64_t max_ns)
{
    *poll = (struct poll){.max_ns = max_ns, .limit_ns = max_ns};
}

void poll_found(struct poll *poll, uint64_t ns)
{
    uint64_t least_ns = poll->max_ns / LEAST_PART;

    if (ns <= poll->max_ns)
        poll->limit_ns = min_u64(poll->max_ns, poll->limit_ns * 2);
    else
        poll->limit_ns =
            min_u64(poll->limit_ns, max_u64(least_ns, poll->limit_ns / 2));
}

void poll_missed(struct poll *poll)
{
    long displaced;

    if (poll->max_ns == 0)
        return;
    displaced = displaced_so_far();
    if (displaced > poll->displaced)
        poll->limit_ns /= 4;
    poll->displaced = displaced;
    poll->limit_ns = max_u64(poll->limit_ns, min_u64(poll->max_ns, LEAST_NS));
}

void poll_yield(void)
{
    os_syscall(SYS_sched_yield);
}
