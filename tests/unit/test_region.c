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
    cr_assert_eq((uintptr_t)region.holes, page(57));
    cr_assert_eq(region.holes->bytes, 3 * REGION_PAGE);
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
    cr_assert_eq((uintptr_t)region.holes, page(12));
    cr_assert_eq(region_free_bytes(&region), 61 * REGION_PAGE);
    cr_assert_eq(region_map(&region, REGION_PAGE), page(62));
    cr_assert(is_clear(page(62), REGION_PAGE));
}

Test(region, a_fixed_mapping_cuts_a_hole_in_two)
{
    region_map(&region, 16 * REGION_PAGE);
    region_unmap(&region, page(50), 8 * REGION_PAGE);
    cr_assert(region_map_fixed(&region, page(52), 2 * REGION_PAGE, true));
    cr_assert_eq((uintptr_t)region.holes, page(50));
    cr_assert_eq(region.holes->bytes, 2 * REGION_PAGE);
    cr_assert_eq((uintptr_t)region.holes->next, page(54));
    cr_assert_eq(region.holes->next->bytes, 4 * REGION_PAGE);
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

/* Against a map of owners: every page clear when handed out, none twice. */
Test(region, survives_random_use, .timeout = 20)
{
    unsigned char owner[PAGES] = {0};
    unsigned state = 7;

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
        unsigned used = 0;
        for (unsigned i = 0; i < PAGES; i++)
            used += owner[i];
        cr_assert_eq(region_free_bytes(&region), (PAGES - used) * REGION_PAGE);
    }
}
