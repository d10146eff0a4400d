/* SPDX-License-Identifier: MIT */
/* Room for VMs, side by side in a few mappings. Internal. */
#ifndef VMM_ROOM_H
#define VMM_ROOM_H

/*
 * KVM goes through all mappings of a process when a VM is made, and takes the
 * lock of each that has pages of its own: a mapping less for each VM makes the
 * thousandth a third cheaper. Any thread. Forking is no problem: a child's VMs
 * are copies, and so is what is known here of them.
 */

#include <stddef.h>

#include "vmm/base/util.h"

/*
 * Stores in `*room` where there are `bytes` bytes, all zero; always the same
 * number of them. Returns 0 or a negative errno.
 */
MUST_CHECK int room_take(size_t bytes, void **room);

/* Gives them, and the memory behind them, back. */
void room_give(void *room, size_t bytes);

#endif
