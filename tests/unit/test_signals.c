/* SPDX-License-Identifier: MIT */
/* The host's signals: which ones the guest gets, and when. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>

#include <mayfly/abi.h>

#include "vmm/signals.h"

#define BIT(number) (UINT64_C(1) << ((number)-1))
#define EVENT       (UINT64_C(1) << MF_EVENT_SIGNAL)

static _Alignas(4096) uint8_t ram[MF_BOOT_PAGE + MF_PAGE_BYTES];
static const struct gmem mem = {
    .regions = {{0, sizeof(ram), ram}},
    .count = 1,
};
static struct event_word events;
static struct signal_line line;

static struct mf_boot *boot(void)
{
    return (struct mf_boot *)(ram + MF_BOOT_PAGE);
}

static void set_up(void)
{
    gpa_t word = gpa(MF_BOOT_PAGE + offsetof(struct mf_boot, events));

    cr_assert_eq(event_init(&events, &mem, word), 0);
    cr_assert_eq(signals_init(&line, &mem, &events), 0);
    boot()->signals_wanted = BIT(SIGTERM) | BIT(SIGUSR1);
}

TestSuite(signals, .init = set_up);

Test(signals, reach_a_guest_that_wants_them)
{
    cr_assert(signals_send(&line, SIGTERM));
    cr_assert(signals_are_waiting(&line));
    cr_assert_eq(boot()->signals_came, 0);
    cr_assert_eq(event_read(&events), 0);
    signals_serve(&line);
    cr_assert_not(signals_are_waiting(&line));
    cr_assert_eq(boot()->signals_came, BIT(SIGTERM));
    cr_assert_eq(event_read(&events), EVENT);
}

Test(signals, that_the_guest_does_not_want_are_the_callers)
{
    cr_assert_not(signals_send(&line, SIGINT));
    cr_assert_not(signals_send(&line, 0));
    cr_assert_not(signals_send(&line, 65));
    cr_assert_not(signals_send(&line, -1));
    signals_serve(&line);
    cr_assert_eq(boot()->signals_came, 0);
    cr_assert_eq(event_read(&events), 0);
}

Test(signals, that_end_programs_come_again_only_once_they_are_taken)
{
    cr_assert(signals_send(&line, SIGTERM));
    cr_assert_not(signals_send(&line, SIGTERM));
    signals_serve(&line);
    cr_assert_not(signals_send(&line, SIGTERM));
    signals_serve(&line);
    boot()->signals_came = 0;
    cr_assert(signals_send(&line, SIGTERM));
}

Test(signals, of_other_kinds_are_one_until_they_are_taken)
{
    cr_assert(signals_send(&line, SIGUSR1));
    cr_assert(signals_send(&line, SIGUSR1));
    signals_serve(&line);
    cr_assert(signals_send(&line, SIGUSR1));
    cr_assert(signals_send(&line, SIGTERM));
    signals_serve(&line);
    cr_assert_eq(boot()->signals_came, BIT(SIGUSR1) | BIT(SIGTERM));
}

Test(signals, are_refused_by_a_line_without_a_guest)
{
    struct signal_line none = {0};
    struct gmem empty = {.count = 0};

    cr_assert_not(signals_send(&none, SIGTERM));
    signals_serve(&none);
    cr_assert_eq(signals_init(&none, &empty, &events), -EFAULT);
}

/* As when the VM is reset. */
Test(signals, that_are_forgotten_never_come)
{
    cr_assert(signals_send(&line, SIGTERM));
    cr_assert(signals_send(&line, SIGUSR1));
    signals_forget(&line);
    cr_assert_not(signals_are_waiting(&line));
    signals_serve(&line);
    cr_assert_eq(boot()->signals_came, 0);
    cr_assert_eq(event_read(&events), 0);
}

Test(signals, come_again_after_others_were_forgotten)
{
    cr_assert(signals_send(&line, SIGTERM));
    signals_forget(&line);
    cr_assert(signals_send(&line, SIGTERM));
    signals_serve(&line);
    cr_assert_eq(boot()->signals_came, BIT(SIGTERM));
}

/* They are the memory's: it is what a reset brings back. */
Test(signals, that_the_guest_was_shown_are_not_forgotten)
{
    cr_assert(signals_send(&line, SIGTERM));
    signals_serve(&line);
    signals_forget(&line);
    cr_assert_eq(boot()->signals_came, BIT(SIGTERM));
    cr_assert_not(signals_send(&line, SIGTERM));
}

Test(signals, are_nothing_to_forget_for_a_guest_that_wants_none)
{
    struct signal_line none = {0};

    signals_forget(&none);
    cr_assert_not(signals_are_waiting(&none));
}
