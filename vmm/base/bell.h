/* SPDX-License-Identifier: MIT */
/* How a thread that is about to sleep is woken, and never missed. */
#ifndef VMM_BASE_BELL_H
#define VMM_BASE_BELL_H

/*
 * A bell belongs to one thread, which sleeps; any other rings it. Nothing is
 * lost if both keep to their order:
 *
 *   the sleeper                          who has work for it
 *     bell_prepare()                       make the work visible
 *     look for work; if there is some:     bell_ring()
 *       bell_wake(), and do it
 *     poll() bell->fd and other files
 *     bell_wake(), which empties bell->fd
 *
 * Either the sleeper's look finds the work, or the ringer sees that it is about
 * to sleep. Ringing costs no system call while the thread is awake. The model
 * of this is tests/model/bell.pml.
 */

#include <stdatomic.h>

#include "vmm/base/util.h"

struct bell {
    int fd;             /* readable when the bell was rung */
    atomic_bool asleep; /* its thread sleeps, or is about to */
};

/* Makes a bell. Returns 0 or a negative errno. */
MUST_CHECK int bell_init(struct bell *bell);

void bell_fini(struct bell *bell);

/* The sleeper announces that it will sleep. Its thread. */
void bell_prepare(struct bell *bell);

/*
 * The sleeper is awake, for whatever reason; `rung` says that poll() found
 * bell->fd readable. Its thread.
 */
void bell_wake(struct bell *bell, bool rung);

/* Wakes the sleeper if it sleeps. Returns whether it did. Any thread. */
bool bell_ring(struct bell *bell);

#endif
