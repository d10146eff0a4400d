/* SPDX-License-Identifier: MIT */
/* Serving a VM's devices, waiting for them, and telling its guest. */
#ifndef VMM_SERVE_H
#define VMM_SERVE_H

/*
 * Which thread serves what: consoles and other slow devices always the thread
 * that runs the VM; disks and networks that thread as well, until there is
 * enough to do for the I/O thread (io.h). All functions belong to the thread
 * that runs the VM, and are declared apart from vm.h because only run.c and
 * confine.c call them.
 */

#include "vmm/vm.h"

/*
 * Makes what the I/O thread will need, if the VM has devices for it, before the
 * process is confined. Returns 0 or a negative errno.
 */
MUST_CHECK int serve_prepare(struct mayfly *vm);

/* Ends the I/O thread and frees all that. */
void serve_end(struct mayfly *vm);

/* Returns whether the run is to end: somebody asked for it, or time is up. */
bool serve_must_end(struct mayfly *vm, struct mayfly_result *result);

/*
 * Serves all of this thread's rings until there is nothing left to do. Returns
 * whether the run ends because of it.
 */
MUST_CHECK bool serve_all(struct mayfly *vm, struct mayfly_result *result);

/*
 * The guest has kicked the devices in `doorbells`, or done something else to
 * them (`kicked` is false) for which they are to be served. Returns likewise.
 */
MUST_CHECK bool serve_kick(struct mayfly *vm, uint64_t doorbells, bool kicked,
                           struct mayfly_result *result);

/* The tick came: input for buffers that a computing guest has posted. */
void serve_tick(struct mayfly *vm);

/*
 * MF_HC_WAIT: the guest has nothing to do before the event word differs from
 * `seen` or guest time reaches `until_ns`. Returns 0 or a negative errno;
 * `*ended` tells that the run is over.
 */
MUST_CHECK int serve_wait(struct mayfly *vm, uint64_t seen, uint64_t until_ns,
                          struct mayfly_result *result, bool *ended);

/*
 * A run begins. A guest that serves makes no kicks for what it sends: it is
 * looked at when it waits, and at ticks.
 */
void serve_begin(struct mayfly *vm);

/*
 * serve_all() at a tick, for such a guest: it computes. If it has sent
 * something it does make kicks for the rest of the run; and if it then computes
 * on for 1 ms, it is looked at that soon in later runs.
 */
MUST_CHECK bool serve_unasked(struct mayfly *vm, uint64_t now_ns,
                              struct mayfly_result *result);

/* Waits until sockets have taken what is for them, until `until_ns` at most. */
void serve_flush_streams(struct mayfly *vm, uint64_t until_ns);

/* What the guest has asked for before it ended is still to be done. */
void serve_finish(struct mayfly *vm, struct mayfly_result *result);

#endif
