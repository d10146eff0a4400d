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

/*
 * The boot page. It is the guest's own memory, but the monitor writes its
 * clock, event word and generation at any time: read those atomically.
 */
static inline struct mf_boot *mf_boot_page(void)
{
    return (struct mf_boot *)MF_BOOT_PAGE;
}

#endif
