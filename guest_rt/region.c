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

static uintptr_t hole_end(const struct region_hole *hole)
{
    return (uintptr_t)hole + hole->bytes;
}

static void clear(uintptr_t from, uintptr_t to)
{
    if (from < to)
        memset((void *)from, 0, to - from);
}

/* Clears what is not clean in [from, to). */
static void clear_used(const struct region *region, uintptr_t from,
                       uintptr_t to)
{
    clear(from, min(to, region->clean_low));
    clear(max(from, region->clean_high), to);
}

/* Notes that [from, to) is about to be handed out, from either end. */
static void mark_used(struct region *region, uintptr_t from, uintptr_t to)
{
    if (to <= region->brk)
        region->clean_low = max(region->clean_low, to);
    else
        region->clean_high = min(region->clean_high, from);
    region->clean_low = min(region->clean_low, region->clean_high);
}

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
    if (brk > old) {
        clear_used(region, old, brk);
        mark_used(region, old, brk);
        if (brk > region->clean_high)
            region->reported = 0; /* it may come back, and used by then */
    }
    return true;
}

/*
 * Makes [from, to), which must be in the mappings' part, one hole, together
 * with all holes that it overlaps or touches.
 */
static void add_hole(struct region *region, uintptr_t from, uintptr_t to)
{
    struct region_hole **link = &region->holes, *hole;

    while ((hole = *link) && hole_end(hole) < from)
        link = &hole->next;
    while ((hole = *link) && (uintptr_t)hole <= to) {
        from = min(from, (uintptr_t)hole);
        to = max(to, hole_end(hole));
        *link = hole->next;
    }
    if (from <= region->floor) {
        region->floor = to;
        return;
    }
    hole = (struct region_hole *)from;
    *hole = (struct region_hole){.next = *link, .bytes = to - from};
    *link = hole;
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

    while ((hole = *link) && (uintptr_t)hole < to) {
        uintptr_t start = (uintptr_t)hole, end = hole_end(hole);
        struct region_hole old = *hole;

        if (end <= from) {
            link = &hole->next;
            continue;
        }
        *link = old.next;
        if (end > to) {
            hole = (struct region_hole *)to;
            *hole = (struct region_hole){*link, end - to, old.reported};
            *link = hole;
        }
        if (start < from) {
            hole = (struct region_hole *)start;
            *hole = (struct region_hole){*link, from - start, old.reported};
            *link = hole;
            link = &hole->next;
        }
    }
}

/* The highest hole of at least this size, or NULL. */
static struct region_hole *find_hole(const struct region *region, size_t bytes)
{
    struct region_hole *found = NULL;

    for (struct region_hole *hole = region->holes; hole; hole = hole->next)
        if (hole->bytes >= bytes)
            found = hole;
    return found;
}

uintptr_t region_map(struct region *region, size_t bytes)
{
    struct region_hole *hole = find_hole(region, bytes);
    uintptr_t address;

    if (hole) {
        address = hole_end(hole) - bytes;
        cut_holes(region, address, address + bytes);
    } else if (bytes <= region->floor - region->brk) {
        address = region->floor - bytes;
        lower_floor(region, address);
    } else {
        return 0;
    }
    clear_used(region, address, address + bytes);
    mark_used(region, address, address + bytes);
    return address;
}

bool region_map_fixed(struct region *region, uintptr_t address, size_t bytes,
                      bool cleared)
{
    uintptr_t end = address + bytes;

    if (!region_contains(region, address, bytes) ||
        (address < region->brk && end > region->brk))
        return false;
    if (address >= region->brk) {
        uintptr_t floor = region->floor;

        if (address < floor) {
            lower_floor(region, address);
            if (end < floor)
                add_hole(region, end, floor);
        }
        cut_holes(region, address, end);
    }
    if (cleared)
        clear_used(region, address, end);
    mark_used(region, address, end);
    return true;
}

bool region_map_free(struct region *region, uintptr_t address, size_t bytes)
{
    uintptr_t end = address + bytes, at = address;

    if (!region_contains(region, address, bytes) || address < region->brk)
        return false;
    at = max(at, min(region->floor, end));
    for (struct region_hole *hole = region->holes; hole; hole = hole->next)
        if ((uintptr_t)hole <= at && hole_end(hole) > at)
            at = hole_end(hole);
    return at >= end && region_map_fixed(region, address, bytes, true);
}

void region_unmap(struct region *region, uintptr_t address, size_t bytes)
{
    uintptr_t from = max(address, region->floor);
    uintptr_t to = min(address + bytes, region->end);

    if (from < to)
        add_hole(region, from, to);
}

/* Used memory below floor that is free and not reported begins here. */
static uintptr_t unreported_from(const struct region *region)
{
    uintptr_t from = max(region->clean_high, region->brk);

    return min(max(from, region->reported), region->floor);
}

/* Bytes of a hole that are worth a report: not its head, which is in use. */
static size_t unreported_in(const struct region_hole *hole, size_t least)
{
    size_t bytes = hole->bytes - REGION_PAGE;

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
        *from = (uintptr_t)hole + REGION_PAGE;
        *to = hole_end(hole);
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
        bytes += hole->bytes;
    return bytes;
}
