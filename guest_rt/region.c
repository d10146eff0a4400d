/* SPDX-License-Identifier: MIT */
/* One range of free memory, handed out in pages. */
#include "guest_rt/region.h"

#include <string.h>

static uintptr_t min(uintptr_t a, uintptr_t b)
{
    return a < b ? a : b;
}

static uintptr_t max(uintptr_t a, uintptr_t b)
{
    return a > b ? a : b;
}

static void clear(uintptr_t from, uintptr_t to)
{
    if (from < to)
        memset((void *)from, 0, to - from);
}

/* Notes that [from, to) is handed out, from either end. */
static void mark_used(struct region *region, uintptr_t from, uintptr_t to)
{
    if (to <= region->brk)
        region->clean_low = max(region->clean_low, to);
    else
        region->clean_high = min(region->clean_high, from);
    region->clean_low = min(region->clean_low, region->clean_high);
}

/* ---- Descriptions of holes ---------------------------------------------- */

/* No operation makes more holes than this. */
#define HOLES_LEAST 2u

/* Takes a description back. */
static void drop_hole(struct region *region, struct region_hole *hole)
{
    hole->next = region->unused;
    region->unused = hole;
    region->unused_count++;
}

/* Puts a hole in front of `next`, into the list at `link`. */
static struct region_hole *put_hole(struct region *region,
                                    struct region_hole **link, uintptr_t from,
                                    uintptr_t to, bool reported)
{
    struct region_hole *hole = region->unused;

    region->unused = hole->next;
    region->unused_count--;
    *hole = (struct region_hole){*link, from, to, reported};
    *link = hole;
    return hole;
}

static uintptr_t take(struct region *region, size_t bytes);

void region_feed(struct region *region, void *memory, size_t bytes)
{
    struct region_hole *holes = memory;

    for (size_t i = 0; i < bytes / sizeof(*holes); i++)
        drop_hole(region, &holes[i]);
}

/* Makes sure that an operation can describe its holes, if there is memory. */
static bool have_holes(struct region *region)
{
    uintptr_t page;

    if (region->unused_count >= HOLES_LEAST)
        return true;
    /* The end of a hole, or from below floor: that makes no hole. */
    page = take(region, REGION_PAGE);
    if (page)
        region_feed(region, (void *)page, REGION_PAGE);
    return region->unused_count >= HOLES_LEAST;
}

/*
 * Makes [from, to), which is handed out, accessible, and clears what of it was
 * used before. `open` may itself map memory of the region.
 */
static bool prepare(struct region *region, uintptr_t from, uintptr_t to,
                    bool cleared)
{
    uintptr_t low = region->clean_low, high = region->clean_high;

    mark_used(region, from, to);
    if (region->open && !region->open(from, to))
        return false;
    if (cleared) {
        clear(from, min(to, low));
        clear(max(from, high), to);
    }
    return true;
}

/* ---- The region --------------------------------------------------------- */

void region_init(struct region *region, uintptr_t base, size_t bytes)
{
    uintptr_t low = (base + REGION_PAGE - 1) & -REGION_PAGE;
    uintptr_t high = (base + bytes) & -REGION_PAGE;

    if (high < low)
        high = low;
    *region = (struct region){.base = low,
                              .end = high,
                              .brk = low,
                              .floor = high,
                              .clean_low = low,
                              .clean_high = high};
    for (unsigned i = 0; i < REGION_HOLES; i++)
        drop_hole(region, &region->first[i]);
}

bool region_contains(const struct region *region, uintptr_t address,
                     size_t bytes)
{
    return address >= region->base && address <= region->end &&
           bytes <= region->end - address;
}

bool region_set_brk(struct region *region, uintptr_t brk)
{
    uintptr_t old = region->brk;

    if (brk < region->base || brk > region->floor)
        return false;
    region->brk = brk;
    if (brk <= old)
        return true;
    if (brk > region->clean_high)
        region->reported = 0; /* it may come back, and used by then */
    if (prepare(region, old, brk, true))
        return true;
    region->brk = old;
    return false;
}

/*
 * Makes [from, to), which must be in the mappings' part, one hole, together
 * with all holes that it overlaps or touches.
 */
static void add_hole(struct region *region, uintptr_t from, uintptr_t to)
{
    struct region_hole **link = &region->holes, *hole;

    while ((hole = *link) && hole->to < from)
        link = &hole->next;
    while ((hole = *link) && hole->from <= to) {
        from = min(from, hole->from);
        to = max(to, hole->to);
        *link = hole->next;
        drop_hole(region, hole);
    }
    if (from <= region->floor)
        region->floor = to;
    else
        put_hole(region, link, from, to, false);
}

/* Below floor nothing is reported that is handed out. */
static void lower_floor(struct region *region, uintptr_t floor)
{
    region->floor = floor;
    region->reported = min(region->reported, floor);
}

/* Takes [from, to) out of all holes. */
static void cut_holes(struct region *region, uintptr_t from, uintptr_t to)
{
    struct region_hole **link = &region->holes, *hole;

    while ((hole = *link) && hole->from < to) {
        struct region_hole old = *hole;

        if (old.to <= from) {
            link = &hole->next;
            continue;
        }
        *link = old.next;
        drop_hole(region, hole);
        if (old.to > to)
            put_hole(region, link, to, old.to, old.reported);
        if (old.from < from)
            link = &put_hole(region, link, old.from, from, old.reported)->next;
    }
}

