/* SPDX-License-Identifier: MIT */
/* The I/O thread under a real guest: no exits when busy, the same results. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

TestSuite(io, .timeout = 120);

#define SECTORS  8192
#define REQUESTS 2000u
#define ASKED    (REQUESTS + 1) /* one more asks for the disk's name */

static struct mayfly_disk disk;

/* Guest and thread need a processor each to do without exits. */
static bool has_two_processors(void)
{
    cpu_set_t set;

    cr_assert_eq(sched_getaffinity(0, sizeof(set), &set), 0);
    return CPU_COUNT(&set) > 1;
}

/* A guest that reads 4 KiB REQUESTS times from a disk of zeroes. */
static struct guest reading_guest(enum mayfly_io io)
{
    struct guest guest = {.image = "disk"};
    FILE *file = tmpfile();

    cr_assert_not_null(file);
    cr_assert_eq(ftruncate(fileno(file), SECTORS * 512), 0);
    disk = (struct mayfly_disk){.fd = fileno(file)};
    guest.options = (struct mayfly_options)MAYFLY_OPTIONS;
    guest.options.out = guest.options.err = 0;
    guest.options.disks = &disk;
    guest.options.disk_count = 1;
    guest.options.io = io;
    guest.args[0] = "bench";
    guest.args[1] = "2000";
    return guest;
}

Test(io, serves_inline_with_an_exit_a_request)
{
    struct guest guest = reading_guest(MAYFLY_IO_INLINE);

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_eq(guest.stats.hypercall_kick, ASKED);
    cr_assert_eq(guest.stats.devices[2].kicks, ASKED);
    cr_assert_not(guest.stats.io_thread);
}

/* On a busy host the two may have to wait for each other: one good run of so
 * many shows what they can do. */
#define TRIES 10

Test(io, serves_by_a_thread_with_hardly_any_exit)
{
    struct guest guest;

    for (unsigned i = 0; i < TRIES; i++) {
        guest = reading_guest(MAYFLY_IO_THREAD);
        run_guest(&guest);
        assert_exited(&guest, 0, NULL);
        cr_assert(guest.stats.io_thread);
        if (guest.stats.exits_hypercall < REQUESTS / 2)
            break;
    }
    cr_assert_eq(guest.stats.disks[0].requests, ASKED);
    cr_assert_eq(guest.stats.disks[0].read_bytes, REQUESTS * 4096);
    cr_assert_str_eq(guest.stats.devices[2].name, "disk");
    cr_assert_eq(guest.stats.devices[2].requests, ASKED);
    if (has_two_processors())
        cr_assert_lt(guest.stats.exits_hypercall, REQUESTS / 2);
}

Test(io, works_without_polling)
{
    struct guest guest = reading_guest(MAYFLY_IO_THREAD);

    guest.options.poll_ns = 0;
    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_eq(guest.stats.disks[0].requests, ASKED);
    cr_assert_eq(guest.stats.io_poll_ns, 0);
}

Test(io, has_no_thread_for_a_vm_that_asks_little)
{
    struct guest guest = reading_guest(MAYFLY_IO_AUTO);

    guest.args[1] = "10";
    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_not(guest.stats.io_thread);
    cr_assert_eq(guest.stats.hypercall_kick, 11);
}

Test(io, has_one_for_a_vm_that_asks_much)
{
    struct guest guest = reading_guest(MAYFLY_IO_AUTO);

    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_eq(guest.stats.io_thread, has_two_processors());
}

Test(io, has_no_thread_for_consoles)
{
    struct guest guest = {.image = "hello"};

    guest.options.io = MAYFLY_IO_THREAD;
    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_not(guest.stats.io_thread);
}
