/* SPDX-License-Identifier: MIT */
/* The socket device holds a guest to the rules, and keeps to them. */
#include "tests/unit/vsock_driver.h"

TestSuite(vsock_rules, .init = set_up, .fini = tear_down, .timeout = 20);

/* ---- Packets that make no sense ----------------------------------------- */

/* What comes back is an RST for these ports. */
static void expect_refusal(uint32_t guest_port, uint32_t host_port)
{
    header_t header = expect(RST);

    cr_assert_eq(header.dst_port, guest_port);
    cr_assert_eq(header.src_port, host_port);
    cr_assert(is_quiet());
}

Test(vsock_rules, refuses_packets_of_streams_that_there_are_not)
{
    static const unsigned ops[] = {REQUEST, RESPONSE, SHUTDOWN, RW,
                                   CREDIT,  ASK,      0,        8};

    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
        transmit(ops[i], 1000 + i, 2000);
        expect_refusal(1000 + i, 2000);
    }
    cr_assert_eq(vsock_stream_count(&vsock), 0);
}

Test(vsock_rules, never_answers_a_reset)
{
    transmit(RST, 1000, 2000);
    cr_assert(is_quiet());
}

Test(vsock_rules, refuses_other_types)
{
    header_t header = make_header(REQUEST, 1000, 2000);
    struct received packet;

    header.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
    transmit_raw(header, NULL, 0);
    packet = receive();
    cr_assert(packet.there && packet.header.op == RST);
    cr_assert_eq(packet.header.type, VIRTIO_VSOCK_TYPE_SEQPACKET);
    header.op = RST;
    header.type = 77;
    transmit_raw(header, NULL, 0);
    cr_assert(is_quiet());
}

Test(vsock_rules, refuses_another_type_for_a_stream_and_keeps_that)
{
    int end;
    uint32_t port = open_stream(&end);
    header_t header = make_header(RW, PORT, port);
    struct received packet;

    header.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
    transmit_raw(header, NULL, 0);
    packet = receive();
    cr_assert(packet.there && packet.header.op == RST);
    transmit_data(port, "x", 1);
    cr_assert_eq(recv(end, (char[1]){0}, 1, MSG_DONTWAIT), 1);
}

Test(vsock_rules, ignores_packets_of_and_for_others)
{
    int end;
    uint32_t port = open_stream(&end);
    header_t header = make_header(RST, PORT, port);

    header.src_cid = VSOCK_GUEST_CID + 1;
    transmit_raw(header, NULL, 0);
    header.src_cid = VSOCK_GUEST_CID | UINT64_C(1) << 32;
    transmit_raw(header, NULL, 0);
    header.src_cid = VSOCK_GUEST_CID;
    header.dst_cid = VSOCK_HOST_CID + 1;
    transmit_raw(header, NULL, 0);
    cr_assert(is_quiet());
    cr_assert_eq(vsock_stream_count(&vsock), 1);
    cr_assert_eq(vsock.stats.bad, 3);
}

Test(vsock_rules, ignores_what_is_shorter_than_a_header)
{
    unsigned head = next_desc[VSOCK_TX];

    add(VSOCK_TX, TX_DATA, HEADER - 1, 0);
    submit(VSOCK_TX, head);
    serve();
    cr_assert_eq(used_count(VSOCK_TX), 1);
    cr_assert_eq(vsock.stats.bad, 1);
    cr_assert(is_quiet());
}

Test(vsock_rules, takes_a_header_in_pieces)
{
    int end;
    uint32_t port = open_stream(&end);
    header_t header = make_header(RW, PORT, port);
    unsigned head = next_desc[VSOCK_TX];
    char text[4];

    header.len = 2;
    memcpy(at(TX_DATA), &header, HEADER);
    memcpy(at(TX_DATA + HEADER), "ok", 2);
    add(VSOCK_TX, TX_DATA, 10, 0);
    add(VSOCK_TX, TX_DATA + 10, HEADER - 9, 0);
    add(VSOCK_TX, TX_DATA + HEADER + 1, 1, 0);
    submit(VSOCK_TX, head);
    serve();
    cr_assert_eq(recv(end, text, sizeof(text), MSG_DONTWAIT), 2);
    cr_assert_eq(memcmp(text, "ok", 2), 0);
}

/* A stream that breaks a rule is over, for the guest and for the host. */
static void expect_cut_off(uint32_t port, int end)
{
    expect_refusal(PORT, port);
    cr_assert(is_ended(end));
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    cr_assert_eq(vsock.stats.resets, 1);
    cr_assert_gt(lines, 0);
}

Test(vsock_rules, cuts_off_a_stream_with_an_operation_that_there_is_not)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit(8, PORT, port);
    expect_cut_off(port, end);
}

Test(vsock_rules, cuts_off_a_stream_with_the_invalid_operation)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit(VIRTIO_VSOCK_OP_INVALID, PORT, port);
    expect_cut_off(port, end);
}

Test(vsock_rules, cuts_off_a_stream_that_is_asked_for_again)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit(REQUEST, PORT, port);
    expect_cut_off(port, end);
}

