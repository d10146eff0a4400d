/* SPDX-License-Identifier: MIT */
/* The block device: its configuration, and each type of request. */
#include "tests/unit/blk_driver.h"

/* ---- Setting up --------------------------------------------------------- */

static uint64_t config(unsigned offset, unsigned bytes)
{
    uint64_t value = 0;

    vdev_read_config(&blk.dev, offset, &value, bytes);
    return value;
}

Test(blk_config, has_each_field_where_the_standard_puts_it, .init = set_up)
{
    cr_assert_eq(config(0, 8), SECTORS);
    cr_assert_eq(config(8, 4), BLK_SEGMENT_MAX);
    cr_assert_eq(config(12, 4), BLK_QUEUE_MAX - 2);
    cr_assert_eq(config(16, 4), 0, "no geometry");
    cr_assert_eq(config(20, 4), 512, "block size");
    cr_assert_eq(config(24, 8), 0, "no topology");
    cr_assert_eq(config(32, 4), 0, "no writeback, padding, one queue");
    cr_assert_eq(config(36, 4), UINT32_MAX, "discard: sectors");
    cr_assert_eq(config(40, 4), BLK_RANGES_MAX, "ranges");
    cr_assert_eq(config(44, 4), 1, "alignment");
    cr_assert_eq(config(48, 4), UINT32_MAX, "write zeroes: sectors");
    cr_assert_eq(config(52, 4), BLK_RANGES_MAX, "ranges");
    cr_assert_eq(config(56, 4), 1, "may unmap; padding");
    cr_assert_eq(config(60, 4), 0, "the end");
    cr_assert_eq(blk.dev.class->config_bytes, 60);
}

Test(blk_config, offers_what_the_disk_can, .init = set_up)
{
    cr_assert_eq(blk.dev.offered & 0xffffff,
                 FEATURE(SIZE_MAX) | FEATURE(SEG_MAX) | FEATURE(BLK_SIZE) |
                     FEATURE(FLUSH) | FEATURE(DISCARD) | FEATURE(WRITE_ZEROES));
}

Test(blk_config, offers_no_change_of_a_read_only_disk, .init = set_up_read_only)
{
    cr_assert_eq(blk.dev.offered & 0xffffff,
                 FEATURE(SIZE_MAX) | FEATURE(SEG_MAX) | FEATURE(BLK_SIZE) |
                     FEATURE(FLUSH) | FEATURE(RO));
    cr_assert_eq(config(36, 8), 0);
    cr_assert_eq(config(44, 8), 0);
    cr_assert_eq(config(52, 8), 0);
}

