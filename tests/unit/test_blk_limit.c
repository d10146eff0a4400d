/* SPDX-License-Identifier: MIT */
/* The block device with a rate limit, and with somebody who polls it. */
#include "tests/unit/blk_driver.h"

#define NS_PER_S UINT64_C(1000000000)

/* The limit's clock stands still: it has seen a later time than now. */
static void stop_clock(void)
{
    blk.rate.filled_ns = os_now_ns() + 3600 * NS_PER_S;
}

/* `ns` nanoseconds later the device is served, as it asked for. */
static void serve_after(uint64_t ns)
{
    blk.rate.filled_ns = os_now_ns() - ns;
    blk.dev.wake_ns = 0;
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    stop_clock();
}

static void start_limited(uint64_t ops, uint64_t bytes)
{
    make_disk(SECTORS);
    start((struct blk_options){.rate = {ops, bytes}});
    stop_clock();
}

static void submit_read(uint32_t bytes)
{
    unsigned head = next_desc;

    add_header(VIRTIO_BLK_T_IN, 0);
    add(DATA, bytes, WRITE);
    add_status();
    submit(head);
}

static uint16_t avail_event(void)
{
    struct vring_used *used = at(USED);

    return *(uint16_t *)&used->ring[blk.dev.queues[0].size];
}

Test(blk_limit, lets_a_burst_pass_and_then_waits)
{
    start_limited(50, 0);
    for (unsigned i = 0; i < 8; i++)
        submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 5);
    cr_assert_eq(blk.requests, 5);
    cr_assert_eq(blk.delayed, 1);
    cr_assert_eq(blk.dev.wake_ns, blk.rate.filled_ns + NS_PER_S / 50);
    serve_after(2 * NS_PER_S / 50);
    cr_assert_eq(used_count(), 7);
    serve_after(NS_PER_S / 50);
    cr_assert_eq(used_count(), 8);
    cr_assert_eq(blk.dev.wake_ns, VDEV_NEVER);
    cr_assert_eq(blk.delayed, 2);
}

Test(blk_limit, does_not_look_before_the_time_has_come)
{
    unsigned long calls;

    start_limited(1, 0);
    submit_read(SECTOR);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    calls = os_calls;
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(vdev_serve(&blk.dev), 0, "no -EINTR: nobody spins");
    cr_assert_eq(used_count(), 1);
    cr_assert_eq(blk.delayed, 1);
    cr_assert_eq(os_calls, calls);
}

Test(blk_limit, asks_for_no_kick_while_it_waits)
{
    start_limited(10, 0);
    cr_assert_eq(avail_event(), 0);
    submit_read(SECTOR);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(avail_event(), 1 + 0x8000, "as far as can be");
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(avail_event(), 1 + 0x8000);
    serve_after(NS_PER_S);
    cr_assert_eq(used_count(), 2);
    serve_after(NS_PER_S);
    cr_assert_eq(used_count(), 3);
    cr_assert_eq(avail_event(), 3, "idle: the next request kicks");
}

Test(blk_limit, asks_for_no_kick_without_event_idx)
{
    struct vring_used *used = at(USED);
    struct blk_options options = {.rate = {.ops = 1}};

    make_disk(SECTORS);
    options.fd = disk;
    cr_assert_eq(blk_init(&blk, &options), 0);
    bring_up(blk.dev.offered & ~(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX));
    stop_clock();
    submit_read(SECTOR);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used->flags, VRING_USED_F_NO_NOTIFY);
    serve_after(NS_PER_S);
    cr_assert_eq(used_count(), 2);
    cr_assert_eq(used->flags, 0);
}

Test(blk_limit, counts_the_bytes_of_data)
{
    start_limited(0, 10 * 3 * SECTOR);
    submit_read(2 * SECTOR);
    submit_read(SECTOR);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 2, "neither header nor status counts");
    cr_assert_eq(blk.dev.wake_ns, blk.rate.filled_ns + NS_PER_S / 30 + 1);
}

Test(blk_limit, counts_what_is_written)
{
    start_limited(0, 10 * SECTOR);
    cr_assert_eq(write_sectors(1, SECTOR), VIRTIO_BLK_S_OK);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 1);
    cr_assert_eq(blk.dev.wake_ns, blk.rate.filled_ns + NS_PER_S / 10);
}

