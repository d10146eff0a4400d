/* SPDX-License-Identifier: MIT */
/* The guest's files in little memory, and what they cost others. */
#include <stdlib.h>
#include <string.h>

#include "tests/kvm/kvm_test.h"

#define MIB 1048576u

TestSuite(guest_files, .timeout = 240);

/* The whole run, and the end of it: what tests/cli compares with Linux. */
Test(guest_files, work_in_4_mib)
{
    struct guest guest = {.image = "files", .options = {.mem_bytes = 4 * MIB}};

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert(strstr(guest.output, "filled with 65536"), "%s", guest.output);
    cr_assert(strstr(guest.output, "seen 3000, left 0"), "%s", guest.output);
    cr_assert(strstr(guest.output, "rmdir(directory): 0\n"), "%s",
              guest.output);
}

/* No file system, no pipe and no poll in a program that only prints. */
Test(guest_files, cost_nothing_where_there_are_none)
{
    struct guest without = {.image = "hello"}, with = {.image = "archive"};

    run_guest(&without);
    cr_assert_leq(without.stats.mem_touched_bytes, 14 * 4096);
    with.args[0] = "/data/numbers";
    run_guest(&with);
    assert_exited(&with, 0, NULL);
    cr_assert(strstr(with.output, "f 0644 /data/numbers 13893 4192023226"),
              "%s", with.output);
    /* What the archive has is read in the image: no device is asked. */
    cr_assert_eq(with.stats.exits_hypercall, 1);
}
