/* SPDX-License-Identifier: MIT */
/* How often something took how long. */
#ifndef VMM_SERVER_HISTOGRAM_H
#define VMM_SERVER_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BOUNDS 19u /* 50 us to 60 s */

/* Zero-initialised. */
struct histogram {
    uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* between bounds; not cumulative */
    uint64_t sum_ns;
};

/* The bounds, ascending. A bucket takes its bound, too. */
extern const uint64_t histogram_bounds_ns[HISTOGRAM_BOUNDS];

void histogram_add(struct histogram *histogram, uint64_t ns);

#endif
