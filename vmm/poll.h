/* SPDX-License-Identifier: MIT */
/* How long to look for work before a sleep, and what was learnt about it. */
#ifndef VMM_POLL_H
#define VMM_POLL_H

/*
 * Waking a thread costs more than a look for work that comes soon, and a look
 * in vain costs a processor. So the time to look follows what it earns: work
 * that came soon makes it longer, up to a bound; a look in vain makes it
 * shorter, and much shorter if there were involuntary context switches
 * meanwhile: somebody else wanted the processor.
 *
 * A struct poll belongs to the thread that looks.
 */

#include <stdint.h>

struct poll {
    uint64_t max_ns;   /* at most; 0: never */
    uint64_t limit_ns; /* now */
    long displaced;    /* involuntary context switches so far */
};

/* Begins with the longest look. */
void poll_init(struct poll *poll, uint64_t max_ns);

/* Work came `ns` after the look began, in it or in the sleep after it. */
void poll_found(struct poll *poll, uint64_t ns);

/* A look was in vain. */
void poll_missed(struct poll *poll);

/* Lets whoever waits for this processor have it first. */
void poll_yield(void);

#endif
