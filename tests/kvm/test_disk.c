/* SPDX-License-Identifier: MIT */
/* Disks, from a guest's program to the host's file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

TestSuite(disk, .timeout = 240);

#define SECTORS 4096

static struct mayfly_disk disks[MAYFLY_DISKS_MAX];

static int make_file(void)
{
    int fd = memfd_create("disk", MFD_CLOEXEC);

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, SECTORS * 512), 0);
    return fd;
}

/* A guest that does this with one disk. */
static struct guest disk_guest(void)
{
    disks[0] = (struct mayfly_disk){.fd = make_file(), .id = "root"};
    return (struct guest){
        .image = "disk",
        .options = {.disks = disks, .disk_count = 1},
    };
}

static void set_args(struct guest *guest, const char *const *args)
{
    for (unsigned i = 0; args[i]; i++)
        guest->args[i] = args[i];
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

Test(disk, is_there_with_its_size_and_name)
{
    struct guest guest = disk_guest();

    set_args(&guest, ARGS("info"));
    run_guest(&guest);
    assert_exited(&guest, 0, "disk 0: 4096 sectors discard id 'root'\n");
}

Test(disk, costs_one_exit_a_request)
{
    struct guest guest = disk_guest();

    set_args(&guest, ARGS("read", "7", "1"));
    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_eq(guest.stats.hypercall_kick, 1);
    cr_assert_eq(guest.stats.hypercall_wait, 0);
    cr_assert_eq(guest.stats.exits_hypercall, 2, "the request, and the end");
    cr_assert_eq(guest.stats.disk_count, 1);
    cr_assert_eq(guest.stats.disks[0].requests, 1);
    cr_assert_eq(guest.stats.disks[0].read_bytes, 512);
}

Test(disk, costs_one_exit_each_of_many_requests)
{
    struct guest guest = disk_guest();

    guest.options.io = MAYFLY_IO_INLINE;
    set_args(&guest, ARGS("bench", "1000"));
    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    /* One asks for the disk's name. */
    cr_assert_eq(guest.stats.hypercall_kick, 1001);
    cr_assert_eq(guest.stats.hypercall_wait, 0);
    cr_assert_eq(guest.stats.disks[0].requests, 1001);
    cr_assert_eq(guest.stats.disks[0].read_bytes, 1000 * 4096);
}

Test(disk, keeps_what_was_written_for_the_next_vm)
{
    struct guest guest = disk_guest(), next = guest;

    set_args(&guest, ARGS("fill", "0", "4096", "flush"));
    run_guest(&guest);
    assert_exited(&guest, 0, "");
    cr_assert_eq(guest.stats.disks[0].written_bytes, SECTORS * 512);
    cr_assert_eq(guest.stats.disks[0].flushes, 1);
    set_args(&next, ARGS("verify", "0", "4096"));
    run_guest(&next);
    assert_exited(&next, 0, "as written\n");
}

Test(disk, discards_what_then_reads_as_zero)
{
    static unsigned char there[512], zeroes[512];
    struct guest guest = disk_guest();

    set_args(&guest, ARGS("fill", "0", "64", "discard", "8", "8"));
    run_guest(&guest);
    assert_exited(&guest, 0, "");
    cr_assert_eq(pread(disks[0].fd, there, 512, 8 * 512), 512);
    cr_assert_eq(memcmp(there, zeroes, 512), 0);
    cr_assert_eq(pread(disks[0].fd, there, 512, 16 * 512), 512);
    cr_assert_neq(memcmp(there, zeroes, 512), 0);
}

Test(disk, that_is_not_used_costs_at_most_a_page_and_no_exit)
{
    struct guest none = {.image = "hello"}, guest = disk_guest();

    guest.image = "hello";
    run_guest(&none);
    run_guest(&guest);
    cr_assert_leq(guest.stats.mem_touched_bytes,
                  none.stats.mem_touched_bytes + 4096);
    cr_assert_eq(guest.stats.exits_hypercall, 1);
}

/* ---- Errors ---------------------------------------------------------- */

Test(disk, refuses_what_lies_past_its_end)
{
    struct guest guest = disk_guest();

    set_args(&guest, ARGS("read", "4095", "2"));
    run_guest(&guest);
    assert_exited(&guest, 1, "");
    cr_assert_str_eq(guest.errors, "read: Invalid argument\n");
    cr_assert_eq(guest.stats.disks[0].requests, 0);
}

Test(disk, refuses_to_be_written_when_read_only)
{
    struct guest guest = disk_guest();

    disks[0].read_only = true;
    set_args(&guest, ARGS("fill", "0", "1"));
    run_guest(&guest);
    assert_exited(&guest, 1, "");
    cr_assert_str_eq(guest.errors, "fill: Read-only file system\n");
}

Test(disk, tells_the_guest_that_the_host_could_not_read)
{
    struct guest guest = disk_guest();
    char error[MAYFLY_ERROR_BYTES] = "";

    set_args(&guest, ARGS("read", "0", "1", "read", "4095", "1"));
    load_guest(&guest);
    cr_assert_eq(ftruncate(disks[0].fd, 512), 0);
    cr_assert_eq(mayfly_run(guest.vm, &guest.result, error), 0, "%s", error);
    collect_guest(&guest);
    cr_assert_eq(guest.result.end, MAYFLY_EXITED);
    cr_assert_eq(guest.result.status, 1);
    cr_assert_str_eq(guest.errors, "read: I/O error\n");
    cr_assert_eq(guest.stats.disks[0].requests, 2);
    cr_assert_eq(guest.stats.disks[0].errors, 1);
}

Test(disk, tells_the_guest_that_the_host_could_not_write)
{
    struct guest guest = disk_guest();
    char path[64];

    /* The caller's mistake: the descriptor cannot be written to. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d", disks[0].fd);
    disks[0].fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(disks[0].fd, 0);
    set_args(&guest, ARGS("fill", "0", "1"));
    run_guest(&guest);
    assert_exited(&guest, 1, "");
    cr_assert_str_eq(guest.errors, "fill: I/O error\n");
    cr_assert_eq(guest.stats.disks[0].errors, 1);
    cr_assert_eq(guest.stats.disks[0].written_bytes, 0);
}

/* ---- How many, and which --------------------------------------------- */

Test(disk, comes_up_to_eight_times)
{
    struct guest guest = disk_guest();

    for (unsigned i = 1; i < MAYFLY_DISKS_MAX; i++)
        disks[i] = (struct mayfly_disk){.fd = make_file()};
    guest.options.disk_count = MAYFLY_DISKS_MAX;
    set_args(&guest, ARGS("info"));
    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert(strstr(guest.output, "disk 7: 4096 sectors discard id ''\n"));
    cr_assert_eq(guest.stats.disk_count, MAYFLY_DISKS_MAX);
    for (unsigned i = 0; i < MAYFLY_DISKS_MAX; i++)
        cr_assert_eq(guest.stats.disks[i].requests, 1);
}

Test(disk, is_refused_the_ninth_time)
{
    struct guest guest = disk_guest();
    char error[MAYFLY_ERROR_BYTES];
    struct mayfly *vm;

    need_kvm();
    guest.options.disk_count = MAYFLY_DISKS_MAX + 1;
    cr_assert_eq(mayfly_create(&guest.options, &vm, error), -EINVAL);
    cr_assert(strstr(error, "9 disks"), "%s", error);
}

static void assert_no_disk(int fd, const char *id, int result)
{
    struct guest guest = disk_guest();
    char error[MAYFLY_ERROR_BYTES];

    need_kvm();
    disks[0] = (struct mayfly_disk){.fd = fd, .id = id};
    cr_assert_eq(mayfly_create(&guest.options, &guest.vm, error), 0);
    cr_assert_eq(mayfly_load(guest.vm, open_image("disk"), error), result);
    cr_assert(strstr(error, "cannot add disk 0: "), "%s", error);
    mayfly_destroy(guest.vm);
}

Test(disk, is_a_file_or_a_block_device_with_a_short_name)
{
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    assert_no_disk(ends[0], NULL, -EINVAL);
    assert_no_disk(-1, NULL, -EBADF);
    assert_no_disk(make_file(), "123456789012345678901", -ENAMETOOLONG);
}
