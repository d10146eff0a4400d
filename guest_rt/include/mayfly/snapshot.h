/* SPDX-License-Identifier: MIT */
/* Snapshots and clones, as a program sees them. */
#ifndef MAYFLY_SNAPSHOT_H
#define MAYFLY_SNAPSHOT_H

/*
 * A VM can go on from a snapshot, and many VMs from the same one: clones. What
 * the runtime knows of is different in each, before the program goes on: random
 * numbers and what is made of them, clocks, addresses. What the program itself
 * made and must not share (keys, session numbers, open transactions with
 * others) it makes anew in a function that it names here.
 */

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Here is a good moment for a snapshot: all is set up, nothing secret made.
 * Returns 0 where the program came here by itself (whether or not a snapshot
 * was taken), and 1 in VMs that go on from it. Any thread; the others stand
 * still meanwhile.
 */
int mayfly_snapshot_point(void);

/*
 * From now on, calls `call` with `argument` in each VM that goes on from a
 * snapshot, before anything else of the program does, in the order in which
 * they were named. On whatever thread goes on first, with others standing
 * still: it may use memory and random numbers, and must not wait. Returns 0,
 * or -1 with errno ENOMEM (more than 32).
 */
int mayfly_on_clone(void (*call)(void *argument), void *argument);

#ifdef __cplusplus
}
#endif

#endif
