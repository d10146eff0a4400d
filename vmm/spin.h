/* SPDX-License-Identifier: MIT */
/* How long to look for work before a sleep, and what was learnt about it. */
#ifndef VMM_SPIN_H
#define VMM_SPIN_H

/*
 * Waking a thread costs more than a look for work that comes soon, and a look
 * in vain costs a processor. So the time to look follows what it earns: work
 * that came soon makes it longer, up to a bound; a look in vain makes it
 * shorter, and much shorter if there were involuntary context switches
 * meanwhile: somebody else wanted the processor.
 *
 * A struct spin belongs to the thread that looks.
 */

#include <stdint.h>

struct spin {
    uint64_t max_ns;    /* at most; 0: never */
    uint64_t limit_ns;  /* now */
    uint64_t displaced; /* involuntary context switches so far */
};

/*
 * Begins with looks of `first_ns`, the processor's owner's idea of what is not
 * too long; they may grow to SPIN_GROWTH times that, as spin_yield() makes them
 * cheap for everybody else. 0: no looks.
 */
void spin_init(struct spin *spin, uint64_t first_ns);

#define SPIN_GROWTH 4u

/* Work came `ns` after the look began, in it or in the sleep after it. */
void spin_found(struct spin *spin, uint64_t ns);

/* A look was in vain. */
void spin_missed(struct spin *spin);

/* Involuntary context switches of this thread so far. */
uint64_t spin_displaced(void);

/* Lets whoever waits for this processor have it first. */
void spin_yield(void);

#endif