Test(blk_limit, lets_a_request_larger_than_the_burst_pass_whole)
{
    start_limited(0, 10 * SECTOR);
    cr_assert_eq(read_sectors(0, 32 * SECTOR), VIRTIO_BLK_S_OK);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 1);
    cr_assert_eq(blk.dev.wake_ns, blk.rate.filled_ns + 32 * NS_PER_S / 10);
}

/* tmpfs has no ZERO_RANGE: 64 sectors, beside the 16 bytes of the range. */
Test(blk_limit, counts_zeroes_that_had_to_be_written)
{
    start_limited(0, 10 * SECTOR);
    cr_assert_eq(erase(VIRTIO_BLK_T_WRITE_ZEROES, 0, SECTORS, 0),
                 VIRTIO_BLK_S_OK);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(blk.dev.wake_ns - blk.rate.filled_ns,
                 ((SECTORS * SECTOR + 16) * NS_PER_S + 10 * SECTOR - 1) /
                     (10 * SECTOR));
}

Test(blk_limit, counts_what_it_refuses)
{
    start_limited(10, 0);
    cr_assert_eq(read_sectors(SECTORS, SECTOR), VIRTIO_BLK_S_IOERR);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 1);
}

Test(blk_limit, is_not_lifted_by_a_reset)
{
    start_limited(1, 0);
    submit_read(SECTOR);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    vdev_set_status(&blk.dev, 0);
    cr_assert_eq(blk.dev.wake_ns, VDEV_NEVER, "there is nothing to do");
    bring_up(blk.dev.offered);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 0);
    cr_assert_eq(blk.dev.wake_ns, blk.rate.filled_ns + NS_PER_S);
}

Test(blk_limit, finishes_what_is_begun)
{
    make_disk(SECTORS);
    cr_assert_eq(ftruncate(disk, 32 << 20), 0);
    start((struct blk_options){.rate = {.bytes = 1}});
    stop_clock();
    add_header(VIRTIO_BLK_T_IN, 0);
    for (unsigned i = 0; i < 20; i++)
        add(DATA, 1 << 20, WRITE);
    add_status();
    submit(0);
    cr_assert_eq(vdev_serve(&blk.dev), -EINTR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 1);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 1);
}

/* The request waits in the ring: what is broken about it is found later. */
Test(blk_limit, is_no_shelter_for_a_corrupt_ring)
{
    start_limited(1, 0);
    submit_read(SECTOR);
    submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    desc(next_desc - 2)->addr = RAM_BASE + RAM_BYTES;
    serve_after(NS_PER_S);
    cr_assert(blk.dev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
    cr_assert_eq(blk.dev.wake_ns, VDEV_NEVER);
}

/* ---- What is shown meanwhile --------------------------------------------- */

Test(blk_show, much_data_is_shown_before_the_end_of_a_serve, .init = set_up)
{
    for (unsigned i = 0; i < 5; i++)
        submit_read(16 << 10);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 5);
    cr_assert_eq(blk.dev.queues[0].stats.batches, 2, "after 4, and at the end");
    cr_assert_eq(blk.dev.queues[0].stats.batch_max, 4);
}

Test(blk_show, little_data_is_shown_at_the_end, .init = set_up)
{
    for (unsigned i = 0; i < 5; i++)
        submit_read(SECTOR);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(blk.dev.queues[0].stats.batches, 1);
}

/* ---- Polling ------------------------------------------------------------ */

Test(blk_polled, asks_for_no_kick_and_finds_what_comes, .init = set_up)
{
    vdev_poll(&blk.dev, true);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(avail_event(), 0x8000, "as far as can be");
    for (unsigned i = 0; i < 300; i++)
        cr_assert_eq(read_sectors(i % SECTORS, SECTOR), VIRTIO_BLK_S_OK);
    cr_assert_eq(avail_event(), 300 + 0x8000);
    vdev_poll(&blk.dev, false);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(avail_event(), 300);
}

Test(blk_polled, serves_what_came_before_it_asks_for_kicks, .init = set_up)
{
    vdev_poll(&blk.dev, true);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    submit_read(SECTOR);
    vdev_poll(&blk.dev, false);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), 1);
    cr_assert_eq(avail_event(), 1);
}
