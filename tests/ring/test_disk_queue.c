/* SPDX-License-Identifier: MIT */
/* Several disk requests at a time, by the guest's driver. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <mayfly/disk.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/ring/vm.h"

TestSuite(disk_queue, .timeout = 60);

#define SECTORS 8192
#define DEPTH   42 /* 128 entries, three for each request */
#define MIB     (1 << 20)

static struct disk_request requests[DEPTH + 1];
static int file;

static void start_with(struct blk_options options)
{
    unsigned char sector[512];

    file = memfd_create("disk", 0);
    cr_assert_geq(file, 0);
    for (unsigned i = 0; i < SECTORS; i++) {
        memset(sector, (int)(i % 251), sizeof(sector));
        cr_assert_eq(write(file, sector, sizeof(sector)), sizeof(sector));
    }
    options.fd = file;
    vm_start(-1, -1, -1);
    vm_add_disk(&options);
}

static void set_up(void)
{
    start_with((struct blk_options){.id = "main"});
}

static unsigned char *buffer_of(unsigned i)
{
    return VM_BUFFER + (size_t)i * 4096;
}

/* A request for a sector of its own, with old values in the private part. */
static struct disk_request *make(unsigned i, enum disk_op op)
{
    memset(&requests[i], 0xa5, sizeof(requests[i]));
    requests[i].op = op;
    requests[i].sector = i * 3;
    requests[i].sectors = 1;
    requests[i].buffer = buffer_of(i);
    requests[i].pieces = NULL;
    memset(buffer_of(i), 0xee, 512);
    return &requests[i];
}

static void submit(unsigned i, enum disk_op op)
{
    cr_assert_eq(disk_submit(0, make(i, op)), 0);
}

static void assert_read(unsigned i)
{
    cr_assert_eq(requests[i].error, 0);
    cr_assert_eq(buffer_of(i)[0], i * 3 % 251);
    cr_assert_eq(buffer_of(i)[511], i * 3 % 251);
}

Test(disk_queue, has_many_requests_done_by_one_kick, .init = set_up)
{
    for (unsigned i = 0; i < 32; i++)
        submit(i, DISK_READ);
    cr_assert_eq(vm.kicks, 0);
    for (unsigned i = 0; i < 32; i++) {
        struct disk_request *request = disk_complete(0, true);

        cr_assert_eq(request, &requests[i]);
        assert_read(i);
        cr_assert_eq(vm.kicks, 1);
    }
    cr_assert_null(disk_complete(0, true), "which would otherwise wait");
    cr_assert_eq(vm.kicks, 1);
    cr_assert_eq(vm.waits, 0);
}

Test(disk_queue, keeps_the_next_ones_until_all_before_are_returned,
     .init = set_up)
{
    struct disk_request *request;

    for (unsigned i = 0; i < 4; i++)
        submit(i, DISK_READ);
    for (unsigned round = 0; round < 1000; round++) {
        request = disk_complete(0, true);
        cr_assert_eq(request, &requests[round % 4]);
        assert_read(round % 4);
        submit(round % 4, DISK_READ);
    }
    cr_assert_eq(vm.kicks, 250);
}

Test(disk_queue, is_kicked_at_once_on_demand, .init = set_up)
{
    submit(0, DISK_READ);
    cr_assert_eq(disk_kick(0), 0);
    cr_assert_eq(vm.kicks, 1);
    cr_assert_eq(disk_kick(0), 0);
    cr_assert_eq(vm.kicks, 1, "nothing new to tell");
    cr_assert_eq(disk_complete(0, false), &requests[0]);
    cr_assert_eq(vm.kicks, 1);
}

Test(disk_queue, takes_as_many_as_fit, .init = set_up)
{
    struct disk_info info;

    cr_assert_eq(disk_open(0, &info), 0);
    cr_assert_eq(info.depth, DEPTH);
    for (unsigned i = 0; i < DEPTH; i++)
        submit(i, DISK_READ);
    cr_assert_eq(disk_submit(0, make(DEPTH, DISK_READ)), -EAGAIN);
    for (unsigned i = 0; i < DEPTH; i++) {
        cr_assert_eq(disk_complete(0, true), &requests[i]);
        assert_read(i);
    }
    submit(DEPTH, DISK_READ);
    cr_assert_eq(disk_complete(0, true), &requests[DEPTH]);
    assert_read(DEPTH);
    cr_assert_null(disk_complete(0, true));
}

Test(disk_queue, lets_simple_functions_in_between, .init = set_up)
{
    unsigned char *other = buffer_of(100);

    for (unsigned i = 0; i < DEPTH; i++)
        submit(i, DISK_READ);
    cr_assert_eq(disk_read(0, 500, other, 2), 2, "though the ring is full");
    cr_assert_eq(other[0], 500 % 251);
    cr_assert_eq(other[1023], 501 % 251);
    for (unsigned i = 0; i < DEPTH; i++) {
        cr_assert_eq(disk_complete(0, true), &requests[i]);
        assert_read(i);
    }
    cr_assert_null(disk_complete(0, true));
}

