/* SPDX-License-Identifier: MIT */
/* What is done when the VM goes on from a snapshot. */
#include "guest_rt/generation.h"

#include <sys/auxv.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/sched.h"

#pragma weak upcall_watch_always
#include "guest_rt/upcall.h"

#define EVENT (UINT64_C(1) << MF_EVENT_GENERATION)

static uint64_t seen; /* a VM starts with generation 0 */

/* For who reads it from now on. Those who have, such as musl, keep theirs. */
static void renew_auxiliary(void)
{
    void *random = (void *)getauxval(AT_RANDOM);

    if (random)
        mf_random_fill(random, 16);
}

void generation_check(bool many)
{
    struct mf_boot *boot = mf_boot_page();
    uint64_t now = __atomic_load_n(&boot->generation, __ATOMIC_ACQUIRE);

    if (now == seen)
        return;
    seen = now;
    __atomic_and_fetch(&boot->events, ~EVENT, __ATOMIC_ACQ_REL);
    mf_lock();
    renew_auxiliary();
    if (clock_jumped)
        clock_jumped();
    if (inet_renew)
        inet_renew(many);
    /* Last: what the program does about it finds the rest done. */
    if (on_clone_tell)
        on_clone_tell(many);
    mf_unlock();
}

void generation_due(void)
{
    if (mf_runtime_lock.depth > 0)
        return;
    mf_lock();
    generation_check(false);
    if (on_clone_run)
        on_clone_run();
    mf_runtime_lock.depth--; /* the caller sees to what is due */
}

void generation_watch(void)
{
    if (upcall_watch_always)
        upcall_watch_always(EVENT);
}
