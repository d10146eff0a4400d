/* SPDX-License-Identifier: MIT */
/* What system calls do with memory that is not there. */
#include <string.h>

#include "tests/kvm/kvm_test.h"

TestSuite(pointers, .timeout = 120);

static void assert_all_ok(const char *part)
{
    struct guest guest = {
        .image = "pointers",
        .args = {part},
    };

    run_guest(&guest);
    cr_assert_null(strstr(guest.output, "FAIL"), "%s", guest.output);
    assert_exited(&guest, 0, NULL);
}

Test(pointers, bad_ones_are_errors_of_the_call)
{
    assert_all_ok(NULL);
}

Test(pointers, memory_that_is_taken_from_a_blocked_call_is_an_error)
{
    assert_all_ok("taken");
}
