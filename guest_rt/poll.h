/* SPDX-License-Identifier: MIT */
/* Waiting: look at shared memory for a while, then sleep. */
#ifndef GUEST_RT_POLL_H
#define GUEST_RT_POLL_H

/*
 * A sleep costs an exit and a wake-up, some 50 us; a look costs nothing but the
 * processor. So a driver that waits looks first, for a time that follows what
 * looking has earned (as halt polling does in hosts):
 *
 *   - work that came while looking, or so soon after that looking on would have
 *     been cheaper than the sleep: the next look may be twice as long,
 *   - a longer sleep: half as long; below a 16th of the most, one look only.
 *
 * The most is mf_boot.poll_ns at that moment, which the monitor may change; 0
 * means exactly one look. "So soon" is twice that, because a wait that ended in
 * a sleep has the wake-up in it, and poll_ns is about what a sleep costs. A
 * zeroed struct poll is ready for use and begins with the most.
 *
 * One struct poll for each thing that is waited for, such as a device; it
 * belongs to the thread that waits.
 *
 * In a program with the scheduler (sched.h), poll_wait() blocks the calling
 * thread only, and the one struct poll that counts is that of the idle loop.
 */

#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "ring.h"

#define POLL_HALVINGS_MAX 4u /* one more means: do not look any longer */

struct poll {
    uint32_t halvings; /* of the most */
    uint64_t start;    /* of the wait, in ticks of mf_tsc() */
    uint64_t most;     /* poll_ns in ticks, as it was then */
};

/*
 * Set where nothing else may happen during a wait: poll_wait() then waits with
 * the whole program.
 */
extern bool poll_alone;

/*
 * Begins a wait: calls `ready(context)` until it returns true, or the limit of
 * this moment is over, once at least. It is called often and may look at
 * shared memory only: nothing that exits. Returns what it returned last.
 */
bool poll_spin(struct poll *poll, bool (*ready)(void *context), void *context);

/* The wait that began with poll_spin() is over, after a sleep. */
void poll_woke(struct poll *poll);

/*
 * Waits until there is work, or monotonic time is `deadline_ns`
 * (MF_WAIT_FOREVER: never): first as poll_spin() does, then asleep. `arm` asks
 * the other side for an event and returns whether there is work already; it is
 * called before each sleep. `event` are the bits of the event word that then
 * announce it, which are cleared. Returns whether there is work; false means
 * that the deadline is over, which the looking may have outlasted by poll_ns.
 *
 * No wake-up is lost. Each round clears the bits, asks and looks (`arm`), and
 * sleeps on what the word was after the clearing. Work that comes before the
 * look is found by it: `arm` has a fence between asking and looking, whose
 * partner is the device's, between showing its work and reading what was asked.
 * For work that comes after, the device raises the event, and then the word is
 * not what MF_HC_WAIT was told: it does not block. The clearing acquires what
 * event_raise() released.
 */
bool poll_wait(struct poll *poll, uint64_t event, bool (*ready)(void *context),
               bool (*arm)(void *context), void *context, uint64_t deadline_ns);

/*
 * Waits until `device` has used a chain of `ring`, or another thread has reaped
 * one meanwhile. Returns 0, or -EIO if the device has given up (virtio 1.2,
 * 2.1.2).
 */
int poll_ring(struct poll *poll, const struct device *device,
              struct ring *ring);

#endif
