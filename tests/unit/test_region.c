/* SPDX-License-Identifier: MIT */
/* The guest's page allocator, in memory of the test's own. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Guest code is not in the library that other unit tests link. */
#include "guest_rt/region.c"

#define PAGES 64u
#define NONE  0xff

static unsigned char *memory;
static uintptr_t base;
static struct region region;

static void make_region(void)
{
    memory = aligned_alloc(REGION_PAGE, PAGES * REGION_PAGE);
    memset(memory, 0, PAGES * REGION_PAGE);
    base = (uintptr_t)memory;
    region_init(&region, base, PAGES * REGION_PAGE);
}

static void drop_region(void)
{
    free(memory);
}

TestSuite(region, .init = make_region, .fini = drop_region);
TestSuite(region_report, .init = make_region, .fini = drop_region);

static uintptr_t page(unsigned number)
{
    return base + number * REGION_PAGE;
}

static bool is_clear(uintptr_t address, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (((unsigned char *)address)[i])
            return false;
    return true;
}

Test(region, takes_only_whole_pages)
{
    region_init(&region, base + 1, 3 * REGION_PAGE);
    cr_assert_eq(region.base, page(1));
    cr_assert_eq(region.end, page(3));
    region_init(&region, base + 1, REGION_PAGE);
    cr_assert_eq(region_free_bytes(&region), 0u);
}

Test(region, contains_ranges_up_to_its_last_byte)
{
    cr_assert(region_contains(&region, page(63), REGION_PAGE));
    cr_assert_not(region_contains(&region, page(63), REGION_PAGE + 1));
    cr_assert_not(region_contains(&region, page(1), SIZE_MAX));
    cr_assert_not(region_contains(&region, base - 1, 1));
}

Test(region, maps_from_the_top_until_nothing_is_left)
{
    cr_assert_eq(region_map(&region, REGION_PAGE), page(63));
    cr_assert_eq(region_map(&region, 62 * REGION_PAGE), page(1));
    cr_assert_eq(region_map(&region, 2 * REGION_PAGE), 0u);
    cr_assert_eq(region_map(&region, REGION_PAGE), page(0));
    cr_assert_eq(region_map(&region, REGION_PAGE), 0u);
}

Test(region, break_and_mappings_meet)
{
    cr_assert_eq(region_map(&region, 32 * REGION_PAGE), page(32));
    cr_assert(region_set_brk(&region, page(32)));
    cr_assert_not(region_set_brk(&region, page(33)));
    cr_assert_eq(region_map(&region, REGION_PAGE), 0u);
    cr_assert_not(region_set_brk(&region, base - REGION_PAGE));
    cr_assert(region_set_brk(&region, page(0)));
    cr_assert_eq(region_map(&region, 32 * REGION_PAGE), page(0));
}

Test(region, freed_neighbours_become_one_hole)
{
    region_map(&region, 8 * REGION_PAGE);
    region_unmap(&region, page(57), REGION_PAGE);
    region_unmap(&region, page(59), REGION_PAGE);
    region_unmap(&region, page(58), REGION_PAGE);
    cr_assert_eq(region.holes->from, page(57));
    cr_assert_eq(region.holes->to - region.holes->from, 3 * REGION_PAGE);
    cr_assert_null(region.holes->next);
    cr_assert_eq(region_map(&region, 3 * REGION_PAGE), page(57));
    cr_assert_null(region.holes);
}

Test(region, a_hole_at_the_floor_goes_back_to_the_rest)
{
    region_map(&region, 8 * REGION_PAGE);
    region_unmap(&region, page(58), 2 * REGION_PAGE);
    region_unmap(&region, page(56), 2 * REGION_PAGE);
    cr_assert_null(region.holes);
    cr_assert_eq(region.floor, page(60));
    cr_assert_eq(region_free_bytes(&region), 60 * REGION_PAGE);
}

Test(region, unmapping_twice_does_no_harm)
{
    region_map(&region, 8 * REGION_PAGE);
    region_unmap(&region, page(60), 2 * REGION_PAGE);
    region_unmap(&region, page(60), 2 * REGION_PAGE);
    region_unmap(&region, page(59), 2 * REGION_PAGE);
    region_unmap(&region, page(0), 8 * REGION_PAGE);
    cr_assert_eq(region_free_bytes(&region), 59 * REGION_PAGE);
}

