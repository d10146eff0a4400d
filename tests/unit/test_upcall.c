/* SPDX-License-Identifier: MIT */
/* The upcall line: when an upcall is due, and what a timer raises. */
#include <criterion/criterion.h>
#include <errno.h>

#include <mayfly/abi.h>

#include "vmm/upcall.h"

#define ENTRY 0x41000u
#define TIMER (UINT64_C(1) << MF_EVENT_TIMER)

static _Alignas(4096) uint8_t ram[MF_BOOT_PAGE + MF_PAGE_BYTES];
static const struct gmem mem = {
    .regions = {{0, sizeof(ram), ram}},
    .count = 1,
};
static struct event_word events;
static struct upcall_line line;

static struct mf_boot *boot(void)
{
    return (struct mf_boot *)(ram + MF_BOOT_PAGE);
}

static void set_up(void)
{
    gpa_t word = gpa(MF_BOOT_PAGE + offsetof(struct mf_boot, events));

    cr_assert_eq(event_init(&events, &mem, word), 0);
    cr_assert_eq(upcall_init(&line, &mem, &events, ENTRY), 0);
}

TestSuite(upcall, .init = set_up);

Test(upcall, is_due_when_an_armed_event_is_raised)
{
    boot()->upcall_events = 1u << 3;
    cr_assert_not(upcall_due(&line));
    event_raise(&events, 2);
    cr_assert_not(upcall_due(&line));
    event_raise(&events, 3);
    cr_assert(upcall_due(&line));
}

Test(upcall, is_held_back_while_masked)
{
    boot()->upcall_events = 1;
    event_raise(&events, 0);
    boot()->upcall_masked = 1;
    cr_assert_not(upcall_due(&line));
    boot()->upcall_masked = 0;
    cr_assert(upcall_due(&line));
}

Test(upcall, masks_itself_when_it_begins)
{
    boot()->upcall_events = 1;
    event_raise(&events, 0);
    upcall_begin(&line);
    cr_assert_neq(boot()->upcall_masked, 0);
    cr_assert_not(upcall_due(&line));
    cr_assert_eq(boot()->events, 1, "the event is the guest's to clear");
}

Test(upcall, is_never_due_without_a_handler)
{
    cr_assert_eq(upcall_init(&line, &mem, &events, 0), 0);
    boot()->upcall_events = UINT64_MAX;
    event_raise(&events, 0);
    cr_assert_not(upcall_due(&line));
}

Test(upcall, raises_the_timer_event_at_its_deadline_and_not_before)
{
    boot()->upcall_deadline_ns = 1000;
    upcall_check_timer(&line, 999);
    cr_assert_eq(boot()->events, 0);
    cr_assert_eq(upcall_deadline(&line), 1000);
    upcall_check_timer(&line, 1000);
    cr_assert_eq(boot()->events, TIMER);
}

Test(upcall, raises_the_timer_event_once)
{
    boot()->upcall_deadline_ns = 1000;
    upcall_check_timer(&line, 5000);
    cr_assert_eq(upcall_deadline(&line), 0);
    boot()->events = 0;
    upcall_check_timer(&line, 6000);
    cr_assert_eq(boot()->events, 0);
}

Test(upcall, raises_nothing_without_a_deadline)
{
    upcall_check_timer(&line, UINT64_MAX);
    cr_assert_eq(boot()->events, 0);
}

Test(upcall, wants_a_boot_page)
{
    const struct gmem none = {.count = 0};

    cr_assert_eq(upcall_init(&line, &none, &events, ENTRY), -EFAULT);
}
