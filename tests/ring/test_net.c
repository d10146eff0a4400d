/* SPDX-License-Identifier: MIT */
/* The guest's driver for network cards against the device: frames. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/ring/link.h"

TestSuite(net_ring, .timeout = 60);

static void set_up_offloads(void)
{
    start_with(0, 0, EVERYTHING);
}

/* ---- Opening ------------------------------------------------------------ */

Test(net_ring, has_no_card_without_a_device)
{
    struct nic_buffer *frame;

    vm_start(-1, -1, -1);
    cr_assert_eq(nic_count(), 0);
    cr_assert_eq(nic_open(0, &card), -ENODEV);
    cr_assert_eq(nic_open(UINT32_MAX, &card), -ENODEV);
    cr_assert_eq(nic_receive(0, &frame, 1, 0), -ENODEV);
    cr_assert_eq(nic_flush(0), -ENODEV);
    cr_assert_eq(nic_arm(0), -ENODEV);
    cr_assert_eq(nic_event(0), 0);
    cr_assert_eq(nic_set_promiscuous(0, true), -ENODEV);
}

Test(net_ring, tells_what_the_card_is_without_an_exit, .init = set_up_card)
{
    cr_assert_eq(nic_count(), 1);
    cr_assert_eq(memcmp(card.mac, card_mac, 6), 0);
    cr_assert_eq(card.mtu, 1500);
    cr_assert(card.link_up);
    cr_assert_eq(card.can,
                 NIC_CAN_PROMISCUOUS | NIC_CAN_SET_MAC | NIC_CAN_COALESCE);
    cr_assert_eq(card.buffers, 256);
    cr_assert_eq(card.buffer_bytes, 2048);
    cr_assert_eq(vm.kicks, 0);
    cr_assert_eq(vm.waits, 0);
    cr_assert_eq(nic_open(1, &card), -ENODEV);
}

Test(net_ring, tells_which_offloads_there_are, .init = set_up_offloads)
{
    cr_assert_eq(card.can & 0x3f, NIC_CAN_CHECKSUM_OUT | NIC_CAN_CHECKSUM_IN |
                                      NIC_CAN_TSO4_OUT | NIC_CAN_TSO6_OUT |
                                      NIC_CAN_TSO4_IN | NIC_CAN_TSO6_IN);
}

Test(net_ring, makes_up_an_address_where_the_card_has_none)
{
    start_with(NET_FEATURE(MAC) | NET_FEATURE(STATUS) | NET_FEATURE(MTU), 0, 0);
    cr_assert_eq(card.mac[0], 2);
    cr_assert_eq(card.mac[5], 0xff, "by mf_random_fill() of this test");
    cr_assert(card.link_up);
    cr_assert_eq(card.mtu, 1500);
}

/* ---- Frames ------------------------------------------------------------- */

Test(net_ring, carries_every_size_both_ways, .init = set_up_card)
{
    for (unsigned bytes = 14; bytes <= 1514; bytes++) {
        struct nic_buffer *frame;

        host_send(bytes, bytes);
        frame = receive_one();
        assert_is_frame(frame, bytes, bytes);
        cr_assert_null(frame->next);
        cr_assert_eq(nic_forward(0, frame), 0);
        cr_assert_geq(nic_flush(0), 0);
        assert_host_receives(bytes, bytes);
    }
    cr_assert_eq(nic_wait_room(0, 0), 0);
    assert_no_buffer_is_lost();
}

Test(net_ring, merges_buffers_for_large_frames, .init = set_up_offloads)
{
    net_header header = {
        .hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                .hdr_len = 54,
                .gso_size = 1448,
                .csum_start = 34,
                .csum_offset = 16},
    };

    for (unsigned bytes = 2030; bytes <= LARGEST; bytes += 3176) {
        struct nic_buffer *frame;
        unsigned pieces = 0;

        host_send_with(header, bytes, bytes);
        frame = receive_one();
        assert_is_frame(frame, bytes, bytes);
        for (struct nic_buffer *b = frame; b; b = b->next)
            pieces++;
        cr_assert_eq(pieces, (bytes + HEADER_BYTES + 2047) / 2048);
        cr_assert_eq(frame->offload.gso_type, NIC_GSO_TCP4);
        cr_assert_eq(frame->offload.gso_bytes, 1448);
        if (bytes <= 14 + 65535) {
            cr_assert_eq(nic_forward(0, frame), 0);
            cr_assert_geq(nic_flush(0), 0);
            assert_host_receives(bytes, bytes);
        } else {
            release(frame);
        }
    }
    cr_assert_eq(nic_wait_room(0, 0), 0);
    assert_no_buffer_is_lost();
}

