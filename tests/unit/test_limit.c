/* SPDX-License-Identifier: MIT */
/* Rate limits, over simulated time. */
#include <criterion/criterion.h>

#include "virtio/limit.h"

#define SECOND UINT64_C(1000000000)
#define START  UINT64_C(123456789012345) /* any time */

static struct limit limit;

static void start(uint64_t ops, uint64_t bytes)
{
    limit_init(&limit, (struct limit_rate){ops, bytes});
}

/* How many operations pass at `now` before one is refused; at most `max`. */
static uint64_t count_passing(uint64_t now, uint64_t bytes, uint64_t max)
{
    uint64_t count = 0;

    while (count < max && limit_take(&limit, now, bytes) == 0)
        count++;
    return count;
}

/* Passes `count` operations, each as soon as it may. Returns the last's time.*/
static uint64_t pass(uint64_t now, uint64_t count, uint64_t bytes)
{
    for (uint64_t passed = 0, asked = 0; passed < count; asked++) {
        uint64_t when = limit_take(&limit, now, bytes);

        passed += when == 0;
        cr_assert_leq(asked, 2 * count, "it passes when it was said to");
        if (when > 0)
            now = when;
    }
    return now;
}

Test(limit, that_is_none_lets_everything_pass)
{
    start(0, 0);
    cr_assert_not(limit_is_set(&limit));
    cr_assert_eq(count_passing(0, UINT64_MAX, 1000), 1000);
    limit_charge(&limit, UINT64_MAX);
    cr_assert_eq(limit_take(&limit, 0, UINT64_MAX), 0);
}

Test(limit, is_set_by_either_rate)
{
    start(1, 0);
    cr_assert(limit_is_set(&limit));
    start(0, 1);
    cr_assert(limit_is_set(&limit));
}

Test(limit, starts_with_a_tenth_of_a_second)
{
    start(1000, 0);
    cr_assert_eq(count_passing(START, 1, 1000), 100);
    start(0, 1000000);
    cr_assert_eq(count_passing(START, 1000, 1000), 100);
}

Test(limit, has_a_burst_of_at_least_one_operation)
{
    start(1, 0);
    cr_assert_eq(limit_take(&limit, START, 1), 0);
    cr_assert_eq(limit_take(&limit, START, 1), START + SECOND);
    start(19, 0);
    cr_assert_eq(count_passing(START, 1, 10), 1);
    start(20, 0);
    cr_assert_eq(count_passing(START, 1, 10), 2);
}

Test(limit, says_exactly_when_the_next_may_pass)
{
    uint64_t when;

    start(1000, 0);
    count_passing(START, 1, 1000);
    when = limit_take(&limit, START, 1);
    cr_assert_eq(when, START + SECOND / 1000);
    cr_assert_eq(limit_take(&limit, when - 1, 1), when);
    cr_assert_eq(limit_take(&limit, when, 1), 0);
    cr_assert_eq(limit_take(&limit, when, 1), when + SECOND / 1000);
}

Test(limit, counts_nothing_for_what_it_refuses)
{
    uint64_t when;

    start(10, 1000);
    cr_assert_eq(limit_take(&limit, START, 100), 0);
    when = limit_take(&limit, START, 100);
    cr_assert_eq(count_passing(START, 100, 10), 0);
    cr_assert_eq(limit_take(&limit, START, 100), when);
}

Test(limit, passes_n_operations_in_their_time)
{
    static const uint64_t rates[] = {21, 999, 1001, 99991, 199999};

    for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
        uint64_t rate = rates[i], count = 20000;

        start(rate, 0);
        cr_assert_eq(count_passing(START, 1, count), rate / 10);
        /*
         * The rest comes at the rate, less the fraction of a token that was
         * left, rounded up to a nanosecond once and not for each.
         */
        uint64_t owed = count * SECOND - rate * (SECOND / 10);
        uint64_t last = pass(START, count - rate / 10, 1);
        cr_assert_eq(last - START, (owed + rate - 1) / rate, "rate %lu",
                     (unsigned long)rate);
    }
}

Test(limit, passes_slow_operations_one_by_one)
{
    start(3, 0);
    cr_assert_eq(pass(START, 1, 1), START);
    cr_assert_eq(pass(START, 300, 1), START + 300 * UINT64_C(333333334));
}

/* Asked at every odd moment, and for years, not one operation is lost. */
Test(limit, does_not_drift_however_often_it_is_asked)
{
    uint64_t rate = 999983, passed = 0, now = START;

    start(rate, 0);
    for (unsigned i = 0; i < 1000000; i++) {
        now += 1 + i % 7; /* most steps are far less than one operation */
        passed += limit_take(&limit, now, 1) == 0;
    }
    while (limit_take(&limit, now, 1) == 0)
        passed++;
    cr_assert_eq(passed, ((unsigned __int128)(now - START) * rate +
                          rate * (SECOND / 10)) /
                             SECOND);
}

