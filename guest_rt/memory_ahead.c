/* SPDX-License-Identifier: MIT */
/* Host memory for what the program is about to touch, many pages at once. */
#include <mayfly/abi.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/memory.h"
#include "guest_rt/region.h"

/*
 * The first touch of a page costs a fault of the host, twice as much as what
 * the host needs for it when it provides many in one call; a call is an exit,
 * as dear as some ten pages. So a program that keeps mapping fresh memory, for
 * its heap mostly, gets it in windows that double, as long as it uses them:
 *
 *     already used | window, provided | probe | next window, twice as large
 *     <--------------------- addresses; new memory is on the right ---------
 *
 * A probe is left to the program. When memory behind it is handed out, the
 * monitor provides the next window only if the probe has been touched, and
 * otherwise it is asked again ever later. So what is provided in vain is one
 * window: never more than the program has used before, and 2 MiB at most.
 */

/* What comes before the first window, and the first window. */
#define WINDOW_LEAST ((size_t)256 << 10)

/* With so much between two questions it does not matter any more. */
#define GAP_MOST ((size_t)64 << 20)

static struct {
    const struct region *region; /* the one that this is about */
    uintptr_t next; /* asked when memory below this is handed out */
    size_t window;  /* to ask for then */
    size_t gap;     /* to the next question, after one in vain */
} ahead;

/* The address so much below another one, 0 at least. */
static uintptr_t below(uintptr_t address, size_t bytes)
{
    return address > bytes ? address - bytes : 0;
}

static void ask(uintptr_t top)
{
    size_t window = ahead.window;

    if (mf_hypercall(MF_HC_POPULATE, top - window, window) > 0) {
        ahead.next = below(top - window, MF_POPULATE_PROBE);
        if (window < MF_POPULATE_MAX)
            ahead.window *= 2;
        ahead.gap = WINDOW_LEAST;
    } else {
        ahead.window = WINDOW_LEAST;
        ahead.next = below(top, ahead.gap);
        if (ahead.gap < GAP_MOST)
            ahead.gap *= 2;
    }
}

static void begin(const struct region *region)
{
    ahead.region = region;
    ahead.next = below(region->end, WINDOW_LEAST);
    ahead.window = ahead.gap = WINDOW_LEAST;
}

void memory_ahead(const struct region *region, uintptr_t address, size_t bytes)
{
    uintptr_t top = address + bytes;

    /* Only what has never been in use: the mapping is the lowest so far. */
    if (address != region->clean_high || mf_boot_page()->abi_minor < 2 ||
        mf_boot_page()->memory_stays)
        return;
    if (ahead.region != region)
        begin(region);
    if (address >= ahead.next)
        return;
    /* Else the probe is in memory that nobody had until now. */
    if (top <= ahead.next &&
        top - region->brk >= ahead.window + MF_POPULATE_PROBE)
        ask(top);
    if (ahead.next > address)
        ahead.next = address;
}