Test(net_ring, uses_larger_buffers_where_they_cannot_be_merged)
{
    start_with(NET_FEATURE(MRG_RXBUF), 9000, 0);
    cr_assert_eq(card.mtu, 9000);
    cr_assert_eq(card.buffer_bytes, 9088);
    host_send(9014, 1);
    assert_is_frame(receive_one(), 9014, 1);
}

Test(net_ring, keeps_order_and_buffers_over_70000_frames, .init = set_up_card)
{
    struct nic_stats stats;

    echo_many(70001, 48);
    assert_host_receives_nothing();
    assert_no_buffer_is_lost();
    cr_assert_eq(nic_read_stats(0, &stats), 0);
    cr_assert_eq(stats.received, 70001);
    cr_assert_eq(stats.sent, 70001);
    cr_assert_eq(stats.errors, 0);
    cr_assert_eq(vm.net.stats.rx_frames, 70001);
    cr_assert_eq(vm.net.stats.tx_dropped + vm.net.stats.tx_errors, 0);
}

Test(net_ring, works_without_event_indices)
{
    start_with(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX, 0, 0);
    echo_many(2000, 16);
    assert_no_buffer_is_lost();
}

/* A burst takes the buffers that were not used so far. */
Test(net_ring, uses_few_buffers_until_frames_come_quickly, .init = set_up_card)
{
    const struct nic *nic = nic_get(0);
    struct nic_buffer *frames[64];

    cr_assert_eq(nic->fresh, 192);
    for (unsigned i = 0; i < 8; i++) {
        host_send(60, i);
        release(receive_one());
        nic_flush(0);
    }
    cr_assert_eq(nic->fresh, 192, "a few at a time need no more");
    for (unsigned i = 0; i < 40; i++)
        host_send(60, i);
    for (long got = 0, found; got < 40; got += found) {
        found = nic_receive(0, frames, 64, NIC_FOREVER);
        cr_assert_gt(found, 0);
        nic_release(0, frames, (unsigned)found);
    }
    cr_assert_lt(nic->fresh, 192);
    assert_no_buffer_is_lost();
}

/* What the caller keeps comes back in any order, and is whole meanwhile. */
Test(net_ring, takes_buffers_back_in_any_order, .init = set_up_card)
{
    struct nic_buffer *kept[32];

    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < 32; i++) {
            host_send(100 + i, round * 32 + i);
            kept[i] = receive_one();
        }
        for (unsigned i = 0; i < 32; i++)
            assert_is_frame(kept[i], 100 + i, round * 32 + i);
        for (unsigned i = 0; i < 32; i++)
            release(kept[i * 13 % 32]);
        nic_flush(0);
    }
    assert_no_buffer_is_lost();
}

/* ---- Sending ------------------------------------------------------------ */

static unsigned sent_count;
static uintptr_t sent_next = 1;

static void on_sent(void *cookie)
{
    cr_assert_eq((uintptr_t)cookie, sent_next++);
    sent_count++;
}

Test(net_ring, sends_pieces_from_where_they_are, .init = set_up_card)
{
    struct iovec pieces[NIC_PIECES_MAX];

    make_frame(VM_BUFFER, 1400, 5);
    for (unsigned i = 0; i < NIC_PIECES_MAX; i++)
        pieces[i] = (struct iovec){VM_BUFFER + i * 35, 35};
    cr_assert_eq(nic_on_sent(0, on_sent), 0);
    cr_assert_eq(nic_send(0, pieces, NIC_PIECES_MAX, NULL, (void *)1), 0);
    assert_host_receives_nothing();
    cr_assert_eq(sent_count, 0);
    nic_flush(0);
    assert_host_receives(1400, 5);
    cr_assert_eq(nic_flush(0), 0);
    cr_assert_eq(sent_count, 1);
}

