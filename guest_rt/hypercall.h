/* SPDX-License-Identifier: MIT */
/* The guest's way to the monitor: the hypercall and the boot page. */
#ifndef MAYFLY_HYPERCALL_H
#define MAYFLY_HYPERCALL_H

#include <stdint.h>
#include <mayfly/abi.h>

/*
 * Exits to the monitor with hypercall `number` (enum mf_hypercall) and its
 * arguments. Returns the monitor's answer: 0 or more, or -errno. It is a
 * function of its own so that a test on the host can link another one.
 */
long mf_hypercall(unsigned number, uint64_t a, uint64_t b);

/* The instruction alone, without what clocks note of waits (cpu_clock.c). */
long mf_hypercall_out(unsigned number, uint64_t a, uint64_t b);

/* The time stamp counter, whose rate is mf_clock.tsc_khz. Likewise. */
uint64_t mf_tsc(void);

/*
 * Who wants to do something before the guest sleeps (report.h), or NULL. A
 * pointer, so that programs that do not need it do not have it. Gets the
 * deadline of the sleep and returns it, or an earlier one to be called again.
 */
extern uint64_t (*mf_before_sleep)(uint64_t deadline_ns);

/* What to hand to MF_HC_WAIT for a sleep until deadline_ns. */
static inline uint64_t mf_sleep_deadline(uint64_t deadline_ns)
{
    return mf_before_sleep ? mf_before_sleep(deadline_ns) : deadline_ns;
}

/*
 * The boot page. It is the guest's own memory, but the monitor writes its
 * clock, event word and generation at any time: read those atomically.
 */
static inline struct mf_boot *mf_boot_page(void)
{
    return (struct mf_boot *)MF_BOOT_PAGE;
}

#endif