Test(vsock_rules, cuts_off_a_stream_that_is_answered_again)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit(RESPONSE, PORT, port);
    expect_cut_off(port, end);
}

Test(vsock_rules, cuts_off_a_stream_whose_packet_is_shorter_than_it_says)
{
    int end;
    uint32_t port = open_stream(&end);
    header_t header = make_header(RW, PORT, port);

    header.len = 6;
    transmit_raw(header, "hello", 5);
    expect_cut_off(port, end);
}

Test(vsock_rules, cuts_off_a_stream_with_bytes_after_its_end)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit_shutdown(port, SEND);
    transmit_data(port, "x", 1);
    expect_cut_off(port, end);
}

Test(vsock_rules, cuts_off_a_stream_with_bytes_before_it_is_open)
{
    int ends[2];
    header_t header;

    make_pair(ends);
    cr_assert_eq(vsock_offer(&vsock, ends[0], PORT), 0);
    header = expect(REQUEST);
    transmit_data(header.src_port, "x", 1);
    expect_cut_off(header.src_port, ends[1]);
}

Test(vsock_rules, hears_nothing_more_of_a_stream_that_it_has_cut_off)
{
    int end;
    uint32_t port = open_stream(&end);

    /* No room for its RST: it waits. */
    while (used_count(VSOCK_RX) < ((struct vring_avail *)at(AVAIL(0)))->idx)
        transmit(8, 5555, 6666);
    transmit(8, PORT, port);
    transmit_data(port, "x", 1);
    cr_assert_eq(vsock.stats.resets, 1);
    transmit(RST, PORT, port);
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    cr_assert(is_ended(end));
}

/* ---- Credit: the guest's ------------------------------------------------ */

Test(vsock_rules, sends_no_more_than_the_guest_has_room_for)
{
    static uint8_t data[3000];
    int end;
    uint32_t port = open_stream(&end);
    struct received packet;

    transmit_credit(port, 1000, 0);
    fill_pattern(data, 0, sizeof(data));
    cr_assert_eq(write(end, data, sizeof(data)), sizeof(data));
    cr_assert_eq(expect(RW).len, 1000);
    expect(ASK); /* once */
    cr_assert(is_quiet());
    transmit_credit(port, 1000, 400);
    packet = receive();
    cr_assert(packet.there && packet.header.len == 400);
    cr_assert(is_pattern(packet.data, 1000, 400));
    expect(ASK);
    transmit_credit(port, 1001, 400);
    cr_assert_eq(expect(RW).len, 1);
    expect(ASK);
    transmit_credit(port, ALLOC, 1401);
    cr_assert_eq(expect(RW).len, 1599);
    cr_assert(is_quiet());
}

Test(vsock_rules, sends_nothing_to_a_guest_whose_room_is_impossible)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit_credit(port, 1000, 5000); /* more than it was sent */
    cr_assert_eq(write(end, "hello", 5), 5);
    expect(ASK);
    cr_assert(is_quiet());
    transmit_credit(port, 0, 0);
    cr_assert(is_quiet());
    transmit_credit(port, 5, 0);
    cr_assert_eq(expect(RW).len, 5);
}

Test(vsock_rules, goes_on_counting_past_2_to_the_32)
{
    int end;
    uint32_t port = open_stream(&end);
    struct vsock_stream *stream = &vsock.streams[0];

    stream->tx_cnt = stream->fwd_cnt = stream->told_fwd = UINT32_MAX - 1;
    transmit_credit(port, 6, UINT32_MAX - 2);
    cr_assert_eq(write(end, "abcdefgh", 8), 8);
    cr_assert_eq(expect(RW).len, 5);
    expect(ASK);
    transmit_credit(port, 6, 2);
    cr_assert_eq(expect(RW).len, 3);
    transmit_data(port, "xyz", 3);
    transmit(ASK, PORT, port);
    cr_assert_eq(expect(CREDIT).fwd_cnt, 1);
}

/* ---- Credit: ours ------------------------------------------------------- */

Test(vsock_rules, answers_a_question_for_credit)
{
    int end;
    uint32_t port = open_stream(&end);
    header_t header;

    transmit_data(port, "hello", 5);
    transmit(ASK, PORT, port);
    header = expect(CREDIT);
    cr_assert_eq(header.buf_alloc, VSOCK_BUFFER_BYTES);
    cr_assert_eq(header.fwd_cnt, 5);
    cr_assert_eq(header.len, 0);
    cr_assert(is_quiet());
}

Test(vsock_rules, tells_the_guest_of_room_before_it_has_none)
{
    static uint8_t data[VSOCK_BUFFER_BYTES / 4];
    int end;
    uint32_t port = open_stream(&end);

    transmit_data(port, data, sizeof(data));
    cr_assert(is_quiet());
    transmit_data(port, data, sizeof(data));
    cr_assert_eq(expect(CREDIT).fwd_cnt, 2 * sizeof(data));
    cr_assert(is_quiet());
}

