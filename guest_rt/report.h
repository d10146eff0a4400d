/* SPDX-License-Identifier: MIT */
/* Free page reporting: memory that was given back goes back to the host. */
#ifndef GUEST_RT_REPORT_H
#define GUEST_RT_REPORT_H

/*
 * A VM with a balloon device that has VIRTIO_BALLOON_F_PAGE_REPORTING
 * (virtio 1.2, 5.5.6.7) is told which memory is free, and gives the host's
 * pages behind it back. Memory that is used again costs the host a fresh page,
 * some 4.4 us each, so reporting must not be done all the time:
 *
 *   - ranges below REPORT_LEAST do not count,
 *   - below REPORT_BYTES_MIN in all there is no report,
 *   - after one, the next comes no sooner than ten times what touching all the
 *     reported pages again would take. So a program that frees and allocates in
 *     a loop loses a tenth of its time at most.
 *
 * A guest that goes to sleep earlier than that wakes once when that time is
 * over, reports, and sleeps on.
 *
 * A report is made as a whole, before anybody can use the memory: it has ended
 * when the function returns. As the standard wants it, what was in the memory
 * counts as lost: the allocator clears it when it hands it out again. Memory in
 * use is reported only if the program has said that it does not need what is in
 * it (madvise).
 *
 * Without such a device, or after it has failed, all this does nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region.h"

#define REPORT_LEAST     (UINT64_C(64) << 10)
#define REPORT_BYTES_MIN (UINT64_C(1) << 20)

/* Ten times what the host needs for a page that is touched again. */
#define REPORT_NS_PER_PAGE 44000u

/*
 * `bytes` bytes were given back to one of the `count` regions, of which only
 * the caller is the user. Reports, if it is time.
 */
void report_freed(struct region *regions, unsigned count, size_t bytes);

/*
 * The program needs [from, to) no more as it is, though it goes on using the
 * memory. Reports it, if that is worth it and it is time. With `as_zero` the
 * memory is all zero and has to stay so, which Mayfly's own device promises and
 * others do not.
 */
void report_range(uintptr_t from, uintptr_t to, bool as_zero);

/*
 * The program is about to sleep until `deadline_ns`. Reports, if it is time.
 * Returns the deadline for the sleep: an earlier one if there is something to
 * report then. report_freed() makes it known as mf_before_sleep.
 */
uint64_t report_before_sleep(uint64_t deadline_ns);

#endif
