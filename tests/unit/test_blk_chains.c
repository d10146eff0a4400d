/* SPDX-License-Identifier: MIT */
/* The block device: how requests are framed, and go on after a pause. */
#include "tests/unit/blk_driver.h"

/* ---- Framing (virtio 1.2, 2.7.4) ---------------------------------------- */

Test(blk_framing, takes_a_header_of_single_bytes, .init = set_up)
{
    *(struct virtio_blk_outhdr *)at(HEADER) =
        (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_OUT, .sector = 3};
    memset(at(DATA), 'w', SECTOR);
    add_split(HEADER, 16, 0, 1);
    add_split(DATA, SECTOR, 0, 5);
    add_status();
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_OK);
    assert_disk(3, 'w');
    assert_disk(2, 3);
    assert_disk(4, 5);
}

Test(blk_framing, takes_a_header_and_data_in_one_buffer, .init = set_up)
{
    memset(at(HEADER), 'w', 16 + SECTOR);
    *(struct virtio_blk_outhdr *)at(HEADER) =
        (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_OUT, .sector = 3};
    add_split(HEADER, 16 + SECTOR, 0, 16 + 100);
    add_status();
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_OK);
    assert_disk(3, 'w');
}

Test(blk_framing, reads_into_odd_pieces, .init = set_up)
{
    memset(at(DATA), UNTOUCHED, 2 * SECTOR + 1);
    add_header(VIRTIO_BLK_T_IN, 7);
    add_split(DATA, 2 * SECTOR, WRITE, 11);
    add_status();
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_OK);
    assert_filled(DATA, 8, SECTOR);
    assert_filled(DATA + SECTOR, 9, SECTOR);
    assert_filled(DATA + 2 * SECTOR, UNTOUCHED, 1);
    cr_assert_eq(used_bytes(), 2 * SECTOR + 1);
}

Test(blk_framing, puts_the_status_in_the_last_byte_of_a_larger_buffer,
     .init = set_up)
{
    memset(at(DATA), UNTOUCHED, SECTOR + 2);
    add_header(VIRTIO_BLK_T_IN, 7);
    add(DATA, SECTOR + 1, WRITE);
    submit(0);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_bytes(), SECTOR + 1);
    assert_filled(DATA, 8, SECTOR);
    assert_filled(DATA + SECTOR, VIRTIO_BLK_S_OK, 1);
    assert_filled(DATA + SECTOR + 1, UNTOUCHED, 1);
}

Test(blk_framing, splits_data_and_status_anywhere, .init = set_up)
{
    memset(at(DATA), UNTOUCHED, SECTOR + 1);
    add_header(VIRTIO_BLK_T_IN, 7);
    add(DATA, 100, WRITE);
    add(DATA + 100, SECTOR + 1 - 100, WRITE);
    submit(0);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    assert_filled(DATA, 8, SECTOR);
    assert_filled(DATA + SECTOR, VIRTIO_BLK_S_OK, 1);
}

Test(blk_framing, passes_over_empty_buffers, .init = set_up)
{
    add(0, 0, 0);
    add_header(VIRTIO_BLK_T_IN, 7);
    add(0, 0, 0);
    add(0, 0, WRITE);
    add(DATA, SECTOR, WRITE);
    add_status();
    add(0, 0, WRITE);
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_OK);
    assert_filled(DATA, 8, SECTOR);
    cr_assert_eq(used_bytes(), SECTOR + 1);
}

Test(blk_framing, takes_a_table_of_ranges_in_single_bytes, .init = set_up)
{
    add_header(VIRTIO_BLK_T_WRITE_ZEROES, 0);
    set_range(0, 3, 1, 0);
    set_range(1, 5, 2, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
    add_split(DATA, 32, 0, 1);
    add_status();
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_OK);
    assert_disk(3, 0);
    assert_disk(4, 5);
    assert_disk(5, 0);
    assert_disk(6, 0);
    assert_disk(7, 8);
}

