/* SPDX-License-Identifier: MIT */
/* Signals in guests: what images/signals checks from within. */
#include <string.h>

#include "tests/kvm/kvm_test.h"

TestSuite(signals, .timeout = 240);

Test(signals, of_one_thread_are_as_on_linux)
{
    struct guest guest = {.image = "signals"};

    run_guest(&guest);
    cr_assert_not(strstr(guest.output, "BAD"), "%s", guest.output);
    assert_exited(&guest, 0, NULL);
}

Test(signals, of_timers_come_when_they_are_due)
{
    struct guest guest = {.image = "timers"};

    run_guest(&guest);
    cr_assert_not(strstr(guest.output, "BAD"), "%s", guest.output);
    assert_exited(&guest, 0, NULL);
}

Test(signals, between_threads_reach_the_right_one)
{
    struct guest guest = {.image = "signalthreads"};

    run_guest(&guest);
    cr_assert_not(strstr(guest.output, "BAD"), "%s", guest.output);
    assert_exited(&guest, 0, NULL);
}
