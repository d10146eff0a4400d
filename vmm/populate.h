/* SPDX-License-Identifier: MIT */
/* Memory that the guest is about to touch, provided at once. */
#ifndef VMM_POPULATE_H
#define VMM_POPULATE_H

#include "vmm/base/gmem.h"

/*
 * Has the host provide [at, at + bytes) of guest memory now, if at least half
 * of the MF_POPULATE_PROBE bytes above it are there: MF_HC_POPULATE. A guest
 * could touch all that itself, so it gains nothing but time; the call is short
 * whatever it asks for. Returns how many bytes were provided, 0 for none, or a
 * negative errno for what no guest should ask for.
 */
MUST_CHECK long populate(const struct gmem *mem, uint64_t at, uint64_t bytes);

#endif
