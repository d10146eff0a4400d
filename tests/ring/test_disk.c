/* SPDX-License-Identifier: MIT */
/* The guest's disk driver against the monitor's block device. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <mayfly/disk.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/ring/vm.h"

TestSuite(disk_ring, .timeout = 60);

#define SECTORS   20480 /* 10 MiB */
#define MIB       (1 << 20)
#define MIB_SECTS (MIB / 512)

static int file;

/* Contents that differ from sector to sector. */
static unsigned char right_byte(uint64_t offset)
{
    return (unsigned char)(offset * 7 + offset / 512);
}

static int make_file(uint64_t sectors)
{
    int fd = memfd_create("disk", 0);
    uint64_t bytes = sectors * 512;

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
    unsigned char *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(at, MAP_FAILED);
    for (uint64_t i = 0; i < bytes; i++)
        at[i] = right_byte(i);
    munmap(at, bytes);
    return fd;
}

static void start_with(struct blk_options options)
{
    file = make_file(SECTORS);
    options.fd = file;
    vm_start(-1, -1, -1);
    vm_add_disk(&options);
}

static void set_up(void)
{
    start_with((struct blk_options){.id = "main"});
}

static void assert_read(uint64_t sector, long sectors)
{
    memset(VM_BUFFER, 0xee, (size_t)sectors * 512);
    cr_assert_eq(disk_read(0, sector, VM_BUFFER, sectors), sectors);
    for (uint64_t i = 0; i < (uint64_t)sectors * 512; i++)
        cr_assert_eq(VM_BUFFER[i], right_byte(sector * 512 + i), "byte %lu", i);
}

Test(disk_ring, has_no_disk_without_a_device)
{
    struct disk_info info;

    vm_start(-1, -1, -1);
    cr_assert_eq(disk_count(), 0);
    cr_assert_eq(disk_open(0, &info), -ENODEV);
    cr_assert_eq(disk_open(UINT32_MAX, &info), -ENODEV);
    cr_assert_eq(disk_read(0, 0, VM_BUFFER, 1), -ENODEV);
    cr_assert_eq(disk_write(0, 0, VM_BUFFER, 1), -ENODEV);
    cr_assert_eq(disk_flush(0), -ENODEV);
    cr_assert_eq(disk_discard(0, 0, 1), -ENODEV);
}

Test(disk_ring, tells_what_the_disk_is, .init = set_up)
{
    struct disk_info info;

    cr_assert_eq(disk_count(), 1);
    cr_assert_eq(disk_open(0, &info), 0);
    cr_assert_eq(info.sectors, SECTORS);
    cr_assert_eq(info.block_bytes, 512);
    cr_assert_not(info.read_only);
    cr_assert(info.can_discard);
    cr_assert_str_eq(info.id, "main");
    cr_assert_eq(disk_open(1, &info), -ENODEV);
}

Test(disk_ring, reads_with_one_kick_and_no_wait, .init = set_up)
{
    assert_read(0, 1);
    assert_read(SECTORS - 8, 8);
    cr_assert_eq(vm.kicks, 2);
    cr_assert_eq(vm.waits, 0);
}

Test(disk_ring, goes_round_the_ring_many_times, .init = set_up)
{
    for (unsigned i = 0; i < 70000; i++)
        cr_assert_eq(disk_read(0, i % SECTORS, VM_BUFFER, 1), 1);
    cr_assert_eq(vm.kicks, 70000);
    assert_read(17, 3);
}

Test(disk_ring, writes_what_the_host_then_has, .init = set_up)
{
    static unsigned char there[1024];

    memset(VM_BUFFER, 'w', 1024);
    cr_assert_eq(disk_write(0, 100, VM_BUFFER, 2), 2);
    cr_assert_eq(pread(file, there, 1024, 100 * 512), 1024);
    cr_assert_eq(memcmp(there, VM_BUFFER, 1024), 0);
    cr_assert_eq(disk_flush(0), 0);
    cr_assert_eq(vm.disks[0].flushes, 1);
    cr_assert_eq(vm.kicks, 2);
    assert_read(99, 1);
    assert_read(102, 1);
}

Test(disk_ring, moves_megabytes_in_one_request, .init = set_up)
{
    assert_read(3, 10 * MIB_SECTS - 3);
    cr_assert_eq(vm.kicks, 1);
}

Test(disk_ring, splits_what_a_small_queue_has_no_room_for)
{
    start_with((struct blk_options){.queue_size = 4});
    assert_read(1, 5 * MIB_SECTS + 1);
    cr_assert_eq(vm.kicks, 3, "two buffers of a MiB in each request");
    assert_read(1, 2 * MIB_SECTS);
    cr_assert_eq(vm.kicks, 4);
}

