/* SPDX-License-Identifier: MIT */
/* The guest's entropy driver against the monitor's entropy device. */
#include <criterion/criterion.h>
#include <errno.h>
#include <mayfly/entropy.h>
#include <string.h>

#include "tests/ring/vm.h"
#include "virtio/rng.h"

TestSuite(entropy, .timeout = 60);

static struct rng rng;

static void set_up(void)
{
    vm_start(-1, -1, -1);
    rng_init(&rng);
    cr_assert_eq(native_add(&vm.native, &rng.dev, 0), 0);
}

static unsigned count_zeroes(const unsigned char *bytes, size_t count)
{
    unsigned zeroes = 0;

    for (size_t i = 0; i < count; i++)
        zeroes += bytes[i] == 0;
    return zeroes;
}

Test(entropy, needs_a_device)
{
    vm_start(-1, -1, -1);
    cr_assert_eq(mf_entropy_read(VM_BUFFER, 64), -ENODEV);
    cr_assert_eq(mf_entropy_read(VM_BUFFER, 0), -ENODEV);
}

Test(entropy, fills_a_buffer_by_one_kick, .init = set_up)
{
    cr_assert_eq(mf_entropy_read(VM_BUFFER, 64), 64);
    cr_assert_eq(vm.kicks, 1);
    cr_assert_eq(rng.bytes, 64);
    cr_assert_lt(count_zeroes(VM_BUFFER, 64), 20);
    cr_assert_eq(count_zeroes(VM_BUFFER + 64, 64), 64, "and not more");
    cr_assert_eq(mf_entropy_read(VM_BUFFER + 64, 64), 64);
    cr_assert_neq(memcmp(VM_BUFFER, VM_BUFFER + 64, 64), 0);
}

Test(entropy, asks_until_the_buffer_is_full, .init = set_up)
{
    const size_t bytes = 2 * RNG_CHAIN_BYTES_MAX + 1;

    cr_assert_eq(mf_entropy_read(VM_BUFFER, bytes), bytes);
    cr_assert_eq(rng.requests, 3);
    cr_assert_eq(rng.bytes, bytes);
    cr_assert_eq(vm.kicks, 3);
}

Test(entropy, goes_round_its_ring, .init = set_up)
{
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(mf_entropy_read(VM_BUFFER, 1), 1);
    cr_assert_eq(mf_entropy_read(VM_BUFFER, 0), 0);
    cr_assert_eq(rng.requests, 100);
}

Test(entropy, refuses_buffers_outside_memory, .init = set_up)
{
    cr_assert_eq(mf_entropy_read((void *)(VM_MEM_BYTES - 8), 9), -EFAULT);
    cr_assert_eq(mf_entropy_read((void *)(VM_MEM_BYTES - 8), 8), 8);
    cr_assert_eq(mf_entropy_read(NULL, 8), -EFAULT);
}

Test(entropy, waits_for_bytes_that_come_later, .init = set_up)
{
    vm.lazy = true;
    cr_assert_eq(mf_entropy_read(VM_BUFFER, 16), 16);
    cr_assert_eq(vm.waits, 1);
}

Test(entropy, says_EIO_when_the_device_gives_up, .init = set_up)
{
    vdev_mark_needs_reset(&rng.dev);
    cr_assert_eq(mf_entropy_read(VM_BUFFER, 16), -EIO);
    cr_assert_eq(mf_entropy_read(VM_BUFFER, 16), -EIO);
    cr_assert_eq(vm.waits, 0);
}