Test(net_ring, refuses_what_is_no_frame_of_the_link, .init = set_up_card)
{
    struct iovec pieces[NIC_PIECES_MAX + 1];
    struct iovec outside = {(void *)(VM_MEM_BYTES - 59), 60};

    for (unsigned i = 0; i < NIC_PIECES_MAX + 1; i++)
        pieces[i] = (struct iovec){VM_BUFFER, 20};
    cr_assert_eq(send_bytes(14, NULL), 0);
    cr_assert_eq(send_bytes(13, NULL), -EINVAL);
    cr_assert_eq(send_bytes(0, NULL), -EINVAL);
    cr_assert_eq(send_bytes(1514, NULL), 0);
    cr_assert_eq(send_bytes(1515, NULL), -EMSGSIZE);
    cr_assert_eq(nic_send(0, pieces, 0, NULL, NULL), -EINVAL);
    cr_assert_eq(nic_send(0, pieces, NIC_PIECES_MAX, NULL, NULL), 0);
    cr_assert_eq(nic_send(0, pieces, NIC_PIECES_MAX + 1, NULL, NULL), -EINVAL);
    cr_assert_eq(nic_send(0, &outside, 1, NULL, NULL), -EFAULT);
    outside.iov_base = (void *)(VM_MEM_BYTES - 60);
    cr_assert_eq(nic_send(0, &outside, 1, NULL, NULL), 0);
}

Test(net_ring, forwards_only_what_is_in_its_buffer, .init = set_up_card)
{
    struct nic_buffer *frame;

    host_send(100, 1);
    frame = receive_one();
    frame->data--;
    cr_assert_eq(nic_forward(0, frame), -EINVAL);
    frame->data++;
    frame->bytes = 2037;
    cr_assert_eq(nic_forward(0, frame), -EINVAL);
    frame->bytes = 0;
    cr_assert_eq(nic_forward(0, frame), -EINVAL);
    frame->bytes = 1515;
    cr_assert_eq(nic_forward(0, frame), -EMSGSIZE);
    frame->bytes = 100;
    cr_assert_eq(nic_forward(0, frame), 0);
    nic_flush(0);
    assert_host_receives(100, 1);
}

Test(net_ring, says_when_the_ring_is_full_and_waits_for_room,
     .init = set_up_card)
{
    unsigned count = 0;
    int error;

    cr_assert_eq(nic_on_sent(0, on_sent), 0);
    make_frame(VM_BUFFER, 60, 3);
    for (;;) {
        struct iovec piece = {VM_BUFFER, 60};

        error = nic_send(0, &piece, 1, NULL, (void *)(uintptr_t)(count + 1));
        if (error)
            break;
        count++;
    }
    cr_assert_eq(error, -EAGAIN);
    cr_assert_eq(count, 128, "two entries for each frame");
    cr_assert_eq(vm.kicks, 0);
    cr_assert_eq(nic_wait_room(0, 0), 0);
    cr_assert_eq(vm.kicks, 1);
    cr_assert_eq(sent_count, count);
    for (unsigned i = 0; i < count; i++)
        assert_host_receives(60, 3);
    assert_host_receives_nothing();
    cr_assert_eq(nic_on_sent(0, NULL), 0);
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(send_bytes(60, NULL), 0);
    cr_assert_eq(nic_flush(0), count, "told of, and not looked at since");
    cr_assert_eq(send_bytes(60, NULL), 0, "there is room again");
}

/* ---- Offloads ----------------------------------------------------------- */

