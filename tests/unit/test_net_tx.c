/* SPDX-License-Identifier: MIT */
/* The network device transmits: headers, errors, waiting. */
#include "tests/unit/net_driver.h"

#define NEEDS_CSUM VIRTIO_NET_HDR_F_NEEDS_CSUM

/* ---- One frame ---------------------------------------------------------- */

Test(net_tx, sends_what_follows_the_header, .init = set_up)
{
    transmit(100);
    serve();
    cr_assert_eq(net_link.out_count, 1);
    cr_assert_eq(net_link.out.bytes, 100);
    for (size_t i = 0; i < 100; i++)
        cr_assert_eq(net_link.out.data[i], frame_byte(i));
    cr_assert_eq(used_count(NET_TX), 1);
    cr_assert_eq(used_elem(NET_TX, 0).len, 0);
    cr_assert_eq(net.stats.tx_frames, 1);
    cr_assert_eq(net.stats.tx_bytes, 100);
}

Test(net_tx, takes_a_frame_in_pieces_of_any_size, .init = set_up)
{
    unsigned head = next_desc[NET_TX];

    for (unsigned i = 0; i < 12 + 64; i++)
        ((uint8_t *)at(TX_DATA))[i] = i < 12 ? 0 : frame_byte(i - 12);
    for (unsigned i = 0; i < 20; i++)
        add(NET_TX, TX_DATA + i, 1, 0);
    add(NET_TX, TX_DATA + 20, 56, 0);
    submit(NET_TX, head);
    serve();
    cr_assert_eq(net_link.out.bytes, 64);
    for (size_t i = 0; i < 64; i++)
        cr_assert_eq(net_link.out.data[i], frame_byte(i));
}

Test(net_tx, ignores_what_it_could_write_to, .init = set_up)
{
    unsigned head = next_desc[NET_TX];

    memset(at(RX_DATA), UNTOUCHED, 64);
    memset(at(TX_DATA), 0, 100);
    add(NET_TX, TX_DATA, 72, 0);
    add(NET_TX, RX_DATA, 64, WRITE);
    submit(NET_TX, head);
    serve();
    cr_assert_eq(net_link.out.bytes, 60);
    cr_assert_eq(*(uint8_t *)at(RX_DATA), UNTOUCHED);
    cr_assert_eq(used_elem(NET_TX, 0).len, 0);
}

Test(net_tx, sends_frames_in_order, .init = set_up)
{
    for (unsigned i = 0; i < 40; i++)
        transmit(60);
    serve();
    cr_assert_eq(net_link.out_count, 40);
    for (unsigned i = 0; i < 40; i++)
        cr_assert_eq(used_elem(NET_TX, i).id, i);
}

/* ---- Lengths ------------------------------------------------------------ */

/* Transmits. Returns whether it was sent; if not, it was dropped. */
static bool sends(net_header header, uint64_t bytes)
{
    unsigned before = net_link.out_count;
    uint64_t dropped = net.stats.tx_dropped;

    transmit_with(header, bytes);
    serve();
    cr_assert_eq(used_count(NET_TX), next_desc[NET_TX]);
    cr_assert_eq(net_link.out_count - before + net.stats.tx_dropped - dropped,
                 1);
    return net_link.out_count > before;
}

Test(net_tx, sends_what_is_an_ethernet_frame, .init = set_up)
{
    net_header none = {.num_buffers = 0};

    cr_assert_not(sends(none, 0));
    cr_assert_not(sends(none, 13));
    cr_assert(sends(none, 14));
    cr_assert(sends(none, 1514));
    cr_assert(sends(none, 1518), "tagged");
    cr_assert_not(sends(none, 1519));
}

Test(net_tx, forwards_frames_up_to_the_mtu)
{
    net_header none = {.num_buffers = 0};

    start_with((struct net_options){.mtu = 9000}, 0);
    bring_up(net.dev.offered);
    cr_assert(sends(none, 9014));
    cr_assert_not(sends(none, 9019));
}

Test(net_tx, drops_what_has_no_whole_header, .init = set_up)
{
    post(NET_TX, TX_DATA, 11, 0);
    post(NET_TX, TX_DATA, 12, 0);
    post(NET_TX, RX_DATA, 100, WRITE);
    serve();
    cr_assert_eq(net.stats.tx_dropped, 3);
    cr_assert_eq(used_count(NET_TX), 3);
    cr_assert_eq(net_link.out_count, 0);
    cr_assert(vdev_is_live(&net.dev));
}

