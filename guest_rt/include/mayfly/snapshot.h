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
 * still meanwhile. Not in a signal handler.
 */
int mayfly_snapshot_point(void);

/*
 * From now on, calls `call` with `argument` in each VM that goes on from a
 * snapshot, before anything else of the program does, in the order in which
 * they were named, when the runtime has done its part. All threads stand still
 * meanwhile, wherever they were.
 *
 * In a clone, that is a VM that goes on from where the program offered it
 * (mayfly_snapshot_point(), mayfly_serve_calls(), its first accept()), it is
 * called on the thread that did, which holds none of the C library's locks, and
 * neither does another: `call` may use random numbers, malloc() and free(),
 * standard output and error, and all that does not wait. What it does wait for
 * (a mutex that another thread has) lets that thread go on too early.
 *
 * In a VM that goes on from a snapshot that was taken at any moment (SIGUSR1),
 * of which there is one, it is called between two instructions of a thread, as
 * a signal handler is, and may use what that may, and getrandom().
 *
 * Returns 0, or -1 with errno ENOMEM (more than 32).
 */
int mayfly_on_clone(void (*call)(void *argument), void *argument);

#ifdef __cplusplus
}
#endif

#endif
