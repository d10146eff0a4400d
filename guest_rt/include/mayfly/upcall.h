/* SPDX-License-Identifier: MIT */
/* Upcalls: what a computing guest gets instead of interrupts. */
#ifndef MAYFLY_UPCALL_H
#define MAYFLY_UPCALL_H

/*
 * A program arms bits of the event word (<mayfly/abi.h>) and names a handler.
 * While it computes, a raised bit interrupts it: the handler is called, on the
 * interrupted stack, with the events that it is for, and the program goes on
 * where it was, every register as it was. While upcalls are masked, or the
 * program waits, events stay raised; unmasking looks for them without an exit.
 * One handler runs at a time. It may do what a signal handler may. Code whose
 * stack pointer is not one masks upcalls first.
 */

#include <stdbool.h>
#include <stdint.h>

#include <mayfly/abi.h>

typedef void mf_upcall_handler(uint64_t events);

/*
 * From now on the bits in `events` call `handler`; 0 disarms. Bits that are
 * raised already call it at once.
 */
void mf_upcall_arm(mf_upcall_handler *handler, uint64_t events);

/* Holds upcalls back. Returns whether they were held back before. */
bool mf_upcall_mask(void);

/*
 * Undoes mf_upcall_mask(), whose answer is `masked`: if that is false, upcalls
 * are let in again, and the handler is called for what has come meanwhile.
 */
void mf_upcall_restore(bool masked);

/*
 * Raises MF_EVENT_TIMER when monotonic time (as CLOCK_MONOTONIC tells it, in
 * nanoseconds) reaches `deadline_ns`; 0 for never. Costs one exit, so that a
 * near deadline is kept.
 */
void mf_upcall_set_timer(uint64_t deadline_ns);

#endif
