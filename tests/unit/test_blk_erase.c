/* SPDX-License-Identifier: MIT */
/* The block device: discard, write zeroes, and what the host refuses. */
#include "tests/unit/blk_driver.h"

/* ---- Discard and write zeroes ------------------------------------------- */

static blkcnt_t disk_blocks(void)
{
    struct stat file;

    cr_assert_eq(fstat(disk, &file), 0);
    return file.st_blocks;
}

Test(blk_discard, gives_space_back_to_the_host, .init = set_up)
{
    blkcnt_t before = disk_blocks();

    cr_assert_eq(erase(VIRTIO_BLK_T_DISCARD, 8, 32, 0), VIRTIO_BLK_S_OK);
    cr_assert_eq(used_bytes(), 1);
    cr_assert_eq(disk_blocks(), before - 32);
    assert_disk(7, 8);
    assert_disk(40, 41);
}

Test(blk_discard, takes_16_ranges, .init = set_up)
{
    for (unsigned i = 0; i < BLK_RANGES_MAX + 1; i++)
        set_range(i, i * 2, 1, 0);
    cr_assert_eq(request(VIRTIO_BLK_T_DISCARD, 0, 17 * 16, 0),
                 VIRTIO_BLK_S_IOERR);
    assert_disk_untouched();
    cr_assert_eq(request(VIRTIO_BLK_T_DISCARD, 0, 16 * 16, 0), VIRTIO_BLK_S_OK);
    assert_disk(30, 0);
    assert_disk(31, 32);
    assert_disk(32, 33);
}

Test(blk_discard, wants_whole_ranges, .init = set_up)
{
    set_range(0, 0, 1, 0);
    cr_assert_eq(request(VIRTIO_BLK_T_DISCARD, 0, 15, 0), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(request(VIRTIO_BLK_T_DISCARD, 0, 17, 0), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(request(VIRTIO_BLK_T_DISCARD, 0, 16, WRITE),
                 VIRTIO_BLK_S_IOERR);
    assert_disk_untouched();
    cr_assert_eq(request(VIRTIO_BLK_T_DISCARD, 0, 0, 0), VIRTIO_BLK_S_OK,
                 "no range is nothing to do");
}

Test(blk_discard, ends_with_the_last_sector, .init = set_up)
{
    cr_assert_eq(erase(VIRTIO_BLK_T_DISCARD, SECTORS, 1, 0),
                 VIRTIO_BLK_S_IOERR);
    cr_assert_eq(erase(VIRTIO_BLK_T_DISCARD, SECTORS - 1, 2, 0),
                 VIRTIO_BLK_S_IOERR);
    cr_assert_eq(erase(VIRTIO_BLK_T_DISCARD, 1, UINT32_MAX, 0),
                 VIRTIO_BLK_S_IOERR);
    cr_assert_eq(erase(VIRTIO_BLK_T_DISCARD, UINT64_MAX, 2, 0),
                 VIRTIO_BLK_S_IOERR);
    assert_disk_untouched();
    cr_assert_eq(erase(VIRTIO_BLK_T_DISCARD, SECTORS - 1, 1, 0),
                 VIRTIO_BLK_S_OK);
    assert_disk(SECTORS - 1, 0);
    cr_assert_eq(erase(VIRTIO_BLK_T_DISCARD, SECTORS, 0, 0), VIRTIO_BLK_S_OK);
}

Test(blk_discard, does_nothing_if_one_range_is_bad, .init = set_up)
{
    set_range(0, 0, 8, 0);
    set_range(1, SECTORS, 1, 0);
    cr_assert_eq(request(VIRTIO_BLK_T_DISCARD, 0, 32, 0), VIRTIO_BLK_S_IOERR);
    assert_disk_untouched();
}

Test(blk_discard, has_no_flags, .init = set_up)
{
    cr_assert_eq(
        erase(VIRTIO_BLK_T_DISCARD, 0, 8, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP),
        VIRTIO_BLK_S_UNSUPP);
    cr_assert_eq(erase(VIRTIO_BLK_T_DISCARD, 0, 8, 1u << 31),
                 VIRTIO_BLK_S_UNSUPP);
    assert_disk_untouched();
}

Test(blk_discard, is_unsupported_unless_negotiated)
{
    set_up_without(FEATURE(DISCARD));
    cr_assert_eq(erase(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
    assert_disk_untouched();
}

Test(blk_discard, tells_the_driver_when_the_host_fails, .init = set_up)
{
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(dup2(fds[1], blk.fd), blk.fd);
    cr_assert_eq(erase(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(lines, 2);
}

/* tmpfs has no ZERO_RANGE: without UNMAP, zeroes are written. */
Test(blk_write_zeroes, writes_zeroes_where_the_file_system_cannot,
     .init = set_up)
{
    blkcnt_t before = disk_blocks();

    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, 3, 20, 0), VIRTIO_BLK_S_OK);
    cr_assert_eq(used_bytes(), 1);
    cr_assert_eq(disk_blocks(), before, "the space stays allocated");
    assert_disk(2, 3);
    for (unsigned i = 3; i < 23; i++)
        assert_disk(i, 0);
    assert_disk(23, 24);
    cr_assert_eq(blk.written_bytes, 0);
}

Test(blk_write_zeroes, may_give_space_back, .init = set_up)
{
    blkcnt_t before = disk_blocks();

    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, 7, 26,
                       VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP),
                 VIRTIO_BLK_S_OK);
    cr_assert_eq(disk_blocks(), before - 24);
    assert_disk(6, 7);
    for (unsigned i = 7; i < 33; i++)
        assert_disk(i, 0);
    assert_disk(33, 34);
}

Test(blk_write_zeroes, works_on_a_file_of_a_disk)
{
    char name[] = "/tmp/mayfly-blk-XXXXXX";
    uint8_t data[SECTORS * SECTOR];

    disk = mkstemp(name);
    cr_assert_geq(disk, 0);
    unlink(name);
    for (unsigned i = 0; i < SECTORS; i++)
        memset(data + i * SECTOR, (int)i + 1, SECTOR);
    cr_assert_eq(write(disk, data, sizeof(data)), (ssize_t)sizeof(data));
    start((struct blk_options){.id = NULL});
    for (uint32_t flags = 0; flags < 2; flags++) {
        unsigned from = 3 + 30 * flags;

        cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, from, 20, flags),
                     VIRTIO_BLK_S_OK);
        assert_disk(from - 1, (uint8_t)from);
        for (unsigned i = from; i < from + 20; i++)
            assert_disk(i, 0);
        assert_disk(from + 20, (uint8_t)(from + 21));
    }
}