Test(net_ring, refuses_offloads_that_the_card_does_not_have,
     .init = set_up_card)
{
    struct nic_offload offload = {.flags = 0};

    cr_assert_eq(send_bytes(60, &offload), 0);
    offload.flags = NIC_OFFLOAD_CHECKSUM;
    cr_assert_eq(send_bytes(60, &offload), -EOPNOTSUPP);
    offload = (struct nic_offload){.gso_type = NIC_GSO_TCP4, .gso_bytes = 9};
    cr_assert_eq(send_bytes(60, &offload), -EOPNOTSUPP);
    offload.gso_type = NIC_GSO_TCP6;
    cr_assert_eq(send_bytes(60, &offload), -EOPNOTSUPP);
}

Test(net_ring, refuses_offloads_that_make_no_sense, .init = set_up_offloads)
{
    struct nic_offload offload = {
        .flags = NIC_OFFLOAD_CHECKSUM,
        .gso_type = NIC_GSO_TCP4,
        .gso_bytes = 1,
    };

    cr_assert_eq(send_bytes(14 + 65535, &offload), 0);
    cr_assert_eq(send_bytes(14 + 65536, &offload), -EMSGSIZE);
    offload.gso_bytes = 0;
    cr_assert_eq(send_bytes(60, &offload), -EINVAL);
    offload.gso_bytes = 1;
    offload.flags = 0;
    cr_assert_eq(send_bytes(60, &offload), -EINVAL);
    offload.flags = NIC_OFFLOAD_CHECKSUM;
    offload.gso_type = NIC_GSO_TCP6;
    cr_assert_eq(send_bytes(60, &offload), 0);
    offload.gso_type = NIC_GSO_TCP6 | NIC_GSO_ECN;
    cr_assert_eq(send_bytes(60, &offload), -EOPNOTSUPP);
    offload.gso_type = 3; /* UDP */
    cr_assert_eq(send_bytes(60, &offload), -EOPNOTSUPP);
    offload.gso_type = NIC_GSO_ECN;
    cr_assert_eq(send_bytes(60, &offload), -EOPNOTSUPP);
}

static net_header host_header(void)
{
    static unsigned char frame[HEADER_BYTES + LARGEST];
    net_header header;

    cr_assert_gt(read(host, frame, sizeof(frame)), (ssize_t)HEADER_BYTES);
    memcpy(&header, frame, HEADER_BYTES);
    return header;
}

Test(net_ring, passes_checksum_wishes_on, .init = set_up_offloads)
{
    net_header header = {.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM |
                                          VIRTIO_NET_HDR_F_DATA_VALID,
                                 .csum_start = 34,
                                 .csum_offset = 6}};
    struct nic_buffer *frame;

    host_send_with(header, 60, 1);
    frame = receive_one();
    cr_assert_eq(frame->offload.flags,
                 NIC_OFFLOAD_CHECKSUM | NIC_OFFLOAD_VALID);
    cr_assert_eq(frame->offload.csum_start, 34);
    cr_assert_eq(frame->offload.csum_offset, 6);
    cr_assert_eq(nic_forward(0, frame), 0);
    memcpy(&header, frame->data - HEADER_BYTES, HEADER_BYTES);
    cr_assert_eq(header.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    cr_assert_eq(header.num_buffers, 0);
    nic_flush(0);
    header = host_header();
    cr_assert_eq(header.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    cr_assert_eq(header.hdr.csum_start, 34);
    cr_assert_eq(header.hdr.csum_offset, 6);
    cr_assert_eq(vm.net.stats.tx_dropped, 0);
}

/* Headers of frames in flight do not mix, and do not stick. */
Test(net_ring, gives_each_frame_its_own_header, .init = set_up_offloads)
{
    for (uint16_t i = 0; i < 60; i++) {
        struct nic_offload offload = {
            .flags = NIC_OFFLOAD_CHECKSUM, .csum_start = i, .csum_offset = 2};

        cr_assert_eq(send_bytes(100, i % 3 ? &offload : NULL), 0);
    }
    cr_assert_eq(nic_wait_room(0, 0), 0);
    for (uint16_t i = 0; i < 60; i++) {
        net_header header = host_header();

        cr_assert_eq(header.hdr.flags, i % 3 ? NIC_OFFLOAD_CHECKSUM : 0);
        cr_assert_eq(header.hdr.csum_start, i % 3 ? i : 0);
    }
}
