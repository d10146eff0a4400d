/* SPDX-License-Identifier: MIT */
/* The guest's clock, read as a guest reads it. No test asserts how long
 * anything takes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <x86intrin.h>

#include "vmm/base/os.h"
#include "vmm/clock.h"

#define UPDATES 2000

static uint8_t ram[MF_BOOT_PAGE + MF_PAGE_BYTES];
static const struct gmem mem = {
    .regions = {{0, sizeof(ram), ram}},
    .count = 1,
};
static struct clock clock_of_guest;

static const struct mf_clock *shared(void)
{
    return &((const struct mf_boot *)(ram + MF_BOOT_PAGE))->clock;
}

/* Guest monotonic time as the ABI says that it is computed. */
static uint64_t guest_ns(const struct mf_clock *clock, uint64_t tsc)
{
    unsigned __int128 product =
        (unsigned __int128)(tsc - clock->tsc_base) * clock->mult;

    return clock->monotonic_ns + (uint64_t)(product >> 32);
}

/* The rate of the host's TSC, measured for long enough to be about right. */
static uint32_t tsc_khz(void)
{
    uint64_t start_ns = os_now_ns(), start = __rdtsc(), now_ns;

    do
        now_ns = os_now_ns();
    while (now_ns - start_ns < 20000000);
    return (uint32_t)((__rdtsc() - start) * 1000000 / (now_ns - start_ns));
}

/* Updates many times; the guest's time must never go back in between. */
static void check_updates(uint32_t khz)
{
    uint64_t last = 0;

    clock_init(&clock_of_guest, khz);
    for (unsigned i = 0; i < UPDATES; i++) {
        uint64_t before = guest_ns(&clock_of_guest.now, __rdtsc());

        clock_update(&clock_of_guest);
        uint64_t after = guest_ns(&clock_of_guest.now, __rdtsc());
        cr_assert_geq(before, last, "update %u", i);
        cr_assert_geq(after, before, "update %u", i);
        last = after;
    }
}

Test(clock, starts_near_zero)
{
    clock_init(&clock_of_guest, tsc_khz());
    cr_assert_eq(clock_of_guest.now.monotonic_ns, 0);
    cr_assert_eq(clock_of_guest.now.seq % 2, 0);
    cr_assert_gt(clock_of_guest.now.realtime_ns, 1600000000ull * 1000000000);
}

Test(clock, never_goes_back_when_the_rate_is_right)
{
    check_updates(tsc_khz());
}

Test(clock, never_goes_back_when_the_guest_ran_ahead)
{
    check_updates(tsc_khz() / 3);
}

Test(clock, never_goes_back_when_the_guest_fell_behind)
{
    check_updates(tsc_khz() * 3);
}

Test(clock, is_at_least_the_hosts_after_an_update)
{
    clock_init(&clock_of_guest, tsc_khz() * 3);
    uint64_t host_ns = os_now_ns();
    clock_update(&clock_of_guest);
    cr_assert_geq(clock_of_guest.now.monotonic_ns,
                  host_ns - clock_of_guest.epoch_ns);
}

Test(clock, slows_a_guest_that_is_ahead_until_the_host_has_caught_up)
{
    clock_init(&clock_of_guest, tsc_khz());
    uint64_t mult = clock_of_guest.now.mult;
    clock_of_guest.now.monotonic_ns += 1000000000;
    clock_update(&clock_of_guest);
    cr_assert_lt(clock_of_guest.now.mult, mult);
    cr_assert_gt(clock_of_guest.now.mult, mult - mult / 1000);
}

Test(clock, publishes_what_it_was_told_under_an_even_counter)
{
    clock_init(&clock_of_guest, 2600000);
    for (unsigned i = 1; i <= 3; i++) {
        clock_update(&clock_of_guest);
        cr_assert_eq(clock_publish(&clock_of_guest, &mem), 0);
        cr_assert_eq(shared()->seq, 2 * i);
        cr_assert_eq(shared()->tsc_khz, 2600000);
        cr_assert_eq(shared()->tsc_base, clock_of_guest.now.tsc_base);
        cr_assert_eq(shared()->mult, clock_of_guest.now.mult);
        cr_assert_eq(shared()->monotonic_ns, clock_of_guest.now.monotonic_ns);
        cr_assert_eq(shared()->realtime_ns, clock_of_guest.now.realtime_ns);
    }
}

Test(clock, keeps_its_own_counter_whatever_the_guest_writes)
{
    clock_init(&clock_of_guest, 2600000);
    cr_assert_eq(clock_publish(&clock_of_guest, &mem), 0);
    ((struct mf_boot *)(ram + MF_BOOT_PAGE))->clock.seq = 77;
    cr_assert_eq(clock_publish(&clock_of_guest, &mem), 0);
    cr_assert_eq(shared()->seq, 4);
}

Test(clock, cannot_be_published_without_a_boot_page)
{
    const struct gmem small = {
        .regions = {{0, MF_BOOT_PAGE, ram}},
        .count = 1,
    };

    clock_init(&clock_of_guest, 2600000);
    cr_assert_eq(clock_publish(&clock_of_guest, &small), -EFAULT);
}

Test(clock, turns_deadlines_into_host_time_and_saturates)
{
    clock_init(&clock_of_guest, 2600000);
    uint64_t epoch = clock_of_guest.epoch_ns;

    cr_assert_eq(clock_host_from_guest(&clock_of_guest, 0), epoch);
    cr_assert_eq(clock_host_from_guest(&clock_of_guest, 5), epoch + 5);
    cr_assert_eq(clock_host_from_guest(&clock_of_guest, UINT64_MAX - epoch),
                 UINT64_MAX);
    cr_assert_eq(clock_host_from_guest(&clock_of_guest, UINT64_MAX - epoch - 1),
                 UINT64_MAX - 1);
    cr_assert_eq(clock_host_from_guest(&clock_of_guest, UINT64_MAX - epoch + 1),
                 UINT64_MAX);
    cr_assert_eq(clock_host_from_guest(&clock_of_guest, MF_WAIT_FOREVER),
                 UINT64_MAX);
}

Test(clock, turns_stamps_into_host_time_and_those_before_the_start_into_0)
{
    clock_init(&clock_of_guest, 1000000); /* a tick a nanosecond */
    uint64_t tsc = clock_of_guest.epoch_tsc, ns = clock_of_guest.epoch_ns;

    cr_assert_eq(clock_host_from_tsc(&clock_of_guest, tsc), ns);
    cr_assert_eq(clock_host_from_tsc(&clock_of_guest, tsc + 1000), ns + 1000);
    cr_assert_eq(clock_host_from_tsc(&clock_of_guest, tsc - 1), 0);
    cr_assert_eq(clock_host_from_tsc(&clock_of_guest, 0), 0);
}
