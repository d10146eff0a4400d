/* SPDX-License-Identifier: MIT */
/* What the program has used: getrusage and times. */
#include <errno.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/times.h>

#include "guest_rt/cpu_clock.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/thread.h"
#include "guest_rt/user.h"

#define TICK_NS 10000000u /* AT_CLKTCK is 100 */

static struct timeval timeval_from_ns(uint64_t ns)
{
    return (struct timeval){.tv_sec = (time_t)(ns / 1000000000),
                            .tv_usec = (suseconds_t)(ns % 1000000000 / 1000)};
}

static void add_switches(struct rusage *usage, const struct thread *thread)
{
    usage->ru_nvcsw += (long)thread->switches;
    usage->ru_nivcsw += (long)thread->preemptions;
}

/* All time is the program's: the runtime is a part of it. */
static void fill_process(struct rusage *usage)
{
    const struct thread *thread = &thread_main;

    usage->ru_utime = timeval_from_ns(cpu_clock_process_ns());
    usage->ru_maxrss =
        (long)((mf_boot_page()->mem_bytes - mf_memory_free_bytes()) / 1024);
    do
        add_switches(usage, thread);
    while ((thread = thread->next) != &thread_main);
}

static void fill_thread(struct rusage *usage)
{
    uint64_t ns = 0;

    cpu_clock_read(CLOCK_THREAD_CPUTIME_ID, &ns);
    usage->ru_utime = timeval_from_ns(ns);
    add_switches(usage, thread_current);
}

long __mayfly_sys_getrusage(long who, long result)
{
    struct rusage usage = {0};

    mf_lock();
    if ((int)who == RUSAGE_SELF)
        fill_process(&usage);
    else if ((int)who == RUSAGE_THREAD)
        fill_thread(&usage);
    mf_unlock();
    if ((int)who != RUSAGE_SELF && (int)who != RUSAGE_THREAD &&
        (int)who != RUSAGE_CHILDREN)
        return -EINVAL;
    /* The kernel's structure ends before musl's reserve. */
    return user_put((void *)result, &usage,
                    offsetof(struct rusage, __reserved));
}

long __mayfly_sys_times(long result)
{
    struct tms times = {0};

    mf_lock();
    times.tms_utime = (clock_t)(cpu_clock_process_ns() / TICK_NS);
    mf_unlock();
    if (result && USER_PUT(result, times))
        return -EFAULT;
    return (long)(mf_clock_monotonic() / TICK_NS);
}
