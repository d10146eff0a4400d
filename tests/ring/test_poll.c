/* SPDX-License-Identifier: MIT */
/* How long a driver looks before it sleeps, and that it sleeps safely. */
#include <criterion/criterion.h>

#include "guest_rt/poll.h"
#include "tests/ring/vm.h"

TestSuite(poll, .timeout = 60);

#define MOST_NS 48000u
#define STEP    100u /* ticks, of a nanosecond here, from look to look */
#define MOST    (MOST_NS / STEP)

static struct poll state;
static unsigned looks, ready_after;

static struct mf_boot *boot(void)
{
    return (struct mf_boot *)MF_BOOT_PAGE;
}

static void set_up(void)
{
    vm_init();
    boot()->clock.tsc_khz = 1000000;
    boot()->poll_ns = MOST_NS;
    vm.tsc = 123456789;
    vm.tsc_step = STEP;
    state = (struct poll){0};
    ready_after = UINT32_MAX;
}

static bool is_ready(void *context)
{
    cr_assert_eq(context, &state);
    return ++looks > ready_after;
}

/* Looks in vain. Returns how often. */
static unsigned count_looks(void)
{
    looks = 0;
    cr_assert_not(poll_spin(&state, is_ready, &state));
    return looks;
}

/* A wait in vain, and a sleep until `ns` after the wait's beginning. */
static void wait_for_ns(uint64_t ns)
{
    count_looks();
    vm.tsc = state.start + ns - STEP; /* the next look adds a step */
    poll_woke(&state);
}

Test(poll, looks_once_when_it_is_off, .init = set_up)
{
    boot()->poll_ns = 0;
    cr_assert_eq(count_looks(), 1);
    cr_assert_eq(vm.tsc, 123456789, "nor at the clock");
    poll_woke(&state);
    boot()->poll_ns = MOST_NS;
    cr_assert_eq(count_looks(), MOST, "nothing was learnt meanwhile");
}

Test(poll, looks_once_when_the_clock_is_unknown, .init = set_up)
{
    boot()->clock.tsc_khz = 0;
    cr_assert_eq(count_looks(), 1);
}

Test(poll, looks_as_long_as_it_may_at_first, .init = set_up)
{
    cr_assert_eq(count_looks(), MOST);
    boot()->clock.tsc_khz = 2000000;
    cr_assert_eq(count_looks(), 2 * MOST);
    boot()->poll_ns = MOST_NS / 2;
    cr_assert_eq(count_looks(), MOST);
}

Test(poll, needs_no_clock_for_work_that_is_there, .init = set_up)
{
    ready_after = 0;
    cr_assert(poll_spin(&state, is_ready, &state));
    cr_assert_eq(looks, 1);
    cr_assert_eq(vm.tsc, 123456789);
}

Test(poll, ends_with_the_look_that_finds_work, .init = set_up)
{
    ready_after = 7;
    cr_assert(poll_spin(&state, is_ready, &state));
    cr_assert_eq(looks, 8);
}

Test(poll, looks_half_as_long_after_a_long_sleep, .init = set_up)
{
    for (unsigned i = 0; i <= POLL_HALVINGS_MAX; i++) {
        cr_assert_eq(count_looks(), MOST >> i);
        wait_for_ns(2 * MOST_NS);
    }
    cr_assert_eq(count_looks(), 1, "and then not at all");
    wait_for_ns(2 * MOST_NS);
    wait_for_ns(2 * MOST_NS - 1);
    cr_assert_eq(count_looks(), MOST >> POLL_HALVINGS_MAX);
}

Test(poll, looks_twice_as_long_after_a_short_sleep, .init = set_up)
{
    for (unsigned i = 0; i <= POLL_HALVINGS_MAX; i++)
        wait_for_ns(2 * MOST_NS);
    for (unsigned i = POLL_HALVINGS_MAX + 1; i-- > 0;) {
        wait_for_ns(2 * MOST_NS - 1);
        cr_assert_eq(count_looks(), MOST >> i);
    }
    wait_for_ns(2 * MOST_NS - 1);
    cr_assert_eq(count_looks(), MOST, "and no longer");
}

