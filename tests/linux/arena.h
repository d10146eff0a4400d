/* SPDX-License-Identifier: MIT */
/* Memory that the driver sees at one address and the device at another. */
#ifndef TESTS_LINUX_ARENA_H
#define TESTS_LINUX_ARENA_H

/*
 * Guest-physical addresses are the driver's own, as in the kernel's user-space
 * headers; the device has a second mapping, so that an address used without
 * going through the door to guest memory faults. One arena per process, for
 * one thread at a time.
 */

#include <stddef.h>

#include "vmm/base/gmem.h"

/* Makes the arena and describes it, for the device. */
void arena_init(struct gmem *mem);

/* Unmaps it. */
void arena_fini(const struct gmem *mem);

/* At least `bytes` bytes, for the driver; never fails. */
void *arena_alloc(size_t bytes);

void arena_free(void *at);

/* How many allocations have not been freed. */
size_t arena_used(void);

#endif
