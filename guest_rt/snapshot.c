/* SPDX-License-Identifier: MIT */
/* The snapshot of a program that is about to accept its first connection. */
#include "guest_rt/generation.h"

#include <stdbool.h>

#include "guest_rt/hypercall.h"

static bool listens, done;

void snapshot_note_listening(void)
{
    listens = true;
}

bool snapshot_before_wait(void)
{
    uint32_t asked =
        __atomic_load_n(&mf_boot_page()->snapshot, __ATOMIC_RELAXED);

    if (!listens || done || !(asked >> MF_SNAPSHOT_ACCEPT & 1))
        return false;
    done = true;
    generation_offer(MF_HC_SNAPSHOT, MF_SNAPSHOT_ACCEPT);
    return true;
}