Test(vsock_rules, says_how_much_room_there_is_in_every_packet)
{
    int end;
    uint32_t port = open_stream(&end);
    header_t header;

    transmit_data(port, "hello", 5);
    cr_assert_eq(write(end, "x", 1), 1);
    header = expect(RW);
    cr_assert_eq(header.buf_alloc, VSOCK_BUFFER_BYTES);
    cr_assert_eq(header.fwd_cnt, 5);
}

/* Fills what the socket takes, and then our buffer. Returns all bytes. */
static size_t fill(uint32_t port)
{
    static uint8_t data[8192];
    const struct vsock_stream *stream = &vsock.streams[0];
    size_t sent = 0;

    while (stream->out_bytes < VSOCK_BUFFER_BYTES) {
        size_t part =
            min_u64(sizeof(data), VSOCK_BUFFER_BYTES - stream->out_bytes);

        fill_pattern(data, sent, part);
        transmit_data(port, data, part);
        sent += part;
    }
    return sent;
}

static uint32_t open_narrow(int *end)
{
    int ends[2];
    uint32_t port;

    make_narrow_pair(ends);
    port = open_over(ends);
    *end = ends[1];
    return port;
}

Test(vsock_rules, keeps_what_the_socket_does_not_take)
{
    static uint8_t back[1 << 20];
    int end;
    uint32_t port = open_narrow(&end);
    size_t sent = fill(port);

    cr_assert_gt(sent, VSOCK_BUFFER_BYTES);
    cr_assert_lt(sent, sizeof(back));
    cr_assert(vsock_has_output(&vsock));
    read_all(end, back, sent);
    cr_assert(is_pattern(back, 0, sent));
    cr_assert(is_empty(end));
    cr_assert(!vsock_has_output(&vsock));
    cr_assert_eq(vsock_stream_count(&vsock), 1);
}

Test(vsock_rules, takes_the_last_byte_that_there_is_credit_for_and_no_more)
{
    int end;
    uint32_t port = open_narrow(&end);

    (void)fill(port);
    transmit_data(port, "", 0);
    cr_assert_eq(vsock_stream_count(&vsock), 1);
    transmit_data(port, "x", 1);
    while (receive().there)
        continue;
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    cr_assert_eq(vsock.stats.resets, 1);
}

Test(vsock_rules, gives_credit_when_the_socket_takes_more)
{
    static uint8_t back[1 << 20];
    int end;
    uint32_t port = open_narrow(&end);
    size_t sent = fill(port);
    header_t last = {.op = 0};

    while (!is_quiet())
        continue;
    read_all(end, back, sent);
    for (struct received packet; (packet = receive()).there;)
        last = packet.header;
    cr_assert_eq(last.op, CREDIT);
    cr_assert_leq(sent - last.fwd_cnt, VSOCK_BUFFER_BYTES / 2);
}

Test(vsock_rules, ends_the_file_only_behind_all_bytes)
{
    static uint8_t back[1 << 20];
    int end;
    uint32_t port = open_narrow(&end);
    size_t sent = fill(port);

    transmit_shutdown(port, SEND);
    read_all(end, back, sent);
    cr_assert(is_pattern(back, 0, sent));
    cr_assert(is_ended(end));
}

/* ---- After the guest has closed a stream -------------------------------- */

Test(vsock_rules, sends_what_a_guest_has_sent_before_it_closed)
{
    static uint8_t back[1 << 20];
    int end;
    uint32_t port = open_narrow(&end);
    size_t sent = fill(port);

    while (!is_quiet())
        continue;
    transmit_shutdown(port, RCV | SEND);
    expect(RST); /* for the guest it is over */
    cr_assert_eq(vsock_stream_count(&vsock), 1);
    read_all(end, back, sent);
    cr_assert(is_pattern(back, 0, sent));
    cr_assert(is_ended(end));
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    cr_assert(is_quiet());
}

Test(vsock_rules, sends_it_even_when_the_device_is_reset)
{
    static uint8_t back[1 << 20];
    int end;
    uint32_t port = open_narrow(&end);
    size_t sent = fill(port);

    transmit_shutdown(port, RCV | SEND);
    bring_up();
    read_all(end, back, sent);
    cr_assert(is_pattern(back, 0, sent));
    cr_assert(is_ended(end));
    cr_assert_eq(vsock_stream_count(&vsock), 0);
}

Test(vsock_rules, forgets_what_a_guest_has_sent_when_it_resets_the_stream)
{
    int end;
    uint32_t port = open_narrow(&end);

    (void)fill(port);
    transmit(RST, PORT, port);
    cr_assert(!vsock_has_output(&vsock));
    cr_assert_eq(vsock_stream_count(&vsock), 0);
}

Test(vsock_rules, lets_the_ports_of_a_closed_stream_be_used_again)
{
    int end, ends[2];
    uint32_t port = open_narrow(&end);

    (void)fill(port);
    transmit_shutdown(port, RCV | SEND);
    while (!is_quiet())
        continue;
    transmit_data(port, "x", 1);
    expect(RST);
    make_pair(ends);
    cr_assert_neq(open_over(ends), port);
}
