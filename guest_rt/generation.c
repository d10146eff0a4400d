/* SPDX-License-Identifier: MIT */
/* What is done when the VM goes on from a snapshot. */
#include "guest_rt/generation.h"

#include <errno.h>
#include <mayfly/snapshot.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/sched.h"

#define CALLS_MAX 32

static struct {
    void (*call)(void *argument);
    void *argument;
} calls[CALLS_MAX];

static unsigned call_count;
static uint64_t seen; /* a VM starts with generation 0 */

void generation_check(void)
{
    struct mf_boot *boot = mf_boot_page();
    uint64_t now = __atomic_load_n(&boot->generation, __ATOMIC_ACQUIRE);

    if (now == seen)
        return;
    seen = now;
    __atomic_and_fetch(&boot->events, ~(UINT64_C(1) << MF_EVENT_GENERATION),
                       __ATOMIC_ACQ_REL);
    for (unsigned i = 0; i < call_count; i++)
        calls[i].call(calls[i].argument);
}

int mayfly_on_clone(void (*call)(void *argument), void *argument)
{
    int result = 0;

    mf_lock();
    if (call_count < CALLS_MAX) {
        calls[call_count].call = call;
        calls[call_count++].argument = argument;
    } else {
        errno = ENOMEM;
        result = -1;
    }
    mf_unlock();
    return result;
}

int mayfly_snapshot_point(void)
{
    const uint32_t asked =
        __atomic_load_n(&mf_boot_page()->snapshot, __ATOMIC_RELAXED);
    long result = 0;

    if (!(asked >> MF_SNAPSHOT_POINT & 1))
        return 0;
    mf_lock();
    result = mf_hypercall(MF_HC_SNAPSHOT, MF_SNAPSHOT_POINT, 0);
    mf_unlock();
    return result == 1;
}
