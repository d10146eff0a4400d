/* SPDX-License-Identifier: MIT */
/* The guest's timers: a heap that always fires the earliest first. */
#include <criterion/criterion.h>
#include <stdlib.h>

/* Guest code is not in the library that other unit tests link. */
#include "guest_rt/sched_timer.c"

#define TIMERS 500

static unsigned root_changes;

void timer_root_changed(void)
{
    root_changes++;
}

static struct timer timers[TIMERS];
static uint64_t fired[4 * TIMERS];
static unsigned fired_count;

static void note(struct timer *timer)
{
    cr_assert(!timer_is_running(timer));
    fired[fired_count++] = timer->deadline_ns;
}

static void set_up(void)
{
    for (unsigned i = 0; i < TIMERS; i++)
        timers[i] = (struct timer){.fire = note};
}

TestSuite(sched_timer, .init = set_up, .timeout = 60);

static void assert_in_order(void)
{
    for (unsigned i = 1; i < fired_count; i++)
        cr_assert_leq(fired[i - 1], fired[i]);
}

Test(sched_timer, has_no_deadline_while_none_is_running)
{
    cr_assert_eq(timer_next_ns(), WAIT_NO_END);
    timer_start(&timers[0], WAIT_NO_END);
    cr_assert(!timer_is_running(&timers[0]));
    timer_stop(&timers[0]);
    timer_fire_until(UINT64_MAX - 1);
    cr_assert_eq(fired_count, 0);
}

Test(sched_timer, fires_at_its_deadline_and_not_before)
{
    timer_start(&timers[0], 100);
    cr_assert_eq(timer_next_ns(), 100);
    timer_fire_until(99);
    cr_assert_eq(fired_count, 0);
    timer_fire_until(100);
    cr_assert_eq(fired_count, 1);
    cr_assert_eq(timer_next_ns(), WAIT_NO_END);
}

Test(sched_timer, tells_only_of_an_earlier_deadline)
{
    timer_start(&timers[0], 100);
    timer_start(&timers[1], 200);
    cr_assert_eq(root_changes, 1);
    timer_start(&timers[2], 50);
    cr_assert_eq(root_changes, 2);
}

Test(sched_timer, moves_a_timer_that_is_running)
{
    timer_start(&timers[0], 100);
    timer_start(&timers[1], 200);
    timer_start(&timers[0], 300);
    cr_assert_eq(timer_next_ns(), 200);
    timer_start(&timers[0], 10);
    cr_assert_eq(timer_next_ns(), 10);
    timer_stop(&timers[0]);
    cr_assert_eq(timer_next_ns(), 200);
}

static void start_again(struct timer *timer)
{
    note(timer);
    if (timer->deadline_ns < 50)
        timer_start(timer, timer->deadline_ns + 10);
}

Test(sched_timer, may_be_started_by_its_own_function)
{
    timers[0].fire = start_again;
    timer_start(&timers[0], 10);
    timer_start(&timers[1], 25);
    timer_fire_until(1000);
    cr_assert_eq(fired_count, 6);
    assert_in_order();
}

static void stop_next(struct timer *timer)
{
    note(timer);
    timer_stop(timer + 1);
}

Test(sched_timer, may_be_stopped_by_anothers_function)
{
    timers[0].fire = stop_next;
    timer_start(&timers[0], 10);
    timer_start(&timers[1], 10);
    timer_start(&timers[2], 20);
    timer_fire_until(1000);
    cr_assert_eq(fired_count, 2);
    cr_assert_eq(fired[1], 20);
}

/* Any order of starting, moving and stopping, against a look at all. */
Test(sched_timer, agrees_with_a_look_at_all_of_them)
{
    uint64_t now = 0;

    srand(1);
    for (unsigned step = 0; step < 200000; step++) {
        struct timer *timer = &timers[rand() % TIMERS];
        uint64_t least = WAIT_NO_END;

        if (rand() % 3)
            timer_start(timer, now + (uint64_t)rand() % 1000);
        else
            timer_stop(timer);
        if (rand() % 16 == 0) {
            now += (uint64_t)rand() % 50;
            fired_count = 0;
            timer_fire_until(now);
            assert_in_order();
        }
        if (step % 64)
            continue;
        for (unsigned i = 0; i < TIMERS; i++)
            if (timer_is_running(&timers[i]) && timers[i].deadline_ns < least)
                least = timers[i].deadline_ns;
        cr_assert_eq(timer_next_ns(), least);
    }
}