/* ---- Headers ------------------------------------------------------------ */

static net_header csum(uint16_t start, uint16_t offset)
{
    return (net_header){.hdr = {.flags = NEEDS_CSUM,
                                .csum_start = start,
                                .csum_offset = offset}};
}

static net_header tso(uint8_t type, uint16_t size)
{
    net_header header = csum(34, 16);

    header.hdr.gso_type = type;
    header.hdr.gso_size = size;
    header.hdr.hdr_len = 54;
    return header;
}

Test(net_tx_header, has_a_checksum_inside_the_frame, .init = set_up)
{
    cr_assert(sends(csum(34, 16), 52));
    cr_assert_eq(net_link.out.header.hdr.flags, NEEDS_CSUM);
    cr_assert_eq(net_link.out.header.hdr.csum_start, 34);
    cr_assert_eq(net_link.out.header.hdr.csum_offset, 16);
    cr_assert_not(sends(csum(34, 16), 51));
    cr_assert_not(sends(csum(65535, 65535), 1000));
}

Test(net_tx_header, needs_csum_only_if_negotiated)
{
    start(FEATURE(CSUM) | FEATURE(HOST_TSO4) | FEATURE(HOST_TSO6));
    cr_assert_not(sends(csum(34, 16), 100));
    cr_assert(sends(csum(0, 0), 100) == false);
    cr_assert(sends((net_header){.num_buffers = 7}, 100));
}

Test(net_tx_header, is_passed_on_without_what_is_not_asked_for, .init = set_up)
{
    net_header header;

    memset(&header, 0xff, sizeof(header));
    header.hdr.flags = (uint8_t)~NEEDS_CSUM;
    header.hdr.gso_type = VIRTIO_NET_HDR_GSO_NONE;
    cr_assert(sends(header, 100), "unknown flags are ignored");
    cr_assert_eq(net_link.out.header.hdr.flags, 0);
    cr_assert_eq(net_link.out.header.hdr.csum_start, 0);
    cr_assert_eq(net_link.out.header.hdr.csum_offset, 0);
    cr_assert_eq(net_link.out.header.hdr.gso_size, 0);
    cr_assert_eq(net_link.out.header.hdr.hdr_len, 0);
    cr_assert_eq(net_link.out.header.num_buffers, 0);
}