/* Where in [from, to), its end if possible, a mapping goes; 0: nowhere. */
static uintptr_t place(uintptr_t from, uintptr_t to, size_t bytes)
{
    uintptr_t address, large;

    if (to - from < bytes)
        return 0;
    address = to - bytes;
    large = address & -REGION_LARGE_PAGE;
    return bytes >= REGION_LARGE && large >= from ? large : address;
}

/* The highest hole of at least this size, or NULL. */
static struct region_hole *find_hole(const struct region *region, size_t bytes)
{
    struct region_hole *found = NULL;

    for (struct region_hole *hole = region->holes; hole; hole = hole->next)
        if (hole->to - hole->from >= bytes)
            found = hole;
    return found;
}

/* Hands out [address, end), which lies in one hole or below floor. */
static void hand_out(struct region *region, uintptr_t address, uintptr_t end)
{
    uintptr_t floor = region->floor;

    if (address < floor) {
        lower_floor(region, address);
        if (end < floor)
            add_hole(region, end, floor);
    }
    cut_holes(region, address, end);
}

/* region_map() where holes can be described. */
static uintptr_t take(struct region *region, size_t bytes)
{
    const struct region_hole *hole = find_hole(region, bytes);
    uintptr_t address = hole ? place(hole->from, hole->to, bytes)
                             : place(region->brk, region->floor, bytes);

    if (!address)
        return 0;
    hand_out(region, address, address + bytes);
    if (prepare(region, address, address + bytes, true))
        return address;
    add_hole(region, address, address + bytes);
    return 0;
}

uintptr_t region_map(struct region *region, size_t bytes)
{
    return have_holes(region) ? take(region, bytes) : 0;
}

bool region_map_fixed(struct region *region, uintptr_t address, size_t bytes,
                      bool cleared)
{
    uintptr_t end = address + bytes;

    if (!have_holes(region) || !region_contains(region, address, bytes) ||
        (address < region->brk && end > region->brk))
        return false;
    if (address >= region->brk)
        hand_out(region, address, end);
    if (prepare(region, address, end, cleared))
        return true;
    if (address >= region->brk)
        add_hole(region, address, end);
    return false;
}

bool region_map_free(struct region *region, uintptr_t address, size_t bytes)
{
    uintptr_t end = address + bytes, at = address;

    /* First, as that may take a page that would have been free. */
    if (!have_holes(region))
        return false;
    if (!region_contains(region, address, bytes) || address < region->brk)
        return false;
    at = max(at, min(region->floor, end));
    for (struct region_hole *hole = region->holes; hole; hole = hole->next)
        if (hole->from <= at && hole->to > at)
            at = hole->to;
    return at >= end && region_map_fixed(region, address, bytes, true);
}

bool region_is_used(const struct region *region, uintptr_t address,
                    size_t bytes)
{
    uintptr_t end = address + bytes;

    if (!region_contains(region, address, bytes))
        return false;
    address = max(address, min(region->brk, end));
    if (address < end && address < region->floor)
        return false;
    for (struct region_hole *hole = region->holes; hole; hole = hole->next)
        if (hole->from < end && hole->to > address)
            return false;
    return true;
}

bool region_unmap(struct region *region, uintptr_t address, size_t bytes)
{
    uintptr_t from = max(address, region->floor);
    uintptr_t to = min(address + bytes, region->end);

    if (from >= to)
        return true;
    if (!have_holes(region) && !region->unused_count)
        return false;
    add_hole(region, from, to);
    return true;
}

/* Used memory below floor that is free and not reported begins here. */
static uintptr_t unreported_from(const struct region *region)
{
    uintptr_t from = max(region->clean_high, region->brk);

    return min(max(from, region->reported), region->floor);
}

/* Bytes of a hole that are worth a report. */
static size_t unreported_in(const struct region_hole *hole, size_t least)
{
    size_t bytes = hole->to - hole->from;

    return !hole->reported && bytes >= least ? bytes : 0;
}

bool region_find_unreported(struct region *region, size_t least,
                            uintptr_t *from, uintptr_t *to)
{
    *from = unreported_from(region);
    *to = region->floor;
    if (*to - *from >= least) {
        region->reported = *to;
        return true;
    }
    for (struct region_hole *hole = region->holes; hole; hole = hole->next) {
        if (!unreported_in(hole, least))
            continue;
        hole->reported = true;
        *from = hole->from;
        *to = hole->to;
        return true;
    }
    return false;
}

size_t region_unreported_bytes(const struct region *region, size_t least)
{
    size_t bytes = region->floor - unreported_from(region);

    if (bytes < least)
        bytes = 0;
    for (struct region_hole *hole = region->holes; hole; hole = hole->next)
        bytes += unreported_in(hole, least);
    return bytes;
}

size_t region_free_bytes(const struct region *region)
{
    size_t bytes = region->floor - region->brk;

    for (struct region_hole *hole = region->holes; hole; hole = hole->next)
        bytes += hole->to - hole->from;
    return bytes;
}
