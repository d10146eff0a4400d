/* SPDX-License-Identifier: MIT */
/* Page tables, walked in software as the processor would. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/page_walk.h"

#define RAM_BYTES 0x40000u /* where the tables are; what is mapped is not */

static uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{0, RAM_BYTES, ram}},
    .count = 1,
};
static struct paging paging;

static void set_up(void)
{
    struct page_pool low = {0x1000, 0x3000}, spare = {0x8000, RAM_BYTES};

    cr_assert_eq(paging_init(&paging, &mem, low, spare), 0);
}

static struct page_walk look(uint64_t address)
{
    return page_walk(&mem, paging.root, address);
}

static void map(uint64_t start, uint64_t end, enum page_access access)
{
    cr_assert_eq(paging_map(&paging, start, end, access), 0);
}

TestSuite(paging, .init = set_up);

Test(paging, starts_with_nothing_mapped)
{
    const uint64_t places[] = {0, 0x1000, 3 * GIB, 4 * GIB, 511 * GIB};

    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        cr_assert(!look(places[i]).mapped);
}

Test(paging, gives_each_kind_of_page_its_rights)
{
    static const struct {
        enum page_access access;
        bool user, write, execute;
    } kinds[] = {
        {PAGE_SYSTEM, false, false, false},
        {PAGE_READ, true, false, false},
        {PAGE_WRITE, true, true, false},
        {PAGE_EXECUTE, true, false, true},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        uint64_t at = 0x10000 + i * PAGE_BYTES;

        map(at, at + PAGE_BYTES, kinds[i].access);
        struct page_walk walk = look(at);
        cr_assert(walk.mapped);
        cr_assert_eq(walk.user, kinds[i].user);
        cr_assert_eq(walk.write, kinds[i].write);
        cr_assert_eq(walk.execute, kinds[i].execute);
    }
}

Test(paging, maps_one_page_and_neither_of_its_neighbours)
{
    map(0x5000, 0x6000, PAGE_WRITE);
    cr_assert(!look(0x4fff).mapped);
    cr_assert_eq(look(0x5000).physical, 0x5000);
    cr_assert_eq(look(0x5fff).physical, 0x5fff);
    cr_assert(!look(0x6000).mapped);
}

Test(paging, presets_accessed_and_dirty_bits_on_every_level)
{
    map(0x5000, 0x6000, PAGE_SYSTEM);
    map(LARGE_PAGE_BYTES, 2 * LARGE_PAGE_BYTES, PAGE_WRITE);
    cr_assert(look(0x5000).marked);
    cr_assert(look(LARGE_PAGE_BYTES).marked);
}

Test(paging, uses_large_pages_exactly_where_a_whole_one_fits)
{
    const uint64_t start = LARGE_PAGE_BYTES - PAGE_BYTES;
    const uint64_t end = 3 * LARGE_PAGE_BYTES + PAGE_BYTES;

    map(start, end, PAGE_WRITE);
    for (uint64_t at = start; at < end; at += PAGE_BYTES) {
        bool whole = at >= LARGE_PAGE_BYTES && at < 3 * LARGE_PAGE_BYTES;
        struct page_walk walk = look(at);

        cr_assert_eq(walk.physical, at);
        cr_assert_eq(walk.page_bytes, whole ? LARGE_PAGE_BYTES : PAGE_BYTES);
    }
    cr_assert(!look(start - 1).mapped);
    cr_assert(!look(end).mapped);
}

Test(paging, maps_across_the_ends_of_directories)
{
    map(3 * GIB - LARGE_PAGE_BYTES - PAGE_BYTES, 3 * GIB + PAGE_BYTES,
        PAGE_WRITE);
    map(512 * GIB - PAGE_BYTES, 512 * GIB + PAGE_BYTES, PAGE_WRITE);
    cr_assert_eq(look(3 * GIB - 1).page_bytes, LARGE_PAGE_BYTES);
    cr_assert_eq(look(3 * GIB).physical, 3 * GIB);
    cr_assert(!look(3 * GIB + PAGE_BYTES).mapped);
    cr_assert_eq(look(512 * GIB - 1).physical, 512 * GIB - 1);
    cr_assert_eq(look(512 * GIB).physical, 512 * GIB);
    cr_assert(!look(512 * GIB + PAGE_BYTES).mapped);
}

Test(paging, maps_an_empty_range_by_doing_nothing)
{
    uint64_t next = paging.pools[0].next;

    map(0x5000, 0x5000, PAGE_WRITE);
    cr_assert(!look(0x5000).mapped);
    cr_assert_eq(paging.pools[0].next, next);
}

Test(paging, takes_tables_from_the_low_pool_first)
{
    map(0x5000, 0x6000, PAGE_WRITE);
    struct page_walk walk = look(0x5000);

    cr_assert_eq(walk.depth, 4);
    cr_assert_eq(walk.tables[0], 0x1000);
    cr_assert_eq(walk.tables[1], 0x2000);
    cr_assert_eq(walk.tables[2], 0x8000);
    cr_assert_eq(walk.tables[3], 0x9000);
}

Test(paging, says_so_when_the_pools_are_used_up)
{
    struct page_pool none = {0, 0}, three = {0x1000, 0x4000};
    struct page_pool four = {0x1000, 0x5000};

    cr_assert_eq(paging_init(&paging, &mem, none, none), -ENOMEM);
    memset(ram, 0, sizeof(ram));
    cr_assert_eq(paging_init(&paging, &mem, three, none), 0);
    cr_assert_eq(paging_map(&paging, 0x5000, 0x6000, PAGE_WRITE), -ENOMEM);
    memset(ram, 0, sizeof(ram));
    cr_assert_eq(paging_init(&paging, &mem, none, four), 0);
    cr_assert_eq(paging_map(&paging, 0x5000, 0x6000, PAGE_WRITE), 0);
}

Test(paging, refuses_pools_outside_of_memory)
{
    struct page_pool none = {0, 0}, outside = {RAM_BYTES, RAM_BYTES + 0x10000};

    cr_assert_eq(paging_init(&paging, &mem, outside, none), -EFAULT);
}