Test(region, recycled_memory_is_clear)
{
    uintptr_t map = region_map(&region, 4 * REGION_PAGE);

    memset((void *)map, NONE, 4 * REGION_PAGE);
    region_unmap(&region, map, 4 * REGION_PAGE);
    map = region_map(&region, 6 * REGION_PAGE);
    cr_assert(is_clear(map, 6 * REGION_PAGE));
    region_unmap(&region, map, 6 * REGION_PAGE);
    memset((void *)map, NONE, 6 * REGION_PAGE);
    cr_assert(region_set_brk(&region, page(64)));
    cr_assert(is_clear(base, 64 * REGION_PAGE));
}

Test(region, a_fixed_mapping_replaces_and_clears)
{
    uintptr_t map = region_map(&region, 4 * REGION_PAGE);

    memset((void *)map, NONE, 4 * REGION_PAGE);
    cr_assert(region_map_fixed(&region, page(61), REGION_PAGE, true));
    cr_assert(is_clear(page(61), REGION_PAGE));
    cr_assert_not(is_clear(page(60), 1));
    cr_assert(region_map_fixed(&region, page(62), REGION_PAGE, false));
    cr_assert_not(is_clear(page(62), 1));
}

Test(region, a_fixed_mapping_below_the_floor_leaves_a_hole)
{
    region_map(&region, REGION_PAGE);
    cr_assert(region_map_fixed(&region, page(10), 2 * REGION_PAGE, true));
    cr_assert_eq(region.floor, page(10));
    cr_assert_eq(region.holes->from, page(12));
    cr_assert_eq(region_free_bytes(&region), 61 * REGION_PAGE);
    cr_assert_eq(region_map(&region, REGION_PAGE), page(62));
    cr_assert(is_clear(page(62), REGION_PAGE));
}

Test(region, a_fixed_mapping_cuts_a_hole_in_two)
{
    region_map(&region, 16 * REGION_PAGE);
    region_unmap(&region, page(50), 8 * REGION_PAGE);
    cr_assert(region_map_fixed(&region, page(52), 2 * REGION_PAGE, true));
    cr_assert_eq(region.holes->from, page(50));
    cr_assert_eq(region.holes->to - region.holes->from, 2 * REGION_PAGE);
    cr_assert_eq(region.holes->next->from, page(54));
    cr_assert_eq(region.holes->next->to - region.holes->next->from,
                 4 * REGION_PAGE);
}

Test(region, a_fixed_mapping_does_not_straddle_the_break)
{
    cr_assert(region_set_brk(&region, page(4)));
    cr_assert_not(region_map_fixed(&region, page(3), 2 * REGION_PAGE, true));
    cr_assert(region_map_fixed(&region, page(3), REGION_PAGE, true));
    cr_assert_not(region_map_fixed(&region, page(64), REGION_PAGE, true));
}

Test(region, a_free_range_is_mapped_only_if_all_of_it_is_free)
{
    region_map(&region, 8 * REGION_PAGE);
    region_unmap(&region, page(60), 2 * REGION_PAGE);
    cr_assert_not(region_map_free(&region, page(60), 3 * REGION_PAGE));
    cr_assert(region_map_free(&region, page(60), 2 * REGION_PAGE));
    cr_assert_not(region_map_free(&region, page(60), REGION_PAGE));
    cr_assert(region_map_free(&region, page(55), REGION_PAGE));
    cr_assert_not(region_map_free(&region, page(54), 2 * REGION_PAGE));
}

Test(region, a_range_is_used_if_all_of_it_is)
{
    region_map(&region, 8 * REGION_PAGE);
    region_unmap(&region, page(60), 2 * REGION_PAGE);
    cr_assert(region_is_used(&region, page(56), 4 * REGION_PAGE));
    cr_assert(region_is_used(&region, page(62), 2 * REGION_PAGE));
    cr_assert_not(region_is_used(&region, page(59), 2 * REGION_PAGE));
    cr_assert_not(region_is_used(&region, page(61), 2 * REGION_PAGE));
    cr_assert_not(region_is_used(&region, page(56), 8 * REGION_PAGE));
    cr_assert_not(region_is_used(&region, page(55), 2 * REGION_PAGE));
    cr_assert_not(region_is_used(&region, page(63), 2 * REGION_PAGE));
    cr_assert(region_set_brk(&region, page(4)));
    cr_assert(region_is_used(&region, page(0), 4 * REGION_PAGE));
    cr_assert_not(region_is_used(&region, page(3), 2 * REGION_PAGE));
    cr_assert(region_set_brk(&region, page(56)));
    cr_assert(region_is_used(&region, page(0), 60 * REGION_PAGE));
}

