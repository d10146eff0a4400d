/* SPDX-License-Identifier: MIT */
/* The same images behind both transports: the same results. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

TestSuite(transports, .timeout = 240);

#define MIB (1 << 20)

static struct mayfly_disk disk;

static struct guest guest_with(const char *image,
                               enum mayfly_transport transport)
{
    struct guest guest = {.image = image};
    int fd = memfd_create("disk", MFD_CLOEXEC);

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, MIB), 0);
    disk = (struct mayfly_disk){.fd = fd, .id = "data"};
    guest.options = (struct mayfly_options){
        .disks = &disk,
        .disk_count = 1,
        .entropy = true,
        .balloon = true,
        .transport = transport,
        .poll_ns = MAYFLY_POLL_NS,
    };
    return guest;
}

/* Runs it behind both; what it printed has to be this, and the same. */
static void run_both(const char *image, const char *input,
                     const char *const *args, const char *output)
{
    for (int transport = 0; transport < 2; transport++) {
        struct guest guest = guest_with(image, transport);

        guest.input = input;
        for (unsigned i = 0; args && args[i]; i++)
            guest.args[i] = args[i];
        run_guest(&guest);
        assert_exited(&guest, 0, output);
        cr_assert_eq(guest.stats.exits_registers > 0,
                     transport == MAYFLY_TRANSPORT_MMIO);
    }
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

Test(transports, print_the_same)
{
    run_both("hello", NULL, NULL, "Hello from a Mayfly VM.\n");
}

Test(transports, read_the_same)
{
    run_both("cat", "one\ntwo\n", NULL, "one\ntwo\n");
}

Test(transports, find_the_same_disk)
{
    run_both("disk", NULL, ARGS("info"),
             "disk 0: 2048 sectors discard id 'data'\n");
}

Test(transports, keep_the_same_on_it)
{
    static const char *const fill[] = {"fill", "0", "2048", "flush", NULL};
    struct guest first = guest_with("disk", MAYFLY_TRANSPORT_MMIO);
    struct guest second = first;

    second.options.transport = MAYFLY_TRANSPORT_NATIVE;
    for (unsigned i = 0; fill[i]; i++)
        first.args[i] = fill[i];
    run_guest(&first);
    assert_exited(&first, 0, "");
    second.args[0] = "verify";
    second.args[1] = "0";
    second.args[2] = "2048";
    run_guest(&second);
    assert_exited(&second, 0, "as written\n");
}

Test(transports, give_random_bytes)
{
    run_both("entropy", NULL, NULL, "entropy: 64 bytes, not all equal\n");
}

Test(transports, serve_registers_while_a_thread_serves_rings)
{
    struct guest guest = guest_with("disk", MAYFLY_TRANSPORT_MMIO);

    guest.options.io = MAYFLY_IO_THREAD;
    guest.args[0] = "bench";
    guest.args[1] = "500";
    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert(guest.stats.io_thread);
    cr_assert_eq(guest.stats.disks[0].read_bytes, 500 * 4096);
}

Test(transports, native_brings_all_devices_up_without_an_exit)
{
    struct guest guest = guest_with("boot", MAYFLY_TRANSPORT_NATIVE);

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_eq(guest.stats.device_count, 5);
    cr_assert_eq(guest.stats.exits_hypercall, 1, "the end");
    cr_assert_eq(guest.stats.exits_registers, 0);
}
