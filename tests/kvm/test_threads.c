/* SPDX-License-Identifier: MIT */
/* Threads in a guest: images/threads checks, this asks for each. */
#include <stdio.h>

#include "tests/kvm/kvm_test.h"

TestSuite(threads, .timeout = 240);

/* Runs one of the image's tests, which says that it went well. */
static void run_thread_test(struct guest *guest, const char *name)
{
    char expected[64];

    guest->image = "threads";
    guest->args[0] = name;
    run_guest(guest);
    snprintf(expected, sizeof(expected), "%s ok\n", name);
    assert_exited(guest, 0, expected);
}

#define THREAD_TEST(name, sentence)    \
    Test(threads, sentence)            \
    {                                  \
        struct guest guest = {0};      \
                                       \
        run_thread_test(&guest, name); \
    }

THREAD_TEST("mutex", exclude_each_other_by_mutexes)
THREAD_TEST("robust", leave_robust_mutexes_to_others_when_they_end)
THREAD_TEST("inherit", exclude_each_other_by_inheriting_mutexes)
THREAD_TEST("condition", wait_for_conditions)
THREAD_TEST("barrier", meet_at_barriers)
THREAD_TEST("semaphore", answer_each_other_by_semaphores)
THREAD_TEST("rwlock", share_reading_and_exclude_writing)
THREAD_TEST("once", do_things_once)
THREAD_TEST("tls", have_variables_of_their_own)
THREAD_TEST("timeouts", stop_waiting_when_told_so)
THREAD_TEST("join", are_joined_and_their_stacks_used_again)
THREAD_TEST("detach", give_their_stacks_back_when_detached)
THREAD_TEST("attributes", have_names_numbers_and_stacks_as_wanted)
THREAD_TEST("clocks", have_clocks_that_count_what_they_run)
THREAD_TEST("calls", are_told_that_there_is_one_processor)
THREAD_TEST("cancel", are_cancelled_where_they_wait_or_compute)
THREAD_TEST("yield", give_way)
THREAD_TEST("fair", share_the_processor_fairly)
THREAD_TEST("naps", leave_time_to_others_between_short_sleeps)
THREAD_TEST("wake", give_way_to_whom_they_wake)
THREAD_TEST("state", keep_their_registers_when_they_are_preempted)
THREAD_TEST("futex", wait_on_words_as_on_linux)

/* More than two thousand, whose stacks take half of memory. */
Test(threads, may_be_thousands)
{
    struct guest guest = {
        .image = "threads", .args = {"many"}, .options.mem_bytes = 256u << 20};

    run_guest(&guest);
    assert_exited(&guest, 0, "2500 threads at once\nmany ok\n");
}

/* What computes is interrupted for others' timers, not asked for its turn. */
Test(threads, are_preempted_for_a_timer)
{
    struct guest guest = {0};

    run_thread_test(&guest, "preempt");
    cr_assert_geq(guest.stats.injections, 10);
    cr_assert_leq(guest.stats.injections, guest.stats.exits_interrupt);
}

Test(threads, are_preempted_for_input)
{
    struct guest guest = {
        .image = "threads", .args = {"input"}, .input = "some words\n"};

    run_guest(&guest);
    assert_exited(&guest, 0, "computing\nread some words\ninput ok\n");
}

Test(threads, end_the_program_with_the_last_of_them)
{
    struct guest guest = {.image = "threads", .args = {"exit"}};

    run_guest(&guest);
    assert_exited(&guest, 0, "the last thread ends\n");
}

#define SWITCHES 4000u /* see test_semaphore() */

/* Blocked threads cost nothing: one exit for the sleep, one for the end. */
Test(threads, take_no_exit_to_switch)
{
    struct guest guest = {0};

    run_thread_test(&guest, "semaphore");
    /* On a slow host a run may count as a computation: a kick then. */
    cr_assert_eq(guest.stats.exits_hypercall - guest.stats.hypercall_kick, 1);
    cr_assert_lt(guest.stats.hypercall_kick, SWITCHES / 10, "%llu",
                 (unsigned long long)guest.stats.hypercall_kick);
}
