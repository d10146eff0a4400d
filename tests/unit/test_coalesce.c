/* SPDX-License-Identifier: MIT */
/* Notification coalescing, sentence by sentence of the standard. */
#include <criterion/criterion.h>

#include "virtio/coalesce.h"

#define US UINT64_C(1000)

static struct coalesce c;

static bool set(uint32_t packets, uint32_t usecs, uint64_t now)
{
    return coalesce_set(&c, (struct coalesce_limits){packets, usecs}, now);
}

Test(coalesce, is_off_after_a_reset)
{
    cr_assert_not(set(8, 8, 0));
    cr_assert(coalesce_is_on(&c));
    cr_assert_not(coalesce_add(&c, 1, 0));
    coalesce_reset(&c);
    cr_assert_eq(c.limits.max_packets, 0);
    cr_assert_eq(c.limits.max_usecs, 0);
    cr_assert_not(coalesce_is_on(&c));
    cr_assert_eq(coalesce_deadline(&c), COALESCE_NEVER);
    cr_assert_not(coalesce_expire(&c, UINT64_MAX - 1));
    cr_assert_eq(c.stats.packets, 1, "counts stay");
}

Test(coalesce, is_due_after_every_packet_when_a_limit_is_0)
{
    cr_assert(coalesce_add(&c, 1, 0));
    cr_assert_not(set(15, 0, 0));
    cr_assert(coalesce_add(&c, 1, 0));
    cr_assert_not(set(0, 10, 0));
    cr_assert(coalesce_add(&c, 1, 0));
    cr_assert(coalesce_add(&c, 3, 0));
    cr_assert_eq(coalesce_deadline(&c), COALESCE_NEVER);
    cr_assert_eq(c.stats.at_once, 4);
    cr_assert_eq(c.stats.delayed, 0);
}

Test(coalesce, is_due_with_the_last_of_max_packets)
{
    cr_assert_not(set(15, 10, 0));
    for (unsigned i = 0; i < 14; i++)
        cr_assert_not(coalesce_add(&c, 1, 100 + i));
    cr_assert(coalesce_add(&c, 1, 200));
    cr_assert_eq(c.stats.delayed, 1);
    cr_assert_eq(c.stats.by_packets, 1);
    cr_assert_eq(coalesce_deadline(&c), COALESCE_NEVER);
}

Test(coalesce, is_due_when_max_usecs_have_passed_since_the_first_packet)
{
    cr_assert_not(set(15, 10, 0));
    cr_assert_not(coalesce_add(&c, 1, 5 * US));
    cr_assert_not(coalesce_add(&c, 1, 14 * US));
    cr_assert_eq(coalesce_deadline(&c), 15 * US);
    cr_assert_not(coalesce_expire(&c, 15 * US - 1));
    cr_assert(coalesce_expire(&c, 15 * US));
    cr_assert_not(coalesce_expire(&c, 16 * US), "once");
    cr_assert_eq(c.stats.by_time, 1);
}

Test(coalesce, is_due_with_a_packet_that_comes_late)
{
    cr_assert_not(set(15, 10, 0));
    cr_assert_not(coalesce_add(&c, 1, 0));
    cr_assert(coalesce_add(&c, 1, 10 * US));
}

Test(coalesce, starts_counting_again_with_the_next_packet)
{
    cr_assert_not(set(2, 10, 0));
    cr_assert_not(coalesce_add(&c, 1, 0));
    cr_assert(coalesce_add(&c, 1, 1 * US));
    cr_assert_not(coalesce_expire(&c, 100 * US), "nothing waits");
    cr_assert_not(coalesce_add(&c, 1, 100 * US));
    cr_assert_eq(coalesce_deadline(&c), 110 * US);
    cr_assert(coalesce_add(&c, 1, 101 * US));
}

Test(coalesce, counts_several_packets_at_a_time)
{
    cr_assert_not(set(8, 10, 0));
    cr_assert_not(coalesce_add(&c, 7, 0));
    cr_assert(coalesce_add(&c, 16, 0));
    cr_assert(coalesce_add(&c, 8, 0));
    cr_assert_eq(c.stats.at_once, 1);
    cr_assert_eq(c.stats.packets, 31);
}

Test(coalesce, is_due_at_once_when_new_limits_are_met_by_packets)
{
    cr_assert_not(set(15, 1000, 0));
    cr_assert_not(coalesce_add(&c, 10, 0));
    cr_assert_not(set(11, 1000, 1));
    cr_assert(set(10, 1000, 2));
    cr_assert_not(set(8, 1000, 3), "once");
    cr_assert_eq(c.stats.by_change, 1);
}

Test(coalesce, is_due_at_once_when_new_limits_are_met_by_time)
{
    cr_assert_not(set(15, 1000, 0));
    cr_assert_not(coalesce_add(&c, 1, 0));
    cr_assert_not(set(15, 101, 100 * US));
    cr_assert_eq(coalesce_deadline(&c), 101 * US);
    cr_assert(set(15, 100, 100 * US));
}

Test(coalesce, is_due_at_once_when_it_is_turned_off)
{
    cr_assert_not(set(15, 1000, 0));
    cr_assert_not(coalesce_add(&c, 1, 0));
    cr_assert(set(15, 0, 0));
    cr_assert_not(set(15, 1000, 0));
    cr_assert_not(coalesce_add(&c, 1, 0));
    cr_assert(set(0, 1000, 0));
}

Test(coalesce, of_limits_that_change_nothing_waits_no_less)
{
    cr_assert_not(set(15, 10, 0));
    cr_assert_not(coalesce_add(&c, 1, 2 * US));
    cr_assert_not(set(15, 20, 3 * US));
    cr_assert_eq(coalesce_deadline(&c), 22 * US, "from the first packet on");
}

Test(coalesce, takes_the_largest_limits)
{
    cr_assert_not(set(UINT32_MAX, UINT32_MAX, 0));
    cr_assert_not(coalesce_add(&c, UINT32_MAX - 1, 7));
    cr_assert_eq(coalesce_deadline(&c), 7 + UINT32_MAX * US);
    cr_assert(coalesce_add(&c, 1, 8));
}

Test(coalesce, may_be_flushed)
{
    cr_assert_not(coalesce_flush(&c));
    cr_assert_not(set(15, 10, 0));
    cr_assert_not(coalesce_add(&c, 1, 0));
    cr_assert(coalesce_flush(&c));
    cr_assert_not(coalesce_flush(&c));
}
