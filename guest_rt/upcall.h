/* SPDX-License-Identifier: MIT */
/* Upcalls, for the scheduler, which shares them with the program. */
#ifndef GUEST_RT_UPCALL_H
#define GUEST_RT_UPCALL_H

#include <mayfly/upcall.h>

/*
 * These bits of the event word, in addition to the program's, cause upcalls
 * that call mf_note_due().
 */
void upcall_watch(uint64_t events);

/* And these always, whatever upcall_watch() says. */
void upcall_watch_always(uint64_t events);

/*
 * So does monotonic time when it reaches this; 0 for never. The monitor looks
 * within 10 ms; if `exact`, a kick makes it look now.
 */
void upcall_set_slice(uint64_t deadline_ns, bool exact);

/* Takes the watched bits that have come since the last call. */
uint64_t upcall_take_watched(void);

#endif