Test(disk_queue, does_not_wait_unless_told_to, .init = set_up)
{
    vm.lazy = true;
    cr_assert_null(disk_complete(0, false));
    cr_assert_eq(vm.kicks, 0);
    submit(0, DISK_READ);
    cr_assert_null(disk_complete(0, false));
    cr_assert_eq(vm.kicks, 1);
    cr_assert_null(disk_complete(0, false));
    cr_assert_eq(vm.kicks, 1);
    cr_assert_eq(vm.waits, 0);
    cr_assert_eq(disk_complete(0, true), &requests[0]);
    cr_assert_eq(vm.waits, 1);
    assert_read(0);
}

Test(disk_queue, needs_no_kick_from_a_disk_that_looks, .init = set_up)
{
    submit(0, DISK_READ);
    cr_assert_eq(disk_complete(0, true), &requests[0]);
    vdev_poll(&vm.disks[0].dev, true);
    cr_assert_eq(vdev_serve(&vm.disks[0].dev), 0);
    for (unsigned i = 0; i < 8; i++)
        submit(i, DISK_READ);
    cr_assert_eq(vdev_serve(&vm.disks[0].dev), 0);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_eq(disk_complete(0, true), &requests[i]);
        assert_read(i);
    }
    cr_assert_eq(vm.kicks, 1);
    cr_assert_eq(vm.waits, 0);
}

Test(disk_queue, does_every_operation, .init = set_up)
{
    static const unsigned char zeroes[512];
    unsigned char there[512];

    submit(0, DISK_WRITE);
    submit(1, DISK_DISCARD);
    submit(2, DISK_WRITE_ZEROES);
    submit(3, DISK_WRITE_ZEROES_UNMAP);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(disk_complete(0, true), &requests[i]);
    submit(4, DISK_FLUSH);
    cr_assert_eq(disk_complete(0, true), &requests[4]);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(requests[i].error, 0, "request %u", i);
    cr_assert_eq(pread(file, there, 512, 0), 512);
    cr_assert_eq(memcmp(there, buffer_of(0), 512), 0);
    for (unsigned i = 2; i < 4; i++) {
        cr_assert_eq(pread(file, there, 512, i * 3 * 512), 512);
        cr_assert_eq(memcmp(there, zeroes, 512), 0);
    }
    cr_assert_eq(pread(file, there, 512, 10 * 512), 512);
    cr_assert_eq(there[0], 10, "its neighbour is as it was");
    cr_assert_eq(vm.disks[0].flushes, 1);
    cr_assert_eq(vm.disks[0].requests, 5);
}

Test(disk_queue, ends_at_once_what_is_nothing, .init = set_up)
{
    for (unsigned i = 0; i < 5; i++) {
        make(i,
             (enum disk_op[]){DISK_READ, DISK_WRITE, DISK_DISCARD,
                              DISK_WRITE_ZEROES, DISK_WRITE_ZEROES_UNMAP}[i]);
        requests[i].sectors = 0;
        cr_assert_eq(disk_submit(0, &requests[i]), 0);
        cr_assert_eq(disk_complete(0, true), &requests[i]);
        cr_assert_eq(requests[i].error, 0);
    }
    cr_assert_eq(vm.kicks, 0);
}

Test(disk_queue, goes_on_with_large_requests_part_by_part)
{
    struct disk_request *large = &requests[0], *other = &requests[1];

    start_with((struct blk_options){.queue_size = 8});
    *large = (struct disk_request){.op = DISK_READ,
                                   .sector = 1,
                                   .sectors = SECTORS - 1,
                                   .buffer = VM_BUFFER + MIB};
    /* Two pieces at first, so that another one fits beside it. */
    make(1, DISK_READ);
    cr_assert_eq(disk_submit(0, large), 0);
    cr_assert_eq(disk_submit(0, other), -EAGAIN, "six of eight are taken");
    cr_assert_eq(disk_complete(0, true), large);
    cr_assert_eq(large->error, 0);
    for (unsigned i = 1; i < SECTORS; i++)
        cr_assert_eq(VM_BUFFER[MIB + (i - 1) * 512], i % 251);
    cr_assert_eq(vm.disks[0].requests, 1);
    cr_assert_eq(disk_submit(0, other), 0);
    cr_assert_eq(disk_complete(0, true), other);
    assert_read(1);
}

Test(disk_queue, tells_which_part_failed_by_one_error)
{
    struct disk_request *large = &requests[0];

    start_with((struct blk_options){.queue_size = 4});
    cr_assert_eq(ftruncate(file, 3 * MIB), 0);
    *large = (struct disk_request){
        .op = DISK_READ, .sectors = SECTORS, .buffer = VM_BUFFER + MIB};
    cr_assert_eq(disk_submit(0, large), 0);
    cr_assert_eq(disk_complete(0, true), large);
    cr_assert_eq(large->error, -EIO);
    cr_assert_eq(vm.disks[0].requests, 2);
    submit(1, DISK_READ);
    cr_assert_eq(disk_complete(0, true), &requests[1]);
    assert_read(1);
}

