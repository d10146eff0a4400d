/* SPDX-License-Identifier: MIT */
/* Clocks that count what a program runs: all but its waits. */
#include "guest_rt/cpu_clock.h"

#include <errno.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/thread.h"

/* Waits of a program without the scheduler, which counts what threads run. */
static uint64_t waited_ns;

long cpu_clock_wait(uint64_t seen, uint64_t until_ns)
{
    uint64_t start_ns = mf_clock_monotonic();
    long events = mf_hypercall_out(MF_HC_WAIT, seen, until_ns);

    waited_ns += mf_clock_monotonic() - start_ns;
    return events;
}

uint64_t cpu_clock_process_ns(void)
{
    if (sched_process_ns)
        return sched_process_ns();
    return mf_clock_monotonic() - waited_ns;
}

static int read_thread(int tid, uint64_t *ns)
{
    const struct thread *thread = thread_current;

    if (tid && tid != thread->tid)
        thread = thread_find ? thread_find(tid) : NULL;
    if (!thread)
        return -EINVAL;
    *ns = sched_run_ns ? sched_run_ns(thread) : cpu_clock_process_ns();
    return 0;
}

int cpu_clock_read(clockid_t clock, uint64_t *ns)
{
    /* Negative numbers: ~id in the upper bits, bit 2 for a thread. */
    int id = ~(clock >> 3);

    if (clock == CLOCK_THREAD_CPUTIME_ID)
        return read_thread(0, ns);
    if (clock < 0 && clock & 4)
        return (clock & 3) == 3 ? -EINVAL : read_thread(id, ns);
    if (clock == CLOCK_PROCESS_CPUTIME_ID ||
        (clock < 0 && (clock & 3) != 3 && (id == 0 || id == MF_PID))) {
        *ns = cpu_clock_process_ns();
        return 0;
    }
    return -EINVAL;
}
