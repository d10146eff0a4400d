/* SPDX-License-Identifier: MIT */
/* Free page reporting: the guest's allocator against the balloon device. */
#include <criterion/criterion.h>

#include "guest_rt/report.h"
#include "tests/ring/vm.h"
#include "virtio/balloon.h"

TestSuite(report, .timeout = 60);

#define MIB  (UINT64_C(1) << 20)
#define FULL (12 * MIB)

static struct balloon balloon;
static struct region regions[2];

static void start_without(void)
{
    vm_start(-1, -1, -1);
    region_init(&regions[0], (uintptr_t)VM_BUFFER, FULL);
    region_init(&regions[1], 0, 0);
}

static void set_up(void)
{
    start_without();
    balloon_init(&balloon);
    cr_assert_eq(native_add(&vm.native, &balloon.dev, 0), 0);
}

static uintptr_t map(size_t bytes)
{
    uintptr_t at = region_map(&regions[0], bytes);

    cr_assert_neq(at, 0);
    return at;
}

static void unmap(uintptr_t at, size_t bytes)
{
    region_unmap(&regions[0], at, bytes);
    report_freed(regions, 2, bytes);
}

static void assert_reports(unsigned count, uint64_t bytes)
{
    cr_assert_eq(balloon.reports, count, "%llu",
                 (unsigned long long)balloon.reports);
    cr_assert_eq(balloon.reported_bytes, bytes, "%llu",
                 (unsigned long long)balloon.reported_bytes);
    cr_assert_eq(vm.kicks, count);
}

Test(report, tells_of_a_mebibyte_and_not_of_less, .init = set_up)
{
    uintptr_t at = map(4 * MIB);

    unmap(at, MIB - REGION_PAGE);
    assert_reports(0, 0);
    unmap(at + MIB - REGION_PAGE, REGION_PAGE);
    assert_reports(1, MIB);
    cr_assert_eq(balloon.freed_bytes, MIB);
    cr_assert_eq(balloon.refused_pages, 0);
}

/* What describes a hole is not in it. */
Test(report, tells_of_a_whole_hole, .init = set_up)
{
    uintptr_t at = map(4 * MIB);

    unmap(at + MIB, MIB - REGION_PAGE);
    assert_reports(0, 0);
    unmap(at + 2 * MIB - REGION_PAGE, REGION_PAGE);
    assert_reports(1, MIB);
}

Test(report, does_without_a_device)
{
    start_without();
    unmap(map(4 * MIB), 4 * MIB);
    unmap(map(4 * MIB), 4 * MIB);
    cr_assert_eq(vm.kicks, 0);
    cr_assert_eq(report_before_sleep(5), 5);
}

/* Every second piece is freed but for a page: too small, until it grows. */
Test(report, does_not_count_small_pieces, .init = set_up)
{
    static struct region_hole descriptions[160];
    const size_t piece = REPORT_LEAST, most = piece - REGION_PAGE;
    uintptr_t at;

    region_feed(&regions[0], descriptions, sizeof(descriptions));
    at = map(FULL);
    for (unsigned i = 1; i < 160; i += 2)
        unmap(at + i * piece, most);
    assert_reports(0, 0);
    for (unsigned i = 1; i < 160; i += 2)
        unmap(at + i * piece + most, REGION_PAGE);
    unmap(at + FULL - MIB, MIB);
    /* 81 ranges, and 16 of them at a time. */
    assert_reports(6, 80 * piece + MIB);
}

Test(report, tells_of_everything_at_once, .init = set_up)
{
    uintptr_t at = map(FULL);

    vm.now_ns = 1;
    unmap(at, 8 * MIB);
    assert_reports(1, 8 * MIB);
    unmap(at + 9 * MIB, MIB / 2);
    vm.now_ns += 1000000000;
    unmap(at + 10 * MIB, 2 * MIB);
    assert_reports(2, 8 * MIB + MIB / 2 + 2 * MIB);
}

/* Touching 2 MiB again takes 2.3 ms: the next report comes 22.5 ms later. */
Test(report, lets_time_pass_between_two, .init = set_up)
{
    const uint64_t pause_ns = 2 * MIB / REGION_PAGE * REPORT_NS_PER_PAGE;

    unmap(map(2 * MIB), 2 * MIB);
    assert_reports(1, 2 * MIB);
    vm.now_ns = pause_ns - 1;
    unmap(map(2 * MIB), 2 * MIB);
    assert_reports(1, 2 * MIB);
    vm.now_ns = pause_ns;
    unmap(map(MIB), MIB);
    assert_reports(2, 4 * MIB);
}

Test(report, is_made_up_for_before_a_sleep, .init = set_up)
{
    const uint64_t pause_ns = 2 * MIB / REGION_PAGE * REPORT_NS_PER_PAGE;

    cr_assert_eq(report_before_sleep(MF_WAIT_FOREVER), MF_WAIT_FOREVER);
    unmap(map(2 * MIB), 2 * MIB);
    cr_assert_eq(report_before_sleep(MF_WAIT_FOREVER), MF_WAIT_FOREVER);
    unmap(map(2 * MIB), 2 * MIB);
    cr_assert_eq(report_before_sleep(MF_WAIT_FOREVER), pause_ns);
    cr_assert_eq(report_before_sleep(pause_ns - 1), pause_ns - 1);
    assert_reports(1, 2 * MIB);
    vm.now_ns = pause_ns;
    cr_assert_eq(report_before_sleep(MF_WAIT_FOREVER), MF_WAIT_FOREVER);
    assert_reports(2, 4 * MIB);
    cr_assert_eq(report_before_sleep(MF_WAIT_FOREVER), MF_WAIT_FOREVER);
    assert_reports(2, 4 * MIB);
}

Test(report, forgets_what_is_in_use_again, .init = set_up)
{
    uintptr_t at;

    unmap(map(2 * MIB), 2 * MIB);
    at = map(2 * MIB);
    unmap(at, 2 * MIB);
    map(2 * MIB);
    vm.now_ns = 1000000000;
    cr_assert_eq(report_before_sleep(MF_WAIT_FOREVER), MF_WAIT_FOREVER);
    assert_reports(1, 2 * MIB);
}

Test(report, waits_until_the_device_has_it, .init = set_up)
{
    vm.lazy = true;
    unmap(map(2 * MIB), 2 * MIB);
    cr_assert_eq(balloon.freed_bytes, 2 * MIB);
    cr_assert_eq(vm.waits, 1);
}

Test(report, ends_when_the_device_gives_up, .init = set_up)
{
    vdev_mark_needs_reset(&balloon.dev);
    unmap(map(2 * MIB), 2 * MIB);
    vm.now_ns = 1000000000;
    unmap(map(2 * MIB), 2 * MIB);
    cr_assert_eq(balloon.reports, 0);
    cr_assert_eq(vm.waits, 0);
    cr_assert_eq(report_before_sleep(5), 5);
}

Test(report, hands_memory_out_cleared_again, .init = set_up)
{
    unsigned char *at = (unsigned char *)map(2 * MIB);

    for (size_t i = 0; i < 2 * MIB; i++)
        at[i] = 0xff;
    unmap((uintptr_t)at, 2 * MIB);
    assert_reports(1, 2 * MIB);
    at = (unsigned char *)map(2 * MIB);
    for (size_t i = 0; i < 2 * MIB; i++)
        cr_assert_eq(at[i], 0);
}