Test(blk_write_zeroes, ends_with_the_last_sector, .init = set_up)
{
    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, SECTORS - 1, 2, 0),
                 VIRTIO_BLK_S_IOERR);
    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, SECTORS, 1, 0),
                 VIRTIO_BLK_S_IOERR);
    assert_disk_untouched();
    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, SECTORS - 1, 1, 0),
                 VIRTIO_BLK_S_OK);
    assert_disk(SECTORS - 1, 0);
    assert_disk(SECTORS - 2, SECTORS - 1);
}

Test(blk_write_zeroes, knows_one_flag, .init = set_up)
{
    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 2),
                 VIRTIO_BLK_S_UNSUPP);
    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 3),
                 VIRTIO_BLK_S_UNSUPP);
    assert_disk_untouched();
}

Test(blk_write_zeroes, is_unsupported_unless_negotiated)
{
    set_up_without(FEATURE(WRITE_ZEROES));
    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0),
                 VIRTIO_BLK_S_UNSUPP);
    assert_disk_untouched();
}

/* ---- What the host refuses ---------------------------------------------- */

Test(blk_host, says_how_far_a_file_was_read_that_has_become_smaller,
     .init = set_up)
{
    cr_assert_eq(ftruncate(disk, 3 * SECTOR + 100), 0);
    cr_assert_eq(read_sectors(2, 4 * SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(used_bytes(), SECTOR + 100);
    assert_filled(DATA, 3, SECTOR);
    assert_filled(DATA + SECTOR, 4, 100);
    assert_filled(DATA + SECTOR + 100, UNTOUCHED, 100);
    cr_assert_eq(read_sectors(2, SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(read_sectors(5, SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(blk.errors, 2);
}

Test(blk_host, tells_the_driver_that_the_disk_is_full, .init = set_up)
{
    replace_disk("/dev/full");
    cr_assert_eq(write_sectors(0, SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(used_bytes(), 1);
    cr_assert_eq(blk.written_bytes, 0);
    cr_assert(vdev_is_live(&blk.dev), "the next request may work");
}

Test(blk_host, is_complained_about_a_few_times_only, .init = set_up)
{
    replace_disk("/dev/full");
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(write_sectors(0, SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(lines, LOG_LIMIT_BURST + 1);
    cr_assert_eq(blk.errors, 100);
}

Test(blk_host, fails_a_write_that_cannot_be_synced)
{
    set_up_without(FEATURE(FLUSH));
    replace_disk("/dev/null");
    cr_assert_eq(write_sectors(0, SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(blk.flushes, 0);
}