Test(disk_queue, refuses_without_an_exit_what_cannot_be, .init = set_up)
{
    make(0, DISK_READ);
    requests[0].sector = SECTORS - 1;
    requests[0].sectors = 2;
    cr_assert_eq(disk_submit(0, &requests[0]), -EINVAL);
    make(0, DISK_WRITE);
    requests[0].buffer = (void *)(VM_MEM_BYTES - 511);
    cr_assert_eq(disk_submit(0, &requests[0]), -EFAULT);
    make(0, (enum disk_op)(DISK_WRITE_ZEROES_UNMAP + 1));
    cr_assert_eq(disk_submit(0, &requests[0]), -EINVAL);
    make(0, (enum disk_op) - 1);
    cr_assert_eq(disk_submit(0, &requests[0]), -EINVAL);
    cr_assert_eq(disk_submit(1, make(0, DISK_READ)), -ENODEV);
    cr_assert_eq(disk_kick(1), -ENODEV);
    cr_assert_null(disk_complete(1, true));
    cr_assert_null(disk_complete(UINT32_MAX, true));
    cr_assert_eq(vm.kicks, 0);
}

Test(disk_queue, changes_nothing_on_a_read_only_disk)
{
    start_with((struct blk_options){.read_only = true});
    for (unsigned op = DISK_WRITE; op <= DISK_WRITE_ZEROES_UNMAP; op++)
        if (op != DISK_FLUSH)
            cr_assert_eq(disk_submit(0, make(0, (enum disk_op)op)), -EROFS);
    cr_assert_eq(disk_write_zeroes(0, 0, 1, false), -EROFS);
    submit(0, DISK_READ);
    cr_assert_eq(disk_complete(0, true), &requests[0]);
    assert_read(0);
}

Test(disk_queue, writes_zeroes, .init = set_up)
{
    unsigned char there[4 * 512];
    struct disk_info info;

    cr_assert_eq(disk_open(0, &info), 0);
    cr_assert(info.can_write_zeroes);
    cr_assert_eq(disk_write_zeroes(0, 7, 2, false), 0);
    cr_assert_eq(pread(file, there, sizeof(there), 6 * 512), sizeof(there));
    cr_assert_eq(there[511], 6);
    cr_assert_eq(there[512], 0);
    cr_assert_eq(there[1535], 0);
    cr_assert_eq(there[1536], 9);
    cr_assert_eq(disk_write_zeroes(0, 100, 1, true), 0);
    cr_assert_eq(pread(file, there, 512, 100 * 512), 512);
    cr_assert_eq(there[0], 0);
    cr_assert_eq(disk_write_zeroes(0, SECTORS, 1, true), -EINVAL);
    cr_assert_eq(disk_write_zeroes(0, SECTORS, 0, true), 0);
}

/* ---- A disk that gives up ------------------------------------------------ */

static void assert_everything_fails(void)
{
    struct disk_info info;

    cr_assert_eq(disk_submit(0, make(0, DISK_READ)), -EIO);
    cr_assert_eq(disk_kick(0), -EIO);
    cr_assert_eq(disk_open(0, &info), -EIO);
    cr_assert_eq(disk_read(0, 0, VM_BUFFER, 1), -EIO);
    cr_assert_eq(disk_flush(0), -EIO);
    cr_assert_null(disk_complete(0, true));
}

Test(disk_queue, fails_what_is_in_flight_when_the_disk_gives_up, .init = set_up)
{
    vm.lazy = true;
    for (unsigned i = 0; i < 5; i++)
        submit(i, DISK_READ);
    vdev_mark_needs_reset(&vm.disks[0].dev);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(disk_complete(0, true), &requests[i]);
        cr_assert_eq(requests[i].error, -EIO);
    }
    assert_everything_fails();
}

Test(disk_queue, notices_that_without_a_wait_too, .init = set_up)
{
    submit(0, DISK_READ);
    vdev_mark_needs_reset(&vm.disks[0].dev);
    cr_assert_eq(disk_complete(0, false), &requests[0]);
    cr_assert_eq(requests[0].error, -EIO);
    assert_everything_fails();
}

static void break_disk(void)
{
    vdev_mark_needs_reset(&vm.disks[0].dev);
}

Test(disk_queue, wakes_from_its_wait_when_the_disk_gives_up, .init = set_up)
{
    submit(0, DISK_READ);
    cr_assert_eq(disk_complete(0, true), &requests[0]);
    /* A disk that says it looks, and does not. */
    vdev_poll(&vm.disks[0].dev, true);
    cr_assert_eq(vdev_serve(&vm.disks[0].dev), 0);
    vm.disks[0].dev.queues[0].broken = true;
    vm.before_block = break_disk;
    cr_assert_eq(disk_read(0, 0, VM_BUFFER, 1), -EIO);
    cr_assert_eq(vm.waits, 1);
    assert_everything_fails();
}