Test(poll, looks_twice_as_long_after_work_that_came_meanwhile, .init = set_up)
{
    wait_for_ns(2 * MOST_NS);
    wait_for_ns(2 * MOST_NS);
    looks = 0;
    ready_after = 2;
    cr_assert(poll_spin(&state, is_ready, &state));
    ready_after = UINT32_MAX;
    cr_assert_eq(count_looks(), MOST / 2);
}

/* ---- Sleeping ----------------------------------------------------------- */

#define EVENT 5u
#define OTHER 6u

static unsigned armed, armed_enough;
static unsigned raise_in_arm; /* a bit, after the look; 64: none */

static bool arm(void *context)
{
    cr_assert_eq(context, &state);
    if (++armed > armed_enough)
        return true;
    if (raise_in_arm < 64)
        event_raise(&vm.native.events, raise_in_arm);
    return false;
}

static bool wait_until(uint64_t deadline_ns)
{
    return poll_wait(&state, UINT64_C(1) << EVENT, is_ready, arm, &state,
                     deadline_ns);
}

static void set_up_sleep(void)
{
    set_up();
    boot()->poll_ns = 0;
    raise_in_arm = 64;
}

Test(poll_wait, sleeps_only_when_looking_was_in_vain, .init = set_up_sleep)
{
    ready_after = 0;
    cr_assert(wait_until(MF_WAIT_FOREVER));
    cr_assert_eq(armed, 0);
    cr_assert_eq(vm.waits, 0);
}

Test(poll_wait, does_not_sleep_when_asking_finds_work, .init = set_up_sleep)
{
    cr_assert(wait_until(MF_WAIT_FOREVER));
    cr_assert_eq(armed, 1);
    cr_assert_eq(vm.waits, 0);
}

/* The wait would fail with "waits for nothing" if it blocked. */
Test(poll_wait, does_not_miss_an_event_after_the_look, .init = set_up_sleep)
{
    armed_enough = 1;
    raise_in_arm = EVENT;
    cr_assert(wait_until(MF_WAIT_FOREVER));
    cr_assert_eq(vm.waits, 1);
    cr_assert_eq(event_read(&vm.native.events), 0, "and clears it");
}

Test(poll_wait, looks_although_its_event_was_raised_before,
     .init = set_up_sleep)
{
    event_raise(&vm.native.events, EVENT);
    cr_assert(wait_until(MF_WAIT_FOREVER));
    cr_assert_eq(vm.waits, 0);
}

Test(poll_wait, leaves_other_events_alone, .init = set_up_sleep)
{
    armed_enough = 3;
    event_raise(&vm.native.events, OTHER);
    raise_in_arm = EVENT;
    cr_assert(wait_until(MF_WAIT_FOREVER));
    cr_assert_eq(event_read(&vm.native.events), UINT64_C(1) << OTHER);
    cr_assert_eq(vm.waits, 3);
}

Test(poll_wait, ends_at_its_deadline, .init = set_up_sleep)
{
    armed_enough = UINT32_MAX;
    cr_assert_not(wait_until(1000));
    cr_assert_eq(vm.now_ns, 1000);
    cr_assert_eq(vm.waits, 1);
    cr_assert_eq(armed, 2, "with a last look");
}

Test(poll_wait, goes_on_after_an_event_of_others, .init = set_up_sleep)
{
    armed_enough = UINT32_MAX;
    raise_in_arm = OTHER;
    cr_assert_not(wait_until(1000));
    cr_assert_eq(vm.waits, 2);
}

Test(poll_wait, learns_from_its_sleeps, .init = set_up)
{
    armed_enough = UINT32_MAX;
    raise_in_arm = 64;
    vm.tsc_step = 2 * MOST_NS;
    cr_assert_not(wait_until(1000));
    vm.tsc_step = STEP;
    cr_assert_eq(count_looks(), MOST / 2);
}