Test(blk_config, leaves_out_what_is_no_whole_sector)
{
    make_disk(3);
    cr_assert_eq(ftruncate(disk, 3 * SECTOR - 1), 0);
    start((struct blk_options){.id = NULL});
    cr_assert_eq(config(0, 8), 2);
    cr_assert_eq(read_sectors(1, SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(read_sectors(2, SECTOR), VIRTIO_BLK_S_IOERR);
}

Test(blk_config, takes_an_empty_disk)
{
    make_disk(0);
    start((struct blk_options){.id = NULL});
    cr_assert_eq(read_sectors(0, SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
}

static int init_with(int fd, const char *id, uint32_t queue_size)
{
    struct blk_options options = {.fd = fd, .id = id, .queue_size = queue_size};

    return blk_init(&blk, &options);
}

Test(blk_config, takes_queues_of_4_to_128_entries, .init = set_up)
{
    cr_assert_eq(init_with(disk, NULL, 2), -EINVAL);
    cr_assert_eq(init_with(disk, NULL, 4), 0);
    cr_assert_eq(config(12, 4), 2);
    cr_assert_eq(init_with(disk, NULL, 5), -EINVAL);
    cr_assert_eq(init_with(disk, NULL, 128), 0);
    cr_assert_eq(init_with(disk, NULL, 256), -EINVAL);
}

Test(blk_config, takes_an_id_of_20_bytes, .init = set_up)
{
    cr_assert_eq(init_with(disk, "abcdefghijklmnopqrst", 0), 0);
    cr_assert_eq(init_with(disk, "abcdefghijklmnopqrstu", 0), -ENAMETOOLONG);
}

Test(blk_config, takes_files_and_block_devices_only)
{
    int fds[2];

    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(init_with(fds[0], NULL, 0), -EINVAL);
    cr_assert_eq(init_with(open("/", O_RDONLY), NULL, 0), -EINVAL);
    cr_assert_eq(init_with(open("/dev/null", O_RDWR), NULL, 0), -EINVAL);
    cr_assert_eq(init_with(900, NULL, 0), -EBADF);
}

/* ---- Read and write ----------------------------------------------------- */

Test(blk_read, moves_a_sector_and_says_513_bytes, .init = set_up)
{
    unsigned long calls = os_calls;

    cr_assert_eq(read_sectors(5, SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(os_calls - calls, 1);
    assert_filled(DATA, 6, SECTOR);
    assert_filled(DATA + SECTOR, UNTOUCHED, 1);
    cr_assert_eq(used_bytes(), SECTOR + 1);
    cr_assert_eq(blk.read_bytes, SECTOR);
    cr_assert_eq(blk.requests, 1);
    cr_assert_eq(blk.errors, 0);
}

Test(blk_read, ends_with_the_last_sector, .init = set_up)
{
    cr_assert_eq(read_sectors(SECTORS - 1, SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(read_sectors(SECTORS, SECTOR), VIRTIO_BLK_S_IOERR);
    assert_filled(DATA, UNTOUCHED, SECTOR);
    cr_assert_eq(used_bytes(), 0, "none of the data, so not up to the status");
    cr_assert_eq(read_sectors(SECTORS - 2, 2 * SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(read_sectors(SECTORS - 1, 2 * SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(read_sectors(0, SECTORS * SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(read_sectors(0, (SECTORS + 1) * SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(blk.errors, 3);
    cr_assert_eq(lines, 0, "a guest's mistakes are its own");
}

Test(blk_read, does_not_overflow, .init = set_up)
{
    cr_assert_eq(read_sectors(UINT64_MAX, SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(read_sectors(UINT64_MAX / SECTOR + 1, SECTOR),
                 VIRTIO_BLK_S_IOERR, "times 512, this is sector 0");
    cr_assert_eq(read_sectors(UINT64_MAX - 1, 4 * SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(read_sectors(UINT64_MAX / SECTOR, SECTOR), VIRTIO_BLK_S_IOERR);
}

Test(blk_read, wants_whole_sectors, .init = set_up)
{
    cr_assert_eq(read_sectors(0, SECTOR - 1), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(read_sectors(0, SECTOR + 1), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(read_sectors(0, 1), VIRTIO_BLK_S_IOERR);
    assert_filled(DATA, UNTOUCHED, 1);
    cr_assert_eq(read_sectors(0, 0), VIRTIO_BLK_S_OK, "0 is a multiple");
    cr_assert_eq(used_bytes(), 1);
    cr_assert_eq(read_sectors(SECTORS, 0), VIRTIO_BLK_S_OK);
    cr_assert_eq(read_sectors(SECTORS + 1, 0), VIRTIO_BLK_S_IOERR);
}

Test(blk_read, refuses_data_from_the_driver, .init = set_up)
{
    cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, SECTOR, 0), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(used_bytes(), 1, "the status is all that was writable");
}

Test(blk_write, moves_a_sector_and_says_1_byte, .init = set_up)
{
    unsigned long calls = os_calls;

    cr_assert_eq(write_sectors(5, SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(os_calls - calls, 1, "no sync: the driver can flush");
    cr_assert_eq(used_bytes(), 1);
    assert_disk(4, 5);
    assert_disk(5, 'w');
    assert_disk(6, 7);
    cr_assert_eq(blk.written_bytes, SECTOR);
}

Test(blk_write, ends_with_the_last_sector, .init = set_up)
{
    cr_assert_eq(write_sectors(SECTORS, SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(write_sectors(SECTORS - 1, 2 * SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(write_sectors(UINT64_MAX, SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(write_sectors(UINT64_MAX / SECTOR + 1, SECTOR),
                 VIRTIO_BLK_S_IOERR);
    assert_disk_untouched();
    cr_assert_eq(write_sectors(SECTORS - 1, SECTOR), VIRTIO_BLK_S_OK);
    assert_disk(SECTORS - 1, 'w');
}

Test(blk_write, wants_whole_sectors, .init = set_up)
{
    cr_assert_eq(write_sectors(0, SECTOR - 1), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(write_sectors(0, SECTOR + 1), VIRTIO_BLK_S_IOERR);
    assert_disk_untouched();
}

Test(blk_write, refuses_data_for_the_driver, .init = set_up)
{
    memset(at(DATA), UNTOUCHED, SECTOR);
    cr_assert_eq(request(VIRTIO_BLK_T_OUT, 0, SECTOR, WRITE),
                 VIRTIO_BLK_S_IOERR);
    cr_assert_eq(used_bytes(), 0);
    assert_filled(DATA, UNTOUCHED, SECTOR);
    assert_disk_untouched();
}

Test(blk_write, is_synced_for_a_driver_that_cannot_flush)
{
    set_up_without(FEATURE(FLUSH));
    cr_assert_eq(write_sectors(5, SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(blk.flushes, 1);
    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, 6, 1, 0), VIRTIO_BLK_S_OK);
    cr_assert_eq(blk.flushes, 2);
    cr_assert_eq(read_sectors(5, SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(blk.flushes, 2);
}

Test(blk_requests, are_served_in_order_with_one_event, .init = set_up)
{
    for (unsigned i = 0; i < 40; i++) {
        unsigned head = next_desc;

        memset(at(DATA + i * SECTOR), 'a' + (int)i % 26, SECTOR);
        *(struct virtio_blk_outhdr *)at(HEADER + i * 16) =
            (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_OUT, .sector = 9};
        add(HEADER + i * 16, 16, 0);
        add(DATA + i * SECTOR, SECTOR, 0);
        add_status();
        submit(head);
    }
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 40);
    cr_assert_eq(blk.requests, 40);
    assert_disk(9, 'a' + 39 % 26);
    cr_assert_eq(event_read(&events), 1 << 3);
}

Test(blk_requests, ask_for_a_kick_each, .init = set_up)
{
    const struct vring_used *used = at(USED);
    const uint16_t *avail_event = (const uint16_t *)&used->ring[BLK_QUEUE_MAX];

    cr_assert_eq(*avail_event, 0);
    cr_assert_eq(read_sectors(0, SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(*avail_event, 1);
}

Test(blk_requests, are_not_made_up_for_kicks_without_one, .init = set_up)
{
    unsigned long calls = os_calls;

    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(os_calls, calls);
    cr_assert_eq(used_count(), 0);
    cr_assert_eq(event_read(&events), 0);
}

Test(blk_requests, leave_their_descriptors_as_they_were, .init = set_up)
{
    struct vring_desc before[3];

    add_header(VIRTIO_BLK_T_IN, 0);
    add_split(DATA, SECTOR, WRITE, SECTOR);
    add_status();
    desc(2)->flags &= (uint16_t)~NEXT;
    memcpy(before, desc(0), sizeof(before));
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_OK);
    cr_assert_eq(memcmp(before, desc(0), sizeof(before)), 0);
}

/* ---- Flush, identity, what is unknown ----------------------------------- */

Test(blk_flush, is_one_fdatasync, .init = set_up)
{
    unsigned long calls = os_calls;

    cr_assert_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
    cr_assert_eq(os_calls - calls, 1);
    cr_assert_eq(blk.flushes, 1);
    cr_assert_eq(used_bytes(), 1);
}

Test(blk_flush, does_not_mind_a_sector_and_data, .init = set_up)
{
    cr_assert_eq(request(VIRTIO_BLK_T_FLUSH, UINT64_MAX, SECTOR, WRITE),
                 VIRTIO_BLK_S_OK);
    cr_assert_eq(used_bytes(), 0, "the data was not written");
    cr_assert_eq(request(VIRTIO_BLK_T_FLUSH, 0, SECTOR, 0), VIRTIO_BLK_S_OK);
    cr_assert_eq(blk.flushes, 2);
}

Test(blk_flush, tells_the_driver_when_the_host_cannot, .init = set_up)
{
    replace_disk("/dev/full");
    cr_assert_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(blk.flushes, 0);
    cr_assert_eq(blk.errors, 1);
}

Test(blk_id, is_padded_with_0, .init = set_up)
{
    memset(at(DATA), UNTOUCHED, 21);
    cr_assert_eq(request(VIRTIO_BLK_T_GET_ID, 0, 20, WRITE), VIRTIO_BLK_S_OK);
    cr_assert_eq(memcmp(at(DATA), "a disk\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xee", 21),
                 0);
    cr_assert_eq(used_bytes(), 21);
}

Test(blk_id, of_20_bytes_has_no_end)
{
    make_disk(1);
    start((struct blk_options){.id = "abcdefghijklmnopqrst"});
    add_header(VIRTIO_BLK_T_GET_ID, 0);
    add_split(DATA, 20, WRITE, 1);
    add_status();
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_OK);
    cr_assert_eq(memcmp(at(DATA), "abcdefghijklmnopqrst\0", 21), 0);
}

Test(blk_id, wants_a_buffer_of_20_bytes, .init = set_up)
{
    cr_assert_eq(request(VIRTIO_BLK_T_GET_ID, 0, 19, WRITE),
                 VIRTIO_BLK_S_IOERR);
    cr_assert_eq(request(VIRTIO_BLK_T_GET_ID, 0, 21, WRITE),
                 VIRTIO_BLK_S_IOERR);
    cr_assert_eq(request(VIRTIO_BLK_T_GET_ID, 0, 20, 0), VIRTIO_BLK_S_IOERR);
}

/* Found in review: the identity went to what the driver had to say. */
Test(blk_id, is_never_written_to_a_readable_buffer, .init = set_up)
{
    memset(at(DATA), UNTOUCHED, 20);
    add_header(VIRTIO_BLK_T_GET_ID, 0);
    add(DATA, 20, 0);
    add(DATA + 64, 20, WRITE);
    add_status();
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(used_bytes(), 0);
    assert_filled(DATA, UNTOUCHED, 20);
}

Test(blk_type, that_is_unknown_is_unsupported, .init = set_up)
{
    static const uint32_t types[] = {
        2, 3, 5, 7, 9, 10, 12, VIRTIO_BLK_T_SECURE_ERASE, 15, UINT32_MAX,
    };

    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        cr_assert_eq(request(types[i], 0, SECTOR, 0), VIRTIO_BLK_S_UNSUPP,
                     "type %u", types[i]);
    cr_assert_eq(used_bytes(), 1);
    cr_assert_eq(request(2, 0, SECTOR, WRITE), VIRTIO_BLK_S_UNSUPP);
    cr_assert_eq(used_bytes(), 0);
    assert_disk_untouched();
}

/* ---- Read-only ---------------------------------------------------------- */

Test(blk_read_only, refuses_every_change, .init = set_up_read_only)
{
    cr_assert_eq(write_sectors(0, SECTOR), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(used_bytes(), 1);
    cr_assert_eq(erase(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_IOERR);
    assert_disk_untouched();
    cr_assert_eq(read_sectors(0, SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
}

/* The driver may well ignore that the disk is read-only (5.2.5.1). */
Test(blk_read_only, does_not_depend_on_the_driver)
{
    struct blk_options options = {.read_only = true};

    make_disk(SECTORS);
    options.fd = disk;
    cr_assert_eq(blk_init(&blk, &options), 0);
    bring_up(UINT64_C(1) << VIRTIO_F_VERSION_1);
    cr_assert_eq(write_sectors(0, SECTOR), VIRTIO_BLK_S_IOERR);
    assert_disk_untouched();
}
