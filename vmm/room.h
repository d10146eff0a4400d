/* SPDX-License-Identifier: MIT */
/* Room for VMs and for their memory, side by side in few mappings. Internal. */
#ifndef VMM_ROOM_H
#define VMM_ROOM_H

/*
 * KVM goes through all mappings of a process when a VM is made, and takes the
 * lock of each that has pages of its own: a mapping less for each VM makes the
 * thousandth a third cheaper. So rooms, all of one size, are in rows of one
 * mapping each. And what a process unmaps is announced to all of its VMs: a
 * room that was given back is emptied together with others, or with its row.
 * The last row stays, empty, for VMs that come and go one by one.
 *
 * Any thread. Forking is no problem: a child's VMs are copies, and so is what
 * is known here of them.
 */

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/util.h"

#define ROOMS_IN_ROW_MAX 16u

/* Memory of VMs that are gone which may wait for being given to the host. */
#define ROOMS_STALE_BYTES_MAX (UINT64_C(64) << 20)

struct rooms;

/*
 * Makes rooms of `bytes` bytes, whole pages, `in_row` of them in a row. They
 * are what is in `file`, which holds as many, one behind the other: private
 * copies. The file is theirs from now on. Returns 0 or a negative errno: then
 * it is still the caller's.
 */
MUST_CHECK int rooms_open(size_t bytes, unsigned in_row, int file,
                          struct rooms **rooms);

/* Ends them as soon as all are given back. NULL: there are none. */
void rooms_close(struct rooms *rooms);

/* Stores in `*room` where one is that is as new. Returns 0 or -errno. */
MUST_CHECK int rooms_take(struct rooms *rooms, void **room);

/* Gives it back, and the memory behind it, at once or soon. */
void rooms_give(struct rooms *rooms, void *room);

/*
 * The same, of `bytes` bytes that are all zero; always the same number of them.
 */
MUST_CHECK int room_take(size_t bytes, void **room);
void room_give(void *room, size_t bytes);

#endif
