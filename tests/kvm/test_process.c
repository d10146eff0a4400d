/* SPDX-License-Identifier: MIT */
/* What programs ask about their process: images/process from within. */
#include <string.h>

#include "tests/kvm/kvm_test.h"

TestSuite(process, .timeout = 240);

Test(process, is_the_only_one_and_says_so_once)
{
    struct guest guest = {.image = "process"};

    run_guest(&guest);
    cr_assert_not(strstr(guest.output, "BAD"), "%s", guest.output);
    cr_assert_str_eq(guest.errors, "mayfly: fork() is not available: a VM has "
                                   "one process (ENOSYS)\n");
    assert_exited(&guest, 0, NULL);
}
