/* SPDX-License-Identifier: MIT */
/* Clocks that count what a program runs. */
#ifndef GUEST_RT_CPU_CLOCK_H
#define GUEST_RT_CPU_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds that all threads together have run. With the lock held. */
uint64_t cpu_clock_process_ns(void);

/*
 * Reads a CPU-time clock: of the process, of the calling thread, or one that
 * clock_getcpuclockid(3) or pthread_getcpuclockid(3) names. Returns 0, or
 * -EINVAL for any other clock. With the lock held.
 */
int cpu_clock_read(clockid_t clock, uint64_t *ns);

/* MF_HC_WAIT, in programs that contain this: notes how long it took. */
long cpu_clock_wait(uint64_t seen, uint64_t until_ns) __attribute__((weak));

#endif