Test(blk_framing, wants_16_bytes_of_header, .init = set_up)
{
    add_header(VIRTIO_BLK_T_FLUSH, 0);
    add_status();
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_OK);
    desc(0)->len = 15;
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_IOERR);
    cr_assert_eq(used_bytes(), 1);
    desc(0)->len = 0;
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_IOERR);
}

Test(blk_framing, answers_a_chain_of_nothing_but_a_status, .init = set_up)
{
    add_status();
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_IOERR);
}

static void assert_stopped(void)
{
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 0);
    cr_assert(blk.dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
    cr_assert_eq(event_read(&events), 1 << 3);
    cr_assert_eq(lines, 1);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    vdev_set_status(&blk.dev, 0);
    bring_up(blk.dev.offered);
    cr_assert_eq(read_sectors(0, SECTOR), VIRTIO_BLK_S_OK);
}

Test(blk_framing, needs_a_reset_after_a_chain_without_a_status, .init = set_up)
{
    add_header(VIRTIO_BLK_T_FLUSH, 0);
    submit(0);
    assert_stopped();
}

Test(blk_framing, needs_a_reset_after_a_status_of_no_bytes, .init = set_up)
{
    add_header(VIRTIO_BLK_T_FLUSH, 0);
    add(STATUS, 0, WRITE);
    submit(0);
    assert_stopped();
}

Test(blk_framing, needs_a_reset_after_a_buffer_outside_memory, .init = set_up)
{
    add_header(VIRTIO_BLK_T_IN, 0);
    add(RAM_BASE + RAM_BYTES - SECTOR + 1, SECTOR, WRITE);
    add_status();
    submit(0);
    assert_stopped();
}

