/* SPDX-License-Identifier: MIT */
/* The device's side of the ring against Linux's own driver, step by step. */
#include "tests/linux/rig.h"

/* More than 16 bits can count. */
#define BUFFERS 70000u

TestSuite(linux_driver, .timeout = 240);

static struct rig rig;

/* One of the two sides does something. */
static void take_step(void)
{
    uint64_t some = 1 + draw_below(&rig.random, 8);
    unsigned what = draw_below(&rig.random, 16);

    /* A sleeping device hears kicks, or looks by itself now and then. */
    if (rig.kicked || draw_below(&rig.random, 64) == 0)
        rig.asleep = false;
    if (draw_below(&rig.random, 64) == 0)
        some = rig.size;
    if (what < 6) {
        while (some-- > 0 && rig_add_any(&rig))
            ;
        if (draw_below(&rig.random, 4) != 0)
            rig_kick(&rig);
    } else if (what < 9) {
        rig_reap(&rig, some);
    } else if (what < 10) {
        rig_change_callbacks(&rig);
    } else if (!rig.asleep && what < 13) {
        rig_pop(&rig, some);
    } else if (!rig.asleep && what < 15) {
        rig_push(&rig, some);
    } else if (!rig.asleep) {
        rig_change_wish(&rig);
    }
}

/* Random steps on rings of all sizes, with these features. */
static void run_steps(uint64_t features)
{
    for (uint32_t size = 1; size <= VIRTQ_SIZE_MAX; size *= 2) {
        rig_create(&rig, size, features);
        while (rig.added < BUFFERS)
            take_step();
        rig_finish(&rig);
        /* Every decision was taken, both ways. */
        cr_assert(rig.kicks && rig.unkicked && rig.notified && rig.suppressed);
        rig_destroy(&rig);
    }
}

Test(linux_driver, agrees_on_rings_of_all_sizes)
{
    run_steps(0);
}

Test(linux_driver, agrees_on_event_indices)
{
    run_steps(RIG_EVENT_IDX);
}

Test(linux_driver, agrees_on_indirect_descriptors)
{
    run_steps(RIG_INDIRECT);
}

Test(linux_driver, agrees_on_both)
{
    run_steps(RIG_EVENT_IDX | RIG_INDIRECT);
}

/* Chains of as many descriptors as the ring has, one byte each. */
static void run_long_chains(uint64_t features)
{
    for (uint32_t size = 1; size <= VIRTQ_SIZE_MAX; size *= 2) {
        const uint32_t outs[] = {0, 1, size / 2, size - 1, size};

        rig_create(&rig, size, features);
        for (unsigned i = 0; i < sizeof(outs) / sizeof(outs[0]); i++) {
            /* One before it moves the place where it starts. */
            cr_assert(rig_add(&rig, 1, 0, 1));
            rig_finish(&rig);
            cr_assert(rig_add(&rig, outs[i], size - outs[i], 1));
            rig_finish(&rig);
        }
        rig_destroy(&rig);
    }
}

Test(linux_driver, splits_buffers_into_single_bytes)
{
    run_long_chains(0);
    run_long_chains(RIG_EVENT_IDX);
}

Test(linux_driver, splits_buffers_into_single_bytes_in_indirect_tables)
{
    run_long_chains(RIG_INDIRECT);
    run_long_chains(RIG_INDIRECT | RIG_EVENT_IDX);
}

/* A ring full of buffers, done at once, again and again. */
static void run_full_rings(uint64_t features)
{
    for (uint32_t size = 1; size <= VIRTQ_SIZE_MAX; size *= 2) {
        rig_create(&rig, size, features);
        for (unsigned round = 0; round < 5; round++) {
            for (uint32_t i = 0; i < size; i++)
                cr_assert(rig_add(&rig, i & 1, !(i & 1), 4));
            cr_assert_not(rig_add(&rig, 0, 1, 4));
            rig_kick(&rig);
            rig_finish(&rig);
        }
        rig_destroy(&rig);
    }
}

Test(linux_driver, fills_rings_to_the_last_entry)
{
    run_full_rings(0);
    run_full_rings(RIG_EVENT_IDX);
    run_full_rings(RIG_INDIRECT);
    run_full_rings(RIG_INDIRECT | RIG_EVENT_IDX);
}

/* A reset takes nothing from the driver that it cannot have back. */
Test(linux_driver, gets_back_what_a_reset_left_undone)
{
    for (uint64_t i = 0; i < 4; i++) {
        rig_create(&rig, 64,
                   (i & 1 ? RIG_INDIRECT : 0) | (i & 2 ? RIG_EVENT_IDX : 0));
        while (rig_add_any(&rig))
            ;
        rig_pop(&rig, 5);
        rig_push(&rig, 3);
        rig_reap(&rig, 2);
        rig_destroy(&rig);
    }
}
