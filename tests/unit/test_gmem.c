/* SPDX-License-Identifier: MIT */
/* Guest memory: what the door lets through and what it refuses. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/gmem.h"

#define LOW_BASE   UINT64_C(0x10000)
#define LOW_BYTES  UINT64_C(0x2000)
#define HIGH_BASE  (UINT64_C(4) << 30)
#define HIGH_BYTES UINT64_C(0x1000)

static uint8_t low[LOW_BYTES];
static uint8_t high[HIGH_BYTES];

static struct gmem two_regions(void)
{
    return (struct gmem){
        .regions = {{LOW_BASE, LOW_BYTES, low}, {HIGH_BASE, HIGH_BYTES, high}},
        .count = 2,
    };
}

static int map(uint64_t at, size_t bytes, void **host)
{
    struct gmem mem = two_regions();

    return gmem_map(&mem, gpa(at), bytes, host);
}

Test(gmem, maps_the_first_byte_and_refuses_the_one_before)
{
    void *host;

    cr_assert_eq(map(LOW_BASE, 1, &host), 0);
    cr_assert_eq(host, low);
    cr_assert_eq(map(LOW_BASE - 1, 1, &host), -EFAULT);
    cr_assert_eq(map(LOW_BASE - 1, 2, &host), -EFAULT);
}

Test(gmem, maps_the_last_byte_and_refuses_the_one_after)
{
    void *host;

    cr_assert_eq(map(LOW_BASE + LOW_BYTES - 1, 1, &host), 0);
    cr_assert_eq(host, low + LOW_BYTES - 1);
    cr_assert_eq(map(LOW_BASE + LOW_BYTES, 1, &host), -EFAULT);
    cr_assert_eq(map(LOW_BASE + LOW_BYTES - 1, 2, &host), -EFAULT);
}

Test(gmem, maps_a_whole_region_and_refuses_one_byte_more)
{
    void *host;

    cr_assert_eq(map(LOW_BASE, LOW_BYTES, &host), 0);
    cr_assert_eq(map(LOW_BASE, LOW_BYTES + 1, &host), -EFAULT);
}

Test(gmem, maps_the_second_region_and_refuses_its_neighbours)
{
    void *host;

    cr_assert_eq(map(HIGH_BASE, HIGH_BYTES, &host), 0);
    cr_assert_eq(host, high);
    cr_assert_eq(map(HIGH_BASE - 1, 2, &host), -EFAULT);
    cr_assert_eq(map(HIGH_BASE + HIGH_BYTES - 1, 2, &host), -EFAULT);
}

Test(gmem, refuses_a_range_over_the_gap)
{
    void *host;

    cr_assert_eq(map(LOW_BASE, HIGH_BASE + HIGH_BYTES - LOW_BASE, &host),
                 -EFAULT);
}

Test(gmem, refuses_a_length_of_0)
{
    void *host;

    cr_assert_eq(map(LOW_BASE, 0, &host), -EFAULT);
}

Test(gmem, refuses_ranges_that_wrap_around)
{
    void *host;

    cr_assert_eq(map(UINT64_MAX, 1, &host), -EFAULT);
    cr_assert_eq(map(UINT64_MAX, 2, &host), -EFAULT);
    cr_assert_eq(map(UINT64_MAX - 1, SIZE_MAX, &host), -EFAULT);
    cr_assert_eq(map(LOW_BASE + 1, SIZE_MAX, &host), -EFAULT);
    cr_assert_eq(map(LOW_BASE + 1, SIZE_MAX - LOW_BASE, &host), -EFAULT);
    cr_assert_eq(gpa_add(gpa(UINT64_MAX), 1).raw, 0);
}

Test(gmem, has_nothing_without_regions)
{
    struct gmem none = {.count = 0};
    void *host;

    cr_assert_eq(gmem_map(&none, gpa(0), 1, &host), -EFAULT);
}

Test(gmem, reads_and_writes_what_fits)
{
    struct gmem mem = two_regions();
    char text[4];

    cr_assert_eq(gmem_write(&mem, gpa(HIGH_BASE + HIGH_BYTES - 4), "abc", 4),
                 0);
    cr_assert_eq(gmem_read(&mem, gpa(HIGH_BASE + HIGH_BYTES - 4), text, 4), 0);
    cr_assert_str_eq(text, "abc");
}

Test(gmem, moves_no_byte_of_what_does_not_fit)
{
    struct gmem mem = two_regions();
    uint8_t text[2] = {7, 7};

    low[LOW_BYTES - 1] = 1;
    cr_assert_eq(gmem_write(&mem, gpa(LOW_BASE + LOW_BYTES - 1), text, 2),
                 -EFAULT);
    cr_assert_eq(low[LOW_BYTES - 1], 1);
    cr_assert_eq(gmem_read(&mem, gpa(LOW_BASE + LOW_BYTES - 1), text, 2),
                 -EFAULT);
    cr_assert_eq(text[0], 7);
}

/* ---- Taking ranges out -------------------------------------------------- */