/* size_max is what the device asks for, not what it can do (5.2.6.1). */
Test(blk_framing, takes_segments_larger_than_size_max)
{
    disk = memfd_create("disk", 0);
    cr_assert_eq(ftruncate(disk, 4 << 20), 0);
    start((struct blk_options){.id = NULL});
    cr_assert_eq(read_sectors(0, BLK_SEGMENT_MAX), VIRTIO_BLK_S_OK);
    cr_assert_eq(read_sectors(0, BLK_SEGMENT_MAX + SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(used_bytes(), BLK_SEGMENT_MAX + SECTOR + 1);
    cr_assert_eq(read_sectors(0, 2 * BLK_SEGMENT_MAX), VIRTIO_BLK_S_OK);
}

/* seg_max is all that a chain can have beside header and status (2.7.5.3.1). */
Test(blk_framing, takes_seg_max_segments_and_no_more)
{
    make_disk(SECTORS);
    start((struct blk_options){.queue_size = 16});
    cr_assert_eq(blk.config.seg_max, 14);
    add_header(VIRTIO_BLK_T_IN, 0);
    for (unsigned i = 0; i < 14; i++)
        add(DATA + i * SECTOR, SECTOR, WRITE);
    add_status();
    cr_assert_eq(serve_chain(0), VIRTIO_BLK_S_OK);
    cr_assert_eq(used_bytes(), 14 * SECTOR + 1);

    /* One more only fits an indirect table, and is one too many there too. */
    next_desc = 32;
    add_header(VIRTIO_BLK_T_IN, 0);
    for (unsigned i = 0; i < 15; i++)
        add(DATA + i * SECTOR, SECTOR, WRITE);
    add_status();
    for (unsigned i = 0; i < 17; i++)
        desc(32 + i)->next = (uint16_t)(i + 1);
    desc(48)->flags = WRITE;
    *desc(0) = (struct vring_desc){DESC + 32 * sizeof(struct vring_desc),
                                   17 * sizeof(struct vring_desc),
                                   VRING_DESC_F_INDIRECT, 0};
    next_desc = 1;
    submit(0);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 1);
    cr_assert(blk.dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* ---- A request that takes more than one serve --------------------------- */

#define MIB (UINT64_C(1) << 20)

/* A 32 MiB disk whose byte n is part of n / 4, and a 20 MiB request. */
static void set_up_large(void)
{
    static uint32_t words[MIB / 4];

    disk = memfd_create("disk", 0);
    for (uint32_t i = 0; i < 32; i++) {
        for (uint32_t w = 0; w < ARRAY_SIZE(words); w++)
            words[w] = i * (uint32_t)ARRAY_SIZE(words) + w;
        cr_assert_eq(write(disk, words, MIB), (ssize_t)MIB);
    }
    start((struct blk_options){.id = NULL});
}

/* Sixteen buffers of 1.25 MiB, all the same memory: the last one is seen. */
#define PIECE (5 * MIB / 4)

static void submit_large(uint32_t type, unsigned flags)
{
    unsigned head = next_desc;

    add_header(type, 100);
    for (unsigned i = 0; i < 16; i++)
        add(DATA, PIECE, flags);
    add_status();
    submit(head);
}

Test(blk_serve, goes_on_with_a_read_after_16_MiB, .init = set_up_large)
{
    const uint32_t *words = at(DATA);

    submit_large(VIRTIO_BLK_T_IN, WRITE);
    cr_assert_eq(vdev_serve(&blk.dev), -EINTR);
    cr_assert_eq(used_count(), 0);
    cr_assert_eq(status(), UNTOUCHED);
    cr_assert_eq(blk.read_bytes, 16 * MIB);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 1);
    cr_assert_eq(used_bytes(), 20 * MIB + 1);
    for (uint32_t i = 0; i < PIECE / 4; i++)
        cr_assert_eq(words[i], (100 * SECTOR + 15 * PIECE) / 4 + i);
}

Test(blk_serve, goes_on_with_a_write_after_16_MiB, .init = set_up_large)
{
    uint32_t *words = at(DATA), word[2];

    for (uint32_t i = 0; i < PIECE / 4; i++)
        words[i] = ~i;
    submit_large(VIRTIO_BLK_T_OUT, 0);
    cr_assert_eq(vdev_serve(&blk.dev), -EINTR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(status(), VIRTIO_BLK_S_OK);
    for (uint32_t i = 0; i < 20 * MIB / 4; i += 1023) {
        cr_assert_eq(pread(disk, word, 4, 100 * SECTOR + 4 * (off_t)i), 4);
        cr_assert_eq(word[0], ~(i % (uint32_t)(PIECE / 4)));
    }
    cr_assert_eq(pread(disk, word, 4, 100 * SECTOR - 4), 4);
    cr_assert_eq(word[0], 100 * SECTOR / 4 - 1);
    cr_assert_eq(pread(disk, word, 4, 100 * SECTOR + 20 * MIB), 4);
    cr_assert_eq(word[0], (100 * SECTOR + 20 * MIB) / 4);
}

Test(blk_serve, goes_on_with_zeroes_after_16_MiB, .init = set_up_large)
{
    uint32_t word;

    add_header(VIRTIO_BLK_T_WRITE_ZEROES, 0);
    set_range(0, 1, 1, 0);
    set_range(1, 100, 20 * MIB / SECTOR, 0);
    add(DATA, 32, 0);
    add_status();
    submit(0);
    cr_assert_eq(vdev_serve(&blk.dev), -EINTR);
    memset(at(DATA), 0xff, 32); /* too late */
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(status(), VIRTIO_BLK_S_OK);
    for (off_t i = 0; i < (off_t)(20 * MIB); i += 4092) {
        cr_assert_eq(pread(disk, &word, 4, 100 * SECTOR + i), 4);
        cr_assert_eq(word, 0);
    }
    cr_assert_eq(pread(disk, &word, 4, 100 * SECTOR + 20 * MIB), 4);
    cr_assert_eq(word, (100 * SECTOR + 20 * MIB) / 4);
}

Test(blk_serve, forgets_a_request_at_reset, .init = set_up_large)
{
    submit_large(VIRTIO_BLK_T_IN, WRITE);
    cr_assert_eq(vdev_serve(&blk.dev), -EINTR);
    vdev_set_status(&blk.dev, 0);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    bring_up(blk.dev.offered);
    cr_assert_eq(status(), UNTOUCHED);
    cr_assert_eq(used_count(), 0);
    cr_assert_eq(read_sectors(0, SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(blk.requests, 1);
}