Test(net_tx_header, asks_for_segments_as_negotiated)
{
    start(FEATURE(HOST_TSO6));
    cr_assert(sends(tso(VIRTIO_NET_HDR_GSO_TCPV4, 1000), 9000));
    cr_assert_eq(net_link.out.header.hdr.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    cr_assert_eq(net_link.out.header.hdr.gso_size, 1000);
    cr_assert_eq(net_link.out.header.hdr.hdr_len, 54);
    cr_assert_not(sends(tso(VIRTIO_NET_HDR_GSO_TCPV6, 1000), 9000));
    start(FEATURE(HOST_TSO4));
    cr_assert_not(sends(tso(VIRTIO_NET_HDR_GSO_TCPV4, 1000), 9000));
    cr_assert(sends(tso(VIRTIO_NET_HDR_GSO_TCPV6, 1000), 9000));
}

Test(net_tx_header, asks_for_segments_that_make_sense, .init = set_up)
{
    net_header bad = tso(VIRTIO_NET_HDR_GSO_TCPV4, 1000);

    cr_assert_not(sends(tso(VIRTIO_NET_HDR_GSO_TCPV4, 0), 9000));
    cr_assert(sends(tso(VIRTIO_NET_HDR_GSO_TCPV4, 1), 9000));
    cr_assert_not(sends(tso(VIRTIO_NET_HDR_GSO_UDP, 1000), 9000));
    cr_assert_not(sends(tso(5, 1000), 9000));
    cr_assert_not(sends(
        tso(VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, 1000), 9000));
    bad.hdr.flags = 0;
    cr_assert_not(sends(bad, 9000), "without a checksum");
    cr_assert(sends(tso(VIRTIO_NET_HDR_GSO_TCPV4, 1000), 65550));
    cr_assert_not(sends(tso(VIRTIO_NET_HDR_GSO_TCPV4, 1000), 65551));
}

Test(net_tx_header, length_is_a_hint_that_ends_with_the_frame, .init = set_up)
{
    net_header header = tso(VIRTIO_NET_HDR_GSO_TCPV4, 1000);

    header.hdr.hdr_len = 2000;
    cr_assert(sends(header, 2000));
    cr_assert_eq(net_link.out.header.hdr.hdr_len, 2000);
    cr_assert(sends(header, 1999));
    cr_assert_eq(net_link.out.header.hdr.hdr_len, 1999);
}

/* ---- Waiting ------------------------------------------------------------ */

static short wanted_events(void)
{
    struct pollfd file;

    vdev_want(&net.dev, &file);
    return file.fd == 77 ? file.events : 0;
}

Test(net_tx_wait, keeps_a_frame_that_the_host_cannot_take, .init = set_up)
{
    net_link.send_error = -EAGAIN;
    transmit(60);
    transmit(61);
    serve();
    cr_assert_eq(used_count(NET_TX), 0);
    cr_assert_eq(wanted_events(), POLLOUT);
    cr_assert_not(kicks_next(NET_TX), "the host says when");
    net_link.send_error = 0;
    cr_assert_eq(vdev_ready(&net.dev), 0);
    cr_assert_eq(net_link.out_count, 2);
    cr_assert_eq(net_link.out.bytes, 61);
    cr_assert_eq(wanted_events(), 0);
    cr_assert(kicks_next(NET_TX));
    cr_assert_eq(net.stats.tx_stuck, 1);
    cr_assert_eq(net.stats.tx_dropped, 0);
}

Test(net_tx_wait, wants_no_kicks_while_it_is_stuck)
{
    const struct vring_used *used = at(USED(NET_TX));

    start(EVENT_IDX);
    cr_assert_eq(used->flags, 0);
    net_link.send_error = -EAGAIN;
    transmit(60);
    serve();
    cr_assert_eq(used->flags, VRING_USED_F_NO_NOTIFY);
    net_link.send_error = 0;
    serve();
    cr_assert_eq(used->flags, 0);
}

Test(net_tx_wait, loses_a_frame_that_the_host_refuses, .init = set_up)
{
    static const int refusals[] = {-EIO, -ENETDOWN, -EINVAL, -ENOBUFS};

    for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
        net_link.send_error = refusals[i];
        transmit(60);
        serve();
        cr_assert_eq(used_count(NET_TX), i + 1);
        cr_assert_eq(net.stats.tx_errors, i + 1);
    }
    cr_assert(vdev_is_live(&net.dev));
    cr_assert_eq(wanted_events(), 0);
    net_link.send_error = 0;
    transmit(60);
    serve();
    cr_assert_eq(net_link.out_count, 1);
}

Test(net_tx_wait, goes_on_after_a_signal, .init = set_up)
{
    net_link.send_error = -EINTR;
    transmit(60);
    cr_assert_eq(vdev_serve(&net.dev), -EINTR);
    cr_assert_eq(used_count(NET_TX), 0);
    net_link.send_error = 0;
    serve();
    cr_assert_eq(net_link.out_count, 1);
}

Test(net_tx_wait, ends_a_serve_after_256_frames)
{
    start_with((struct net_options){.queue_size = 512}, 0);
    bring_up(net.dev.offered);
    for (unsigned i = 0; i < 300; i++)
        transmit(60);
    cr_assert_eq(vdev_serve(&net.dev), -EINTR);
    cr_assert_eq(net_link.out_count, 256);
    serve();
    cr_assert_eq(net_link.out_count, 300);
}

Test(net_tx_hostile, a_corrupt_ring_stops_the_device, .init = set_up)
{
    transmit(60);
    ((struct vring_avail *)at(AVAIL(NET_TX)))->ring[1] = 999;
    ((struct vring_avail *)at(AVAIL(NET_TX)))->idx = 2;
    serve();
    cr_assert_not(vdev_is_live(&net.dev));
    cr_assert_eq(net_link.out_count, 1, "what came before is out");
    cr_assert_eq(used_count(NET_TX), 0, "a dead queue says nothing");
}