Test(disk_ring, discards, .init = set_up)
{
    cr_assert_eq(disk_discard(0, 8, 8), 0);
    assert_read(0, 8);
    assert_read(16, 8);
    cr_assert_eq(disk_discard(0, 0, 0), 0);
    cr_assert_eq(disk_discard(0, SECTORS - 1, 2), -EINVAL);
    cr_assert_eq(vm.disks[0].errors, 0);
}

Test(disk_ring, refuses_sectors_past_the_end_without_an_exit, .init = set_up)
{
    cr_assert_eq(disk_read(0, SECTORS - 1, VM_BUFFER, 1), 1);
    cr_assert_eq(vm.kicks, 1);
    cr_assert_eq(disk_read(0, SECTORS - 1, VM_BUFFER, 2), -EINVAL);
    cr_assert_eq(disk_read(0, SECTORS, VM_BUFFER, 1), -EINVAL);
    cr_assert_eq(disk_read(0, UINT64_MAX, VM_BUFFER, 2), -EINVAL);
    cr_assert_eq(disk_read(0, 0, VM_BUFFER, -1), -EINVAL);
    cr_assert_eq(disk_write(0, SECTORS, VM_BUFFER, 1), -EINVAL);
    cr_assert_eq(disk_read(0, SECTORS, VM_BUFFER, 0), 0);
    cr_assert_eq(vm.kicks, 1);
}

Test(disk_ring, refuses_buffers_outside_memory, .init = set_up)
{
    unsigned char *end = (unsigned char *)VM_MEM_BYTES;

    cr_assert_eq(disk_read(0, 0, end - 512, 1), 1);
    cr_assert_eq(disk_read(0, 0, end - 511, 1), -EFAULT);
    cr_assert_eq(disk_read(0, 0, NULL, 1), -EFAULT);
    cr_assert_eq(disk_write(0, 0, (void *)(MF_BOOT_PAGE - 1), 1), -EFAULT);
}

Test(disk_ring, writes_nothing_to_a_read_only_disk)
{
    struct disk_info info;

    start_with((struct blk_options){.read_only = true});
    cr_assert_eq(disk_open(0, &info), 0);
    cr_assert(info.read_only);
    cr_assert_str_eq(info.id, "");
    cr_assert_eq(disk_write(0, 0, VM_BUFFER, 1), -EROFS);
    cr_assert_eq(disk_discard(0, 0, 1), -EROFS);
    cr_assert_eq(disk_flush(0), 0);
    assert_read(0, 1);
}

Test(disk_ring, says_EIO_when_the_host_fails_and_goes_on, .init = set_up)
{
    assert_read(0, 1);
    cr_assert_eq(ftruncate(file, SECTORS / 2 * 512), 0);
    cr_assert_eq(disk_read(0, SECTORS / 2, VM_BUFFER, 1), -EIO);
    cr_assert_eq(disk_read(0, SECTORS / 2 - 1, VM_BUFFER, 2), -EIO);
    cr_assert_eq(vm.disks[0].errors, 2);
    assert_read(SECTORS / 2 - 1, 1);
}

/* Several disks do not mix, whichever is first used. */
Test(disk_ring, keeps_eight_disks_apart)
{
    struct disk_info info;

    vm_start(-1, -1, -1);
    for (unsigned i = 0; i < VM_DISKS_MAX; i++) {
        int fd = make_file(8 + i);

        vm_add_disk(&(struct blk_options){.fd = fd});
    }
    cr_assert_eq(disk_count(), VM_DISKS_MAX);
    for (unsigned i = VM_DISKS_MAX; i-- > 0;) {
        memset(VM_BUFFER, (int)i + 1, 512);
        cr_assert_eq(disk_write(i, i, VM_BUFFER, 1), 1);
        cr_assert_eq(disk_open(i, &info), 0);
        cr_assert_eq(info.sectors, 8 + i);
    }
    for (unsigned i = 0; i < VM_DISKS_MAX; i++) {
        cr_assert_eq(disk_read(i, i, VM_BUFFER, 1), 1);
        cr_assert_eq(VM_BUFFER[511], i + 1);
    }
}

/* A monitor that answers later: nothing is done when the kick returns. */
Test(disk_ring, waits_for_an_answer_that_comes_later, .init = set_up)
{
    vm.lazy = true;
    assert_read(5, 1);
    cr_assert_eq(vm.kicks, 1);
    cr_assert_eq(vm.waits, 1);
    assert_read(6, 1);
    cr_assert_eq(vm.waits, 2);
}
