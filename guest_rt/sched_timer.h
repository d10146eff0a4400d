/* SPDX-License-Identifier: MIT */
/* Timers, for the scheduler: what is due, and when. */
#ifndef GUEST_RT_SCHED_TIMER_H
#define GUEST_RT_SCHED_TIMER_H

#include "sched.h"

/* The earliest deadline of a running timer, or WAIT_NO_END. */
uint64_t timer_next_ns(void);

/* Fires all timers whose deadline is not after `now_ns`, the earliest first. */
void timer_fire_until(uint64_t now_ns);

/* The scheduler's: the earliest deadline has become another, earlier one. */
void timer_root_changed(void);

#endif
