/* SPDX-License-Identifier: MIT */
/* Memory that a guest frees goes back to the host. */
#include <stdio.h>

#include "tests/kvm/kvm_test.h"

TestSuite(balloon, .timeout = 120);

#define MIB (UINT64_C(1) << 20)

static void release(bool balloon, struct guest *guest)
{
    *guest = (struct guest){
        .image = "release",
        .args = {"8", "1", "leave"},
    };
    guest->options.balloon = balloon;
    run_guest(guest);
    assert_exited(guest, 0, NULL);
}

Test(balloon, gives_freed_memory_back)
{
    struct guest with, without;

    release(true, &with);
    release(false, &without);
    cr_assert_geq(with.stats.returned_bytes, 8 * MIB);
    cr_assert_eq(without.stats.returned_bytes, 0);
    cr_assert_lt(with.stats.mem_touched_bytes + 7 * MIB,
                 without.stats.mem_touched_bytes);
}
