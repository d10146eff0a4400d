/* SPDX-License-Identifier: MIT */
/* Moments at which the program offers to be snapshotted. */
#include <mayfly/snapshot.h>
#include <stdio.h>

#include "guest_rt/generation.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/thread.h"

/*
 * In a clone, functions of the program are called while all other threads stand
 * still, wherever they were. For those functions to be able to use malloc() and
 * printf(), no thread may stand in the middle of these: this one takes their
 * locks before, as fork() does, and gives them back in each of the VMs. With
 * one thread there is nobody else.
 *
 * musl's own, of which it has no declarations; and only of what is linked.
 */
extern FILE *volatile __stdout_used __attribute__((weak));
extern FILE *volatile __stderr_used __attribute__((weak));
void __malloc_atfork(int who) __attribute__((weak));

#define TAKE      (-1)
#define GIVE_BACK 0

static bool take_locks(void)
{
    if (thread_count < 2)
        return false;
    if (&__stdout_used && __stdout_used)
        flockfile(__stdout_used);
    if (&__stderr_used && __stderr_used)
        flockfile(__stderr_used);
    if (__malloc_atfork)
        __malloc_atfork(TAKE);
    return true;
}

static void give_locks_back(void)
{
    if (__malloc_atfork)
        __malloc_atfork(GIVE_BACK);
    if (&__stderr_used && __stderr_used)
        funlockfile(__stderr_used);
    if (&__stdout_used && __stdout_used)
        funlockfile(__stdout_used);
}

long generation_offer(unsigned hypercall, uint64_t argument)
{
    bool taken;
    long result;

    mf_lock();
    taken = take_locks();
    generation_watch();
    if (inet_finish_sending)
        inet_finish_sending();
    result = mf_hypercall(hypercall, argument, 0);
    if (taken)
        give_locks_back();
    if (on_clone_run)
        on_clone_run();
    mf_unlock();
    return result;
}

int mayfly_snapshot_point(void)
{
    const uint32_t asked =
        __atomic_load_n(&mf_boot_page()->snapshot, __ATOMIC_RELAXED);

    if (!(asked >> MF_SNAPSHOT_POINT & 1))
        return 0;
    return generation_offer(MF_HC_SNAPSHOT, MF_SNAPSHOT_POINT) == 1;
}
