/* SPDX-License-Identifier: MIT */
/* The signal that looks after a computing guest, every few milliseconds. */
#ifndef VMM_TICK_H
#define VMM_TICK_H

/*
 * While the guest computes, the tick stops its processor from time to time:
 * output must not lie in a ring for long, limits are to be kept, and a timer
 * upcall may be due. An idle guest waits in the monitor instead, where nothing
 * ticks.
 *
 * It belongs to the thread, not to the VM: whichever VM the thread runs is the
 * one that is stopped. A thread that runs one after the other would else be
 * interrupted once for each that it does not run any more, which takes about as
 * long as making the vCPU of another one.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/util.h"

#define TICK_NS 10000000ull /* from one to the next */

struct tick {
    int timer;        /* the kernel's id */
    bool made;        /* `timer` exists */
    uint64_t next_ns; /* host monotonic time of its next signal, or a little
                         later than that; 0: disarmed */
};

/*
 * Makes a disarmed tick that sends `signal` to `thread` (the kernel's id).
 * Returns 0 or a negative errno.
 */
MUST_CHECK int tick_create(struct tick *tick, pid_t thread, int signal);

/* Also for one that was never made. */
void tick_destroy(struct tick *tick);

/*
 * Before the guest runs: the tick comes at `due_ns` (host monotonic) if that is
 * sooner, and every TICK_NS anyway. Usually it is armed already and there is
 * nothing to do. Returns 0 or a negative errno.
 */
MUST_CHECK int tick_arm(struct tick *tick, uint64_t due_ns);

/* It has come, at `now_ns`. */
void tick_came(struct tick *tick, uint64_t now_ns);

MUST_CHECK int tick_disarm(struct tick *tick);

/*
 * Stores in `*tick` the calling thread's own, made with `signal` when first
 * asked for, and in `*thread` the kernel's number of the thread. It goes with
 * the thread. Returns 0 or a negative errno.
 */
MUST_CHECK int tick_join(int signal, struct tick **tick, pid_t *thread);

/* For each tick_join() of the calling thread: nobody else, no more ticks. */
void tick_leave(void);

/*
 * For the signal's handler: timer number `timer` has sent it to a thread that
 * runs no VM. It does not do so again before it is armed anew.
 */
void tick_stray(int timer);

#endif
