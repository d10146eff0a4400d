/* SPDX-License-Identifier: MIT */
/* Upcalls: a computing guest is interrupted, and does not notice. */
#include "tests/kvm/kvm_test.h"

TestSuite(upcall, .timeout = 240);

/* The image checks registers, vector registers and the red zone itself. */
Test(upcall, interrupts_a_computing_guest_which_goes_on_as_it_was)
{
    struct guest guest = {.image = "upcall", .args = {"timer", "20"}};

    run_guest(&guest);
    assert_exited(&guest, 0, "20 upcalls\n");
    /* A deadline that passes inside the handler is found there: no upcall. */
    cr_assert_gt(guest.stats.injections, 0);
    cr_assert_leq(guest.stats.injections, 20);
    cr_assert_leq(guest.stats.injections, guest.stats.exits_interrupt);
}

Test(upcall, is_held_back_while_masked_and_found_on_unmasking)
{
    struct guest guest = {.image = "upcall", .args = {"masked"}};

    run_guest(&guest);
    assert_exited(&guest, 0, "held back and found\n");
    cr_assert_eq(guest.stats.injections, 0);
    /* One kick for the timer and the exit: unmasking took none. */
    cr_assert_eq(guest.stats.exits_hypercall, 2);
}

Test(upcall, ends_a_wait_instead_of_interrupting_it)
{
    struct guest guest = {.image = "upcall", .args = {"waiting"}};

    run_guest(&guest);
    assert_exited(&guest, 0, "found after the wait\n");
    cr_assert_leq(guest.stats.injections, 1);
}

/* A handler that unmasks and never returns gets one upcall a stop at most. */
Test(upcall, cannot_be_made_a_storm)
{
    struct guest guest = {.image = "upcall", .args = {"storm"}};

    run_guest(&guest);
    assert_exited(&guest, 0, "");
    cr_assert_geq(guest.stats.injections, 19);
    cr_assert_leq(guest.stats.injections, guest.stats.exits_interrupt);
}

Test(upcall, never_comes_to_a_guest_that_did_not_ask)
{
    struct guest guest = {.image = "upcall", .args = {"unasked"}};

    run_guest(&guest);
    assert_exited(&guest, 0, "the timer has passed\n");
    cr_assert_geq(guest.stats.exits_interrupt, 1);
    cr_assert_eq(guest.stats.injections, 0);
}