Test(region, any_number_of_holes_is_described)
{
    /* Every second page becomes a hole, and the region keeps some pages. */
    region_map(&region, 60 * REGION_PAGE);
    for (unsigned i = 4; i < 64; i += 2)
        cr_assert(region_unmap(&region, page(i), REGION_PAGE), "%u", i);
    cr_assert(region_free_bytes(&region) >= 32 * REGION_PAGE);
    for (unsigned i = 5; i < 64; i += 2)
        cr_assert(region_is_used(&region, page(i), REGION_PAGE));
    for (unsigned i = 5; i < 64; i += 2)
        cr_assert(region_unmap(&region, page(i), REGION_PAGE));
}

Test(region, holes_are_described_when_memory_is_full)
{
    region_map(&region, PAGES * REGION_PAGE);
    for (unsigned i = 0; i < 64; i += 2)
        cr_assert(region_unmap(&region, page(i), REGION_PAGE), "%u", i);
}

/* Which pages `open` was asked for. */
static unsigned char opened[PAGES];

static bool open_pages(uintptr_t from, uintptr_t to)
{
    for (uintptr_t at = from; at < to; at += REGION_PAGE)
        opened[(at - base) / REGION_PAGE]++;
    return opened[20] == 0;
}

Test(region, opens_memory_before_it_hands_it_out)
{
    region.open = open_pages;
    region_map(&region, 8 * REGION_PAGE);
    for (unsigned i = 0; i < PAGES; i++)
        cr_assert_eq(opened[i], i >= 56);
    cr_assert(region_set_brk(&region, page(2)));
    cr_assert_eq(opened[0] + opened[1] + opened[2], 2);
    cr_assert_not(region_map_fixed(&region, page(20), REGION_PAGE, true));
    cr_assert_eq(region_free_bytes(&region), 54 * REGION_PAGE);
}

/* ---- What may be reported to the host ----------------------------------- */

/* Finds a range of at least `least` pages that is exactly these pages. */
static void assert_unreported(size_t least, uintptr_t first, uintptr_t end)
{
    uintptr_t from, to;

    cr_assert_eq(region_unreported_bytes(&region, least * REGION_PAGE),
                 end - first);
    cr_assert(region_find_unreported(&region, least * REGION_PAGE, &from, &to));
    cr_assert_eq(from, first);
    cr_assert_eq(to, end);
}

static void assert_all_reported(size_t least)
{
    uintptr_t from, to;

    cr_assert_eq(region_unreported_bytes(&region, least * REGION_PAGE), 0);
    cr_assert_not(
        region_find_unreported(&region, least * REGION_PAGE, &from, &to));
}

Test(region_report, is_not_about_memory_that_was_never_used)
{
    assert_all_reported(1);
    region_map(&region, 4 * REGION_PAGE);
    assert_all_reported(1);
}

Test(region_report, is_made_once_about_what_lies_below_the_floor)
{
    region_map(&region, 8 * REGION_PAGE);
    region_unmap(&region, page(56), 4 * REGION_PAGE);
    assert_all_reported(5);
    assert_unreported(4, page(56), page(60));
    assert_all_reported(1);
    region_unmap(&region, page(60), 2 * REGION_PAGE);
    assert_unreported(1, page(60), page(62));
    assert_all_reported(1);
    /* What is used again and freed again is reported again. */
    cr_assert_eq(region_map(&region, 3 * REGION_PAGE), page(59));
    region_unmap(&region, page(59), 3 * REGION_PAGE);
    assert_unreported(1, page(59), page(62));
    assert_all_reported(1);
}

