/* SPDX-License-Identifier: MIT */
/* One range of free memory, handed out in pages. */
#ifndef MAYFLY_REGION_H
#define MAYFLY_REGION_H

/*
 * From bottom to top, a region is
 *
 *   base .. brk        the program break's part: grows and shrinks at its end
 *   brk .. floor       not handed out
 *   floor .. end       mappings, and the holes that freed ones left
 *
 * A new mapping comes from the highest hole that is large enough, else from
 * below floor; a large one begins at a large page if it can. Holes form a list
 * in order of address; two never touch, and none touches floor. What describes
 * them is not in them, because freed memory may be closed: it comes from pages
 * that the region takes from itself and keeps. Memory that was never handed out
 * is not touched.
 *
 * Memory is handed out zeroed. [clean_low, clean_high) has never been handed
 * out and is zero already; all else is cleared again.
 *
 * What was given back may be reported to the host, which then keeps no memory
 * for it (report.h). Each hole notes whether all of it has been; below floor it
 * is all from clean_high up to reported. A hole that grows counts as not
 * reported.
 *
 * All addresses and sizes are multiples of REGION_PAGE unless said otherwise.
 * Not thread-safe: callers serialise.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGION_PAGE       4096ul
#define REGION_LARGE_PAGE (512 * REGION_PAGE)

/* Mappings of so many bytes begin at a large page. */
#define REGION_LARGE (2 * REGION_LARGE_PAGE)

/* [from, to) */
struct region_hole {
    struct region_hole *next; /* the next higher one */
    uintptr_t from, to;
    bool reported;
};

/* Holes that a region can describe without memory of its own. */
#define REGION_HOLES 8

struct region {
    uintptr_t base, end;
    uintptr_t brk; /* the break, rounded up to a page */
    uintptr_t floor;
    uintptr_t clean_low, clean_high;
    uintptr_t reported; /* see above; below clean_high: nothing */
    struct region_hole *holes;
    struct region_hole *unused; /* descriptions of holes, by next ... */
    unsigned unused_count;      /* ... and how many */
    struct region_hole first[REGION_HOLES];
    /*
     * Makes memory accessible that is being handed out; NULL: all of it always
     * is. Returns whether it could. May map memory of the region for itself.
     */
    bool (*open)(uintptr_t from, uintptr_t to);
};

/*
 * Takes over [base, base + bytes), which must be zeroed memory; the region is
 * as large as the whole pages in it.
 */
void region_init(struct region *region, uintptr_t base, size_t bytes);

/*
 * Gives the region memory, which it keeps, to describe holes in. Without this
 * it takes some from itself.
 */
void region_feed(struct region *region, void *memory, size_t bytes);

/* Whether [address, address + bytes) lies within the region, overflow-safe. */
bool region_contains(const struct region *region, uintptr_t address,
                     size_t bytes);

/* Moves the break. Returns whether that was possible. */
bool region_set_brk(struct region *region, uintptr_t brk);

/* Hands out zeroed memory. Returns its address, or 0 if there is not enough. */
uintptr_t region_map(struct region *region, size_t bytes);

/*
 * Hands out this very range, all or part of which may have been handed out
 * before; it is cleared if clear is set. Returns whether that was possible: a
 * range must not reach from below the break to above it.
 */
bool region_map_fixed(struct region *region, uintptr_t address, size_t bytes,
                      bool clear);

/*
 * Hands out this very range if no part of it is in use. Returns whether it was
 * not.
 */
bool region_map_free(struct region *region, uintptr_t address, size_t bytes);

/* Whether all of this range is handed out. */
bool region_is_used(const struct region *region, uintptr_t address,
                    size_t bytes);

/*
 * Takes a range back; parts that were not handed out do not matter. What is
 * below the break stays. Returns whether that was possible: it takes memory to
 * remember a hole, of which there is always some but for a full region.
 */
bool region_unmap(struct region *region, uintptr_t address, size_t bytes);

/*
 * Finds [*from, *to), at least `least` bytes that were handed out once, are
 * free, and were not found since. They must not be touched before the next call
 * for this region. Returns whether there is such a range.
 */
bool region_find_unreported(struct region *region, size_t least,
                            uintptr_t *from, uintptr_t *to);

/* How many bytes region_find_unreported() would find. */
size_t region_unreported_bytes(const struct region *region, size_t least);

/* Bytes that are not handed out. */
size_t region_free_bytes(const struct region *region);

#endif
