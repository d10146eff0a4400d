/* SPDX-License-Identifier: MIT */
/* The device's side of a virtqueue: used chains, events and kicks. */
#include "tests/unit/virtq_driver.h"

Test(virtq_push, shows_nothing_before_publish, .init = set_up)
{
    desc[6] = (struct vring_desc){DATA, 1, WRITE, 0};
    cr_assert_eq(pop(6), 1);
    virtq_push(&q, 6, 1);
    cr_assert_eq(used->idx, 0);
    cr_assert(virtq_publish(&q));
    cr_assert_eq(used->idx, 1);
    cr_assert_eq(used->ring[0].id, 6);
    cr_assert_eq(used->ring[0].len, 1);
}

Test(virtq_publish, shows_a_batch_at_once_in_the_order_pushed, .init = set_up)
{
    desc[0] = desc[1] = (struct vring_desc){DATA, 1, 0, 0};
    cr_assert_eq(pop(0), 1);
    cr_assert_eq(pop(1), 1);
    virtq_push(&q, 1, 0);
    virtq_push(&q, 0, 0);
    cr_assert(virtq_publish(&q));
    cr_assert_eq(used->idx, 2);
    cr_assert_eq(used->ring[0].id, 1);
    cr_assert_eq(used->ring[1].id, 0);
}

Test(virtq_publish, of_nothing_wants_no_event, .init = set_up)
{
    cr_assert_not(virtq_publish(&q));
}

Test(virtq_publish, obeys_the_no_interrupt_flag, .init = set_up)
{
    desc[0] = (struct vring_desc){DATA, 1, 0, 0};
    avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    cr_assert_eq(pop(0), 1);
    virtq_push(&q, 0, 0);
    cr_assert_not(virtq_publish(&q));
}

/* Publishes `batch` chains with the driver's wish at index `wish`. */
static bool publish_with_wish(unsigned batch, uint16_t wish)
{
    desc[0] = (struct vring_desc){DATA, 1, 0, 0};
    avail->ring[SIZE] = wish;
    for (unsigned i = 0; i < batch; i++) {
        cr_assert_eq(pop(0), 1);
        virtq_push(&q, 0, 0);
    }
    return virtq_publish(&q);
}

Test(virtq_publish, notifies_when_the_index_passes_the_wish)
{
    set_up_events();
    cr_assert(publish_with_wish(1, 0));
    cr_assert_not(publish_with_wish(1, 0));
    cr_assert_not(publish_with_wish(2, 4)); /* index is 4 now, not past it */
    cr_assert(publish_with_wish(1, 4));
    cr_assert(publish_with_wish(3, 6)); /* 5..7, wish in the middle */
}

Test(virtq_publish, ignores_the_flag_with_event_idx)
{
    set_up_events();
    avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    cr_assert(publish_with_wish(1, 0));
}

Test(virtq_publish, finds_the_wish_across_the_wrap_of_the_index)
{
    set_up_events();
    run_chains(65534);
    cr_assert_not(publish_with_wish(1, 1)); /* to 65535 */
    cr_assert(publish_with_wish(4, 1));     /* over 0 and 1 to 3 */
    cr_assert_not(publish_with_wish(1, 65535));
}

/* The driver's decision (2.7.10): has the index passed avail_event? */
static bool driver_kicks(uint16_t old)
{
    uint16_t avail_event = *(uint16_t *)&used->ring[SIZE];

    return vring_need_event(avail_event, avail->idx, old);
}

Test(virtq_kick, is_asked_for_only_when_the_ring_is_full)
{
    set_up_events();
    desc[0] = (struct vring_desc){DATA, 1, 0, 0};
    cr_assert_not(virtq_set_kick_threshold(&q, SIZE));
    for (unsigned i = 1; i <= SIZE; i++) {
        make_available(0);
        cr_assert_eq(driver_kicks(avail->idx - 1), i == SIZE);
    }
    cr_assert(virtq_set_kick_threshold(&q, SIZE));
}

Test(virtq_kick, is_asked_for_at_once_with_a_threshold_of_1)
{
    set_up_events();
    run_chains(3);
    cr_assert_not(virtq_set_kick_threshold(&q, 1));
    make_available(0);
    cr_assert(driver_kicks(avail->idx - 1));
    cr_assert(virtq_set_kick_threshold(&q, 1));
}

Test(virtq_kick, threshold_wraps_with_the_index)
{
    set_up_events();
    run_chains(65533);
    cr_assert_not(virtq_set_kick_threshold(&q, SIZE));
    for (unsigned i = 1; i <= SIZE; i++) {
        make_available(0);
        cr_assert_eq(driver_kicks(avail->idx - 1), i == SIZE);
    }
}

Test(virtq_kick, flag_stays_clear_without_event_idx, .init = set_up)
{
    cr_assert_not(virtq_set_kick_threshold(&q, SIZE));
    cr_assert_eq(used->flags, 0);
    cr_assert_eq(used->ring[SIZE].id, 0);
}