Test(region_report, is_made_once_about_a_hole)
{
    region_map(&region, 16 * REGION_PAGE);
    region_unmap(&region, page(54), 4 * REGION_PAGE);
    assert_all_reported(5);
    assert_unreported(4, page(54), page(58));
    assert_all_reported(1);
    /* Both parts of a hole that is cut are still reported. */
    cr_assert(region_map_fixed(&region, page(56), REGION_PAGE, true));
    assert_all_reported(1);
    /* A hole that was not, and is cut, neither. */
    region_unmap(&region, page(60), 3 * REGION_PAGE);
    cr_assert(region_map_fixed(&region, page(60), REGION_PAGE, true));
    assert_unreported(1, page(61), page(63));
    /* A hole that grows is not. */
    region_unmap(&region, page(58), REGION_PAGE);
    assert_unreported(1, page(57), page(59));
    region_unmap(&region, page(56), REGION_PAGE);
    assert_unreported(1, page(54), page(59));
}

Test(region_report, finds_every_hole_that_is_large_enough)
{
    uintptr_t from, to;

    region_map(&region, 20 * REGION_PAGE);
    region_unmap(&region, page(46), 2 * REGION_PAGE);
    region_unmap(&region, page(50), 3 * REGION_PAGE);
    region_unmap(&region, page(55), 4 * REGION_PAGE);
    cr_assert_eq(region_unreported_bytes(&region, 3 * REGION_PAGE),
                 7 * REGION_PAGE);
    cr_assert(region_find_unreported(&region, 3 * REGION_PAGE, &from, &to));
    cr_assert_eq(from, page(50));
    cr_assert(region_find_unreported(&region, 3 * REGION_PAGE, &from, &to));
    cr_assert_eq(from, page(55));
    assert_all_reported(3);
    assert_unreported(1, page(46), page(48));
}

Test(region_report, forgets_what_the_break_went_over)
{
    region_map(&region, 32 * REGION_PAGE);
    region_unmap(&region, page(32), 16 * REGION_PAGE);
    assert_unreported(1, page(32), page(48));
    cr_assert(region_set_brk(&region, page(32)));
    assert_all_reported(1);
    cr_assert(region_set_brk(&region, page(40)));
    cr_assert(region_set_brk(&region, page(0)));
    assert_unreported(1, page(32), page(48));
    assert_all_reported(1);
}

/* What was reported is the host's: it may leave anything there. */
static void report_some(const unsigned char *owner)
{
    uintptr_t from, to;

    while (region_find_unreported(&region, 2 * REGION_PAGE, &from, &to)) {
        for (uintptr_t at = from; at < to; at += REGION_PAGE)
            cr_assert_eq(owner[(at - base) / REGION_PAGE], 0);
        memset((void *)from, 0x77, to - from);
    }
}

/* Against a map of owners: every page clear when handed out, none twice. */
Test(region, survives_random_use, .timeout = 20)
{
    static struct region_hole holes[PAGES];
    unsigned char owner[PAGES] = {0};
    unsigned state = 7;

    /* What the region takes from itself must not be unmapped, as is here. */
    region_feed(&region, holes, sizeof(holes));
    for (unsigned round = 0; round < 20000; round++) {
        unsigned bits = (state = state * 1103515245 + 12345) >> 8;
        unsigned count = bits % 5 + 1, first = bits / 8 % PAGES;

        if (first + count > PAGES)
            count = PAGES - first;
        if (bits & 1 << 16) {
            region_unmap(&region, page(first), count * REGION_PAGE);
            memset(owner + first, 0, count);
        } else {
            uintptr_t map =
                bits & 1 << 17 ? region_map(&region, count * REGION_PAGE)
                : region_map_free(&region, page(first), count * REGION_PAGE)
                    ? page(first)
                    : 0;

            if (!map)
                continue;
            first = (unsigned)((map - base) / REGION_PAGE);
            cr_assert(is_clear(map, count * REGION_PAGE));
            memset((void *)map, NONE, count * REGION_PAGE);
            for (unsigned i = first; i < first + count; i++)
                cr_assert_eq(owner[i]++, 0);
        }
        if ((bits & 7 << 18) == 0)
            report_some(owner);
        unsigned used = 0;
        for (unsigned i = 0; i < PAGES; i++) {
            used += owner[i];
            cr_assert_eq(region_is_used(&region, page(i), REGION_PAGE),
                         owner[i]);
        }
        cr_assert_eq(region_free_bytes(&region), (PAGES - used) * REGION_PAGE);
    }
}