static bool reaches(const struct gmem *mem, uint64_t at, size_t bytes)
{
    void *host;

    return gmem_map(mem, gpa(at), bytes, &host) == 0;
}

/* ---- Marks --------------------------------------------------------------- */

/* Three pages, of which bits 0 and 1 are low, and 64 is high. */
static struct gmem with_marks(uint64_t marks[2])
{
    struct gmem mem = two_regions();

    mem.regions[1].first = 64;
    mem.marks = marks;
    return mem;
}

Test(gmem, counts_what_is_mapped_as_written_to)
{
    uint64_t marks[2] = {0, 0};
    struct gmem mem = with_marks(marks);
    void *host;

    cr_assert_eq(gmem_map(&mem, gpa(LOW_BASE), GMEM_PAGE_BYTES, &host), 0);
    cr_assert(marks[0] == 1 && marks[1] == 0);
    cr_assert_eq(gmem_map(&mem, gpa(LOW_BASE + 4095), 2, &host), 0);
    cr_assert(marks[0] == 3 && marks[1] == 0);
    cr_assert_eq(gmem_map(&mem, gpa(HIGH_BASE + 5), 1, &host), 0);
    cr_assert(marks[0] == 3 && marks[1] == 1);
}

Test(gmem, counts_of_what_is_found_only_what_is_marked)
{
    uint64_t marks[2] = {0, 0};
    struct gmem mem = with_marks(marks);
    void *host;

    cr_assert_eq(gmem_find(&mem, gpa(LOW_BASE), LOW_BYTES, &host), 0);
    gmem_mark(&mem, host, 0);
    cr_assert(marks[0] == 0 && marks[1] == 0);
    gmem_mark(&mem, (uint8_t *)host + GMEM_PAGE_BYTES, 1);
    cr_assert(marks[0] == 2 && marks[1] == 0);
    gmem_mark(&mem, high + HIGH_BYTES - 1, 1);
    cr_assert(marks[0] == 2 && marks[1] == 1);
    gmem_mark(&mem, (uint8_t *)host + 4095, 2);
    cr_assert(marks[0] == 3 && marks[1] == 1);
}

Test(gmem_exclude, refuses_the_range_and_nothing_beside_it)
{
    static uint8_t ram[0x4000];
    struct gmem mem = {.regions = {{0x1000, sizeof(ram), ram}}, .count = 1};
    void *host;

    cr_assert_eq(gmem_exclude(&mem, 0x2000, 0x3000), 0);
    cr_assert(reaches(&mem, 0x1fff, 1));
    cr_assert_not(reaches(&mem, 0x1fff, 2));
    cr_assert_not(reaches(&mem, 0x2000, 1));
    cr_assert_not(reaches(&mem, 0x2fff, 1));
    cr_assert_eq(gmem_map(&mem, gpa(0x3000), 1, &host), 0);
    cr_assert_eq(host, ram + 0x2000);
    cr_assert(reaches(&mem, 0x4fff, 1));
    cr_assert_not(reaches(&mem, 0x5000, 1));
}

Test(gmem_exclude, shortens_and_drops_regions)
{
    static uint8_t ram[0x2000];
    struct gmem mem = {
        .regions = {{0, 0x1000, ram}, {0x1000, 0x1000, ram + 0x1000}},
        .count = 2,
    };

    cr_assert_eq(gmem_exclude(&mem, 0, 0x1800), 0);
    cr_assert_eq(mem.count, 1);
    cr_assert_not(reaches(&mem, 0x17ff, 1));
    cr_assert(reaches(&mem, 0x1800, 0x800));
}

Test(gmem_exclude, does_nothing_for_an_empty_range)
{
    static uint8_t ram[0x1000];
    struct gmem mem = {.regions = {{0, sizeof(ram), ram}}, .count = 1};

    cr_assert_eq(gmem_exclude(&mem, 0x800, 0x800), 0);
    cr_assert(reaches(&mem, 0, sizeof(ram)));
}

Test(gmem_exclude, says_so_when_there_are_too_many_regions)
{
    static uint8_t ram[0x10];
    struct gmem mem = {.regions = {{0, sizeof(ram), ram}}, .count = 1};

    for (unsigned i = 1; i < GMEM_REGIONS_MAX; i++)
        cr_assert_eq(gmem_exclude(&mem, 2 * i, 2 * i + 1), 0);
    cr_assert_eq(gmem_exclude(&mem, 0xe, 0xf), -ENOSPC);
    cr_assert(reaches(&mem, 0xe, 1));
}
