/* SPDX-License-Identifier: MIT */
/* The network device receives: room, merged buffers, headers, errors. */
#include "tests/unit/net_driver.h"

#define HEADER NET_HEADER_BYTES

static void assert_body(uint64_t address, size_t from, size_t to)
{
    const uint8_t *data = at(address);

    for (size_t i = from; i < to; i++)
        cr_assert_eq(data[i - from], frame_byte(i), "byte %zu", i);
}

static void assert_untouched(uint64_t address, size_t bytes)
{
    const uint8_t *data = at(address);

    for (size_t i = 0; i < bytes; i++)
        cr_assert_eq(data[i], UNTOUCHED, "byte %zu", i);
}

/* ---- One frame ---------------------------------------------------------- */

Test(net_rx, puts_a_frame_behind_its_header, .init = set_up)
{
    uint64_t address = post_rx(0, 2048);
    net_header *header = rx_header(address);

    arrive(100);
    serve();
    cr_assert_eq(used_count(NET_RX), 1);
    cr_assert_eq(used_elem(NET_RX, 0).len, HEADER + 100);
    cr_assert_eq(header->num_buffers, 1);
    cr_assert_eq(header->hdr.flags, 0);
    cr_assert_eq(header->hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
    cr_assert_eq(memcmp(at(address + HEADER), our_mac, ETH_ALEN), 0);
    assert_body(address + HEADER + ETH_ALEN, ETH_ALEN, 100);
    assert_untouched(address + HEADER + 100, 2048 - HEADER - 100);
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(net.stats.rx_bytes, 100);
}

Test(net_rx, costs_one_call_a_frame_and_one_more, .init = set_up)
{
    post_rx_many(8);
    for (unsigned i = 0; i < 5; i++)
        arrive(60);
    serve();
    cr_assert_eq(net.stats.rx_frames, 5);
    cr_assert_eq(net_link.receive_calls, 6);
}

Test(net_rx, writes_the_header_over_pieces_of_one_byte, .init = set_up)
{
    unsigned head = next_desc[NET_RX];

    memset(at(RX_DATA), UNTOUCHED, 4096);
    for (unsigned i = 0; i < 30; i++)
        add(NET_RX, RX_DATA + i, 1, WRITE);
    add(NET_RX, RX_DATA + 30, 2000, WRITE);
    submit(NET_RX, head);
    arrive(64);
    serve();
    cr_assert_eq(used_elem(NET_RX, 0).len, HEADER + 64);
    cr_assert_eq(rx_header(RX_DATA)->num_buffers, 1);
    cr_assert_eq(memcmp(at(RX_DATA + HEADER), our_mac, ETH_ALEN), 0);
    assert_body(RX_DATA + HEADER + ETH_ALEN, ETH_ALEN, 64);
}

Test(net_rx, never_writes_to_a_readable_buffer, .init = set_up)
{
    unsigned head = next_desc[NET_RX];

    memset(at(RX_DATA), UNTOUCHED, 8192);
    add(NET_RX, RX_DATA, 2048, 0);
    add(NET_RX, RX_DATA + 4096, 2048, WRITE);
    submit(NET_RX, head);
    arrive(100);
    serve();
    assert_untouched(RX_DATA, 2048);
    cr_assert_eq(rx_header(RX_DATA + 4096)->num_buffers, 1);
    assert_body(RX_DATA + 4096 + HEADER + 6, 6, 100);
}

/* ---- Merged buffers ----------------------------------------------------- */

Test(net_rx_merged, spreads_a_frame_over_full_buffers, .init = set_up)
{
    for (unsigned i = 0; i < 16; i++)
        (void)post_rx(i, 100);
    arrive(250);
    serve();
    cr_assert_eq(used_count(NET_RX), 3, "262 bytes");
    cr_assert_eq(rx_header(RX_DATA)->num_buffers, 3);
    cr_assert_eq(used_elem(NET_RX, 0).len, 100);
    cr_assert_eq(used_elem(NET_RX, 1).len, 100);
    cr_assert_eq(used_elem(NET_RX, 2).len, 62);
    assert_body(RX_DATA + HEADER + 6, 6, 88);
    assert_body(RX_DATA + 0x800, 88, 188);
    assert_body(RX_DATA + 0x1000, 188, 250);
    assert_untouched(RX_DATA + 0x1000 + 62, 38);
    assert_untouched(RX_DATA + 0x1800, 100);
}

Test(net_rx_merged, fills_a_last_buffer_exactly, .init = set_up)
{
    for (unsigned i = 0; i < 20; i++)
        (void)post_rx(i, 100);
    arrive(188);
    arrive(189);
    serve();
    cr_assert_eq(rx_header(RX_DATA)->num_buffers, 2);
    cr_assert_eq(rx_header(RX_DATA + 0x1000)->num_buffers, 3);
    cr_assert_eq(used_count(NET_RX), 5);
    cr_assert_eq(used_elem(NET_RX, 4).len, 1);
}

Test(net_rx_merged, spreads_the_ethernet_header_too, .init = set_up)
{
    for (unsigned i = 0; i < 140; i++)
        (void)post_rx(i, 12);
    arrive(60);
    serve();
    cr_assert_eq(rx_header(RX_DATA)->num_buffers, 6);
    cr_assert_eq(memcmp(at(RX_DATA + 0x800), our_mac, ETH_ALEN), 0);
    assert_body(RX_DATA + 0x800 + 6, 6, 12);
    assert_body(RX_DATA + 0x1000, 12, 24);
}

Test(net_rx_merged, keeps_buffers_for_the_next_frame, .init = set_up)
{
    post_rx_many(3);
    arrive(60);
    serve();
    cr_assert_eq(net.rx.count, 1, "popped ahead");
    arrive(60);
    arrive(60);
    arrive(60);
    serve();
    cr_assert_eq(used_count(NET_RX), 3);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(used_elem(NET_RX, i).id, i);
    cr_assert_eq(net.rx.count, 0);
}

Test(net_rx_merged, wants_room_for_the_largest_frame, .init = set_up)
{
    arrive(60);
    (void)post_rx(0, 1529); /* 12 + 14 + 4 + 1500 are 1530 */
    serve();
    cr_assert_eq(net_link.receive_calls, 0);
    (void)post_rx(1, 12);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
}

Test(net_rx_merged, wants_more_room_with_segmentation, .init = set_up_large)
{
    arrive(60);
    for (unsigned i = 0; i < 32; i++)
        (void)post_rx(i, 2048);
    serve();
    cr_assert_eq(net_link.receive_calls, 0, "32 * 2048 is less than 65562");
    (void)post_rx(32, 26);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(net_link.receive_room, 65550 + 1);
}

Test(net_rx_merged, reads_when_the_ring_can_hold_no_more)
{
    start_with((struct net_options){.queue_size = 4}, ALL_OFFLOADS);
    bring_up(net.dev.offered);
    arrive(60);
    (void)post_rx(0, 100);
    (void)post_rx(1, 100);
    (void)post_rx(2, 100);
    serve();
    cr_assert_eq(net_link.receive_calls, 0);
    (void)post_rx(3, 100);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
}

Test(net_rx_merged, takes_a_segmented_frame_of_65550_bytes,
     .init = set_up_large)
{
    struct link_frame *frame = arrive(65550);

    frame->header.hdr = (struct virtio_net_hdr){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
        .gso_size = 1448,
        .hdr_len = 54,
        .csum_start = 34,
        .csum_offset = 16,
    };
    post_rx_many(40);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(rx_header(RX_DATA)->num_buffers, 33);
    cr_assert_eq(used_count(NET_RX), 33);
    cr_assert_eq(used_elem(NET_RX, 32).len, 65562 - 32 * 2048);
    cr_assert_eq(rx_header(RX_DATA)->hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    cr_assert_eq(rx_header(RX_DATA)->hdr.gso_size, 1448);
    cr_assert_eq(rx_header(RX_DATA)->hdr.csum_offset, 16);
    cr_assert_eq(rx_header(RX_DATA)->hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

/* ---- Without merged buffers --------------------------------------------- */

Test(net_rx_unmerged, uses_one_buffer, .init = set_up_unmerged)
{
    (void)post_rx(0, 1526);
    (void)post_rx(1, 1526);
    arrive(1514);
    serve();
    cr_assert_eq(used_count(NET_RX), 1);
    cr_assert_eq(used_elem(NET_RX, 0).len, 1526);
    cr_assert_eq(rx_header(RX_DATA)->num_buffers, 1);
}

Test(net_rx_unmerged, drops_a_frame_that_does_not_fit, .init = set_up_unmerged)
{
    (void)post_rx(0, 112);
    (void)post_rx(1, 112);
    arrive(101);
    arrive(100);
    serve();
    cr_assert_eq(net.stats.rx_dropped, 1);
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(used_count(NET_RX), 1);
    cr_assert_eq(used_elem(NET_RX, 0).id, 0, "the same buffer");
    cr_assert_eq(used_elem(NET_RX, 0).len, 112);
}

Test(net_rx_unmerged, drops_all_that_a_tiny_buffer_cannot_hold,
     .init = set_up_unmerged)
{
    (void)post_rx(0, 12);
    arrive(14);
    arrive(60);
    serve();
    cr_assert_eq(net.stats.rx_dropped, 2);
    cr_assert_eq(used_count(NET_RX), 0);
    cr_assert(vdev_is_live(&net.dev));
}

/* ---- What the driver does not get --------------------------------------- */

Test(net_rx, passes_frames_up_to_the_mtu, .init = set_up)
{
    post_rx_many(4);
    arrive(1514);
    arrive(1515);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(net.stats.rx_dropped, 1);
}

Test(net_rx, passes_tagged_frames_of_4_bytes_more, .init = set_up)
{
    static const uint8_t tag[] = {0x81, 0x00};

    post_rx_many(4);
    memcpy(arrive(1518)->data + 12, tag, sizeof(tag));
    memcpy(arrive(1519)->data + 12, tag, sizeof(tag));
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(net.stats.rx_dropped, 1);
}

Test(net_rx, passes_1514_bytes_to_a_driver_that_knows_no_mtu)
{
    start_with((struct net_options){.mtu = 9000}, 0);
    bring_up(net.dev.offered & ~(FEATURE(MTU) | FEATURE(CTRL_RX)));
    post_rx_many(16);
    arrive(1514);
    arrive(1515);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    bring_up(net.dev.offered & ~FEATURE(CTRL_RX));
    post_rx_many(16);
    arrive(9014);
    arrive(9015);
    serve();
    cr_assert_eq(net.stats.rx_frames, 2);
    cr_assert_eq(net.stats.rx_dropped, 2);
}

Test(net_rx, drops_what_is_no_ethernet_frame, .init = set_up)
{
    post_rx_many(4);
    arrive(0);
    arrive(13);
    arrive(14);
    serve();
    cr_assert_eq(net.stats.rx_dropped, 2);
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(used_elem(NET_RX, 0).id, 0);
}

/* Serves one frame with this header. Returns whether the driver got it. */
static bool gets(struct virtio_net_hdr hdr)
{
    uint64_t before = net.stats.rx_frames;

    arrive(1000)->header.hdr = hdr;
    serve();
    return net.stats.rx_frames > before;
}

Test(net_rx_header, of_segments_needs_what_was_negotiated)
{
    struct virtio_net_hdr v4 = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                .gso_size = 500};
    struct virtio_net_hdr v6 = v4, bad = v4;

    v6.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
    start(FEATURE(CTRL_RX) | FEATURE(GUEST_TSO6));
    post_rx_many(64);
    cr_assert(gets(v4));
    cr_assert_not(gets(v6));
    bad.gso_size = 0;
    cr_assert_not(gets(bad));
    bad = v4;
    bad.flags = 0;
    cr_assert_not(gets(bad));
    bad = v4;
    bad.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
    cr_assert_not(gets(bad));
    bad.gso_type = VIRTIO_NET_HDR_GSO_UDP;
    cr_assert_not(gets(bad));
    start(FEATURE(CTRL_RX) | FEATURE(GUEST_TSO4));
    post_rx_many(64);
    cr_assert_not(gets(v4));
    cr_assert(gets(v6));
    cr_assert_eq(net.stats.rx_dropped, 1);
}

Test(net_rx_header, has_no_flags_without_guest_csum)
{
    start(FEATURE(CTRL_RX) | TSO_RX | FEATURE(GUEST_CSUM));
    post_rx_many(8);
    cr_assert(
        gets((struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_DATA_VALID}));
    cr_assert_eq(rx_header(RX_DATA)->hdr.flags, 0);
    cr_assert_not(
        gets((struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM}));
}

Test(net_rx_header, has_known_flags_with_guest_csum)
{
    start(FEATURE(CTRL_RX) | TSO_RX);
    post_rx_many(8);
    cr_assert(gets((struct virtio_net_hdr){.flags = 0xfe, .csum_start = 9}));
    cr_assert_eq(rx_header(RX_DATA)->hdr.flags, VIRTIO_NET_HDR_F_DATA_VALID);
    cr_assert_eq(rx_header(RX_DATA)->hdr.csum_start, 0);
    cr_assert(gets((struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                           .csum_start = 9}));
    cr_assert_eq(rx_header(RX_DATA + 0x800)->hdr.flags,
                 VIRTIO_NET_HDR_F_NEEDS_CSUM);
    cr_assert_eq(rx_header(RX_DATA + 0x800)->hdr.csum_start, 9);
}

/* ---- Waiting ------------------------------------------------------------ */

static bool wants_input(void)
{
    struct pollfd file;

    vdev_want(&net.dev, &file);
    cr_assert(file.fd == -1 || (file.fd == 77 && file.events == POLLIN));
    return file.fd != -1;
}

Test(net_rx_wait, reads_nothing_and_wants_nothing_without_buffers,
     .init = set_up)
{
    arrive(60);
    serve();
    cr_assert_eq(net_link.receive_calls, 0);
    cr_assert_not(wants_input());
    cr_assert(kicks_next(NET_RX), "the next buffer is news");
}

Test(net_rx_wait, wants_input_and_no_kicks_with_buffers, .init = set_up)
{
    post_rx_many(2);
    serve();
    cr_assert(wants_input());
    cr_assert_not(kicks_next(NET_RX));
    arrive(60);
    cr_assert_eq(vdev_ready(&net.dev), 0);
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert(wants_input());
    arrive(60);
    arrive(60);
    cr_assert_eq(vdev_ready(&net.dev), 0);
    cr_assert_eq(net.stats.rx_frames, 2);
    cr_assert_not(wants_input());
    cr_assert(kicks_next(NET_RX));
    cr_assert_eq(net.stats.rx_starved, 1);
    post_rx_many(1);
    serve();
    cr_assert_eq(net.stats.rx_frames, 3, "none was lost");
}

Test(net_rx_wait, wants_no_kicks_with_buffers_by_the_flag_too)
{
    const struct vring_used *used = at(USED(NET_RX));

    start(TSO_RX | FEATURE(CTRL_RX) | EVENT_IDX);
    cr_assert_eq(used->flags, 0);
    post_rx_many(1);
    serve();
    cr_assert_eq(used->flags, VRING_USED_F_NO_NOTIFY);
    arrive(60);
    serve();
    cr_assert_eq(used->flags, 0);
}

Test(net_rx_wait, wants_no_kicks_while_somebody_polls, .init = set_up)
{
    vdev_poll(&net.dev, true);
    serve();
    cr_assert_not(kicks_next(NET_RX));
    cr_assert_not(kicks_next(NET_TX));
    cr_assert_not(kicks_next(NET_CTRL));
    vdev_poll(&net.dev, false);
    serve();
    cr_assert(kicks_next(NET_RX));
    cr_assert(kicks_next(NET_TX));
    cr_assert(kicks_next(NET_CTRL));
}

Test(net_rx_wait, ends_a_serve_after_256_frames)
{
    start_with((struct net_options){.queue_size = 512}, 0);
    bring_up(net.dev.offered & ~FEATURE(CTRL_RX));
    for (unsigned i = 0; i < 300; i++) {
        arrive(60);
        (void)post_rx(i, 2048);
    }
    cr_assert_eq(vdev_serve(&net.dev), -EINTR);
    cr_assert_eq(used_count(NET_RX), 256);
    serve();
    cr_assert_eq(used_count(NET_RX), 300);
}

Test(net_rx_wait, ends_a_serve_after_256_frames_that_are_dropped,
     .init = set_up)
{
    post_rx_many(1);
    for (unsigned i = 0; i < 300; i++)
        arrive(5);
    cr_assert_eq(vdev_serve(&net.dev), -EINTR);
    cr_assert_eq(net.stats.rx_dropped, 256);
}

Test(net_rx_wait, goes_on_after_a_signal, .init = set_up)
{
    post_rx_many(2);
    arrive(60);
    net_link.receive_error = -EINTR;
    cr_assert_eq(vdev_serve(&net.dev), -EINTR);
    net_link.receive_error = 0;
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(net.stats.rx_errors, 0);
}

/* ---- Hostile drivers ---------------------------------------------------- */

static void post_indirect(uint64_t table, unsigned count)
{
    unsigned head = next_desc[NET_RX];

    post(NET_RX, table, count * sizeof(struct vring_desc),
         VRING_DESC_F_INDIRECT);
    desc(NET_RX, head)->flags = VRING_DESC_F_INDIRECT;
}

Test(net_rx_hostile, a_buffer_without_room_for_a_header_stops_the_device,
     .init = set_up)
{
    (void)post_rx(0, 12);
    serve();
    cr_assert(vdev_is_live(&net.dev));
    (void)post_rx(1, 11);
    serve();
    cr_assert_not(vdev_is_live(&net.dev));
    cr_assert_eq(lines, 1);
}

Test(net_rx_hostile, a_corrupt_ring_stops_the_device, .init = set_up)
{
    ((struct vring_avail *)at(AVAIL(NET_RX)))->idx = 1000;
    serve();
    cr_assert_not(vdev_is_live(&net.dev));
}

Test(net_rx_hostile, chains_of_many_pieces_are_held_as_far_as_they_go)
{
    start_with((struct net_options){.queue_size = 512}, ALL_OFFLOADS);
    bring_up(net.dev.offered & ~FEATURE(CTRL_RX));
    /* Five chains of 256 pieces of one byte, each from the same table. */
    struct vring_desc *table = at(CTRL_DATA);
    for (unsigned i = 0; i < 256; i++)
        table[i] = (struct vring_desc){RX_DATA + i, 1, WRITE | NEXT,
                                       (uint16_t)(i + 1)};
    table[255].flags = WRITE;
    for (unsigned i = 0; i < 5; i++)
        post_indirect(CTRL_DATA, 256);
    arrive(60);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1, "no more can be held");
    cr_assert_eq(used_elem(NET_RX, 0).len, 72);
    arrive(700);
    serve();
    cr_assert_eq(net.stats.rx_frames, 2);
    cr_assert_eq(used_count(NET_RX), 4);
}
