/* SPDX-License-Identifier: MIT */
/* Real time that jumps. */
#ifndef GUEST_RT_CLOCK_JUMP_H
#define GUEST_RT_CLOCK_JUMP_H

/*
 * All waiting is for monotonic time. Real time goes along with it, but for one
 * moment: a VM that goes on from a snapshot finds the monotonic time that it
 * left, and the real time that it is. Whoever waits for a real time hears of
 * that here, and counts anew.
 */

/* All zero but `jumped` is one that is not added. */
struct clock_watch {
    struct clock_watch *next, **link;
    /* With the lock, on any thread, in the middle of anything: must not block.
     */
    void (*jumped)(struct clock_watch *watch);
};

/* Adds it, if it is not added. */
void clock_watch_add(struct clock_watch *watch);

/* Takes it out, if it is added. */
void clock_watch_remove(struct clock_watch *watch);

#endif
