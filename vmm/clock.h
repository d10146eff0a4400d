/* SPDX-License-Identifier: MIT */
/* The guest's clock: host time, told as a function of the time-stamp counter.
 */
#ifndef VMM_CLOCK_H
#define VMM_CLOCK_H

/*
 * The guest computes its time from the TSC and struct mf_clock in the boot
 * page, without an exit. The monitor brings that up to date when the guest
 * waits and from time to time otherwise. Guest monotonic time is the host's,
 * counted from the VM's start, and never goes back: a guest that ran ahead by
 * an imprecise rate is slowed a little until the host has caught up.
 *
 * Belongs to the thread that runs the VM, and is published only while the
 * guest does not run.
 */

#include <stdint.h>

#include <mayfly/abi.h>

#include "vmm/base/gmem.h"
#include "vmm/base/util.h"

struct clock {
    uint64_t epoch_ns;   /* host monotonic time at the VM's start */
    uint64_t epoch_tsc;  /* TSC then */
    uint64_t start_ns;   /* guest monotonic time then */
    uint64_t updated_ns; /* host monotonic time at the last update */
    struct mf_clock now; /* what the guest was told last */
};

/* Starts guest time at 0, with a TSC of `tsc_khz`, more than 0. */
void clock_init(struct clock *clock, uint32_t tsc_khz);

/*
 * Starts guest time at `monotonic_ns`, for a guest that knows a clock already:
 * `seq` is its sequence number there.
 */
void clock_resume(struct clock *clock, uint32_t tsc_khz, uint64_t monotonic_ns,
                  uint32_t seq);

/* Takes the time again. */
void clock_update(struct clock *clock);

/* Writes clock->now to the boot page. Returns 0 or -EFAULT. */
MUST_CHECK int clock_publish(struct clock *clock, const struct gmem *mem);

/* Host monotonic time of a guest monotonic time, saturating. */
uint64_t clock_host_from_guest(const struct clock *clock, uint64_t guest_ns);

/* Guest monotonic time now, as the host sees it. */
uint64_t clock_guest_ns(const struct clock *clock);

/* Host monotonic time of a guest TSC value; 0 if it makes no sense. */
uint64_t clock_host_from_tsc(const struct clock *clock, uint64_t tsc);

#endif