Test(limit, holds_bytes_as_exactly)
{
    start(0, 1000003);
    cr_assert_eq(count_passing(START, 1, 200000), 100000);
    /* 0.3 bytes are left: the next 4096 take the time of 4095.7. */
    cr_assert_eq(limit_take(&limit, START, 4096) - START,
                 (UINT64_C(40957) * SECOND / 10 + 1000002) / 1000003);
}

Test(limit, lets_what_is_larger_than_a_burst_pass_and_then_pays_it_off)
{
    start(0, 1000);
    cr_assert_eq(limit_take(&limit, START, 5000), 0);
    /* 4900 are owed, and 100 are to be there. */
    cr_assert_eq(limit_take(&limit, START, 5000), START + 5 * SECOND);
    cr_assert_eq(limit_take(&limit, START, 1), START + 4901 * SECOND / 1000);
    cr_assert_eq(limit_take(&limit, START + 5 * SECOND - 1, 5000),
                 START + 5 * SECOND);
    cr_assert_eq(limit_take(&limit, START + 5 * SECOND, 5000), 0);
}

Test(limit, lets_no_bytes_pass_a_full_bucket_of_bytes_but_not_a_debt)
{
    start(0, 1000);
    cr_assert_eq(limit_take(&limit, START, 100), 0);
    cr_assert_eq(limit_take(&limit, START, 0), 0, "empty, not in debt");
    cr_assert_eq(limit_take(&limit, START, 1), START + SECOND / 1000);
    limit_charge(&limit, 1);
    cr_assert_eq(limit_take(&limit, START, 0), START + SECOND / 1000);
}

Test(limit, waits_for_the_slower_of_the_two)
{
    start(10, 100000);
    cr_assert_eq(limit_take(&limit, START, 1), 0);
    cr_assert_eq(limit_take(&limit, START, 1), START + SECOND / 10);
    cr_assert_eq(limit_take(&limit, START + SECOND / 10, 30000), 0);
    cr_assert_eq(limit_take(&limit, START + SECOND / 10, 10000),
                 START + 4 * (SECOND / 10));
}

Test(limit, saves_no_more_than_the_burst_while_idle)
{
    start(1000, 0);
    cr_assert_eq(count_passing(START, 1, 1000), 100);
    cr_assert_eq(count_passing(START + SECOND / 20, 1, 1000), 50);
    cr_assert_eq(count_passing(START + 3600 * SECOND, 1, 1000), 100);
    cr_assert_eq(count_passing(UINT64_MAX, 1, 1000), 100);
}

Test(limit, takes_a_clock_that_goes_back_as_one_that_stands)
{
    start(1000, 0);
    cr_assert_eq(count_passing(START, 1, 1000), 100);
    cr_assert_eq(limit_take(&limit, START - SECOND, 1), START + SECOND / 1000);
    cr_assert_eq(count_passing(START + SECOND / 1000, 1, 10), 1);
}

Test(limit, does_not_overflow)
{
    start(UINT64_MAX, UINT64_MAX);
    cr_assert_eq(limit_take(&limit, 0, UINT64_MAX), 0);
    cr_assert_eq(limit_take(&limit, 0, UINT64_MAX), SECOND);
    cr_assert_eq(limit_take(&limit, UINT64_MAX, UINT64_MAX), 0);
    for (unsigned i = 0; i < 1000; i++)
        limit_charge(&limit, UINT64_MAX);
    cr_assert_eq(limit_take(&limit, UINT64_MAX, 1), UINT64_MAX - 1);

    start(1, 1);
    cr_assert_eq(limit_take(&limit, 0, UINT64_MAX), 0);
    cr_assert_eq(limit_take(&limit, 1, 1), UINT64_MAX - 1);
    cr_assert_eq(limit_take(&limit, UINT64_MAX, 1), UINT64_MAX - 1,
                 "584 years pay 1.8e10 bytes of 1.8e19");
}

/* In no time t does more than rate * t and a burst pass. */
Test(limit, holds_over_any_stretch_of_time)
{
    enum { OPS = 3000 };
    static uint64_t when[OPS];
    uint64_t now = START, random = 1;
    const uint64_t rate = 5000, burst = 500;

    start(rate, 0);
    for (unsigned i = 0; i < OPS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1;
        if (random >> 60 == 0)
            now += random % (SECOND / 4);
        now = when[i] = pass(now, 1, 1);
    }
    for (unsigned i = 0; i < OPS; i++)
        for (unsigned j = i; j < OPS; j++)
            cr_assert_leq((j - i + 1) * SECOND,
                          burst * SECOND + (when[j] - when[i]) * rate);
}
