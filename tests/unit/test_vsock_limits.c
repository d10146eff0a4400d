/* SPDX-License-Identifier: MIT */
/* The socket device's bounds, its resets, its snapshots, and its broker. */
#include <sys/resource.h>

#include "tests/unit/vsock_driver.h"

TestSuite(vsock_limits, .init = set_up, .fini = tear_down, .timeout = 60);
TestSuite(vsock_starved, .init = set_up_without_buffers, .fini = tear_down,
          .timeout = 60);

/* ---- So many streams ---------------------------------------------------- */

/* As many descriptors as that takes. */
static void allow_files(void)
{
    struct rlimit limit;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * VSOCK_STREAMS_MAX + 64)
        cr_skip("not enough descriptors");
}

static int offer_one(int *end)
{
    int ends[2];
    int error;

    make_pair(ends);
    *end = ends[1];
    error = vsock_offer(&vsock, ends[0], PORT);
    if (error)
        close(ends[0]);
    return error;
}

Test(vsock_limits, has_room_for_so_many_streams)
{
    int end;

    allow_files();
    for (unsigned i = 0; i < VSOCK_STREAMS_MAX; i++)
        cr_assert_eq(offer_one(&end), 0);
    cr_assert_eq(offer_one(&end), -EAGAIN);
    for (unsigned i = 0; i < VSOCK_STREAMS_MAX; i++) {
        header_t header = expect(REQUEST);

        transmit(RST, PORT, header.src_port);
    }
    cr_assert(is_quiet());
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    cr_assert_eq(offer_one(&end), 0);
}

Test(vsock_limits, cuts_off_a_peer_that_does_not_read_for_a_new_stream)
{
    static uint8_t data[VSOCK_BUFFER_BYTES];
    int ends[2], end, slow;
    uint32_t port;

    allow_files();
    make_narrow_pair(ends);
    slow = ends[1];
    port = open_over(ends);
    while (vsock.streams[0].out_bytes == 0)
        transmit_data(port, data, 8192);
    transmit_shutdown(port, RCV | SEND);
    for (unsigned i = 1; i < VSOCK_STREAMS_MAX; i++)
        cr_assert_eq(offer_one(&end), 0);
    cr_assert(vsock_has_output(&vsock));
    cr_assert_eq(offer_one(&end), 0);
    cr_assert(!vsock_has_output(&vsock));
    cr_assert_eq(offer_one(&end), -EAGAIN);
    while (recv(slow, data, sizeof(data), MSG_DONTWAIT) > 0)
        continue;
    cr_assert(is_ended(slow));
}

Test(vsock_limits, uses_each_pair_of_ports_for_one_stream)
{
    uint32_t last = 0;

    for (unsigned i = 0; i < 200; i++) {
        int end;
        uint32_t port = open_stream(&end);

        cr_assert_neq(port, last);
        cr_assert(port >= VSOCK_HOST_PORT_BASE && port <= UINT16_MAX);
        last = port;
        close(end);
        while (receive().header.op != SHUTDOWN)
            continue;
        transmit_shutdown(port, RCV | SEND);
        expect(RST);
    }
    cr_assert_eq(vsock_stream_count(&vsock), 0);
}

/* ---- No room for packets ------------------------------------------------ */

/* Makes a packet available; the device may leave it where it is. */
static void post_packet(uint32_t guest_port)
{
    header_t header = make_header(RW, guest_port, 9);
    unsigned head = next_desc[VSOCK_TX];
    uint64_t address = TX_DATA + head % 128 * 64;

    memcpy(at(address), &header, HEADER);
    add(VSOCK_TX, address, HEADER, 0);
    submit(VSOCK_TX, head);
}

Test(vsock_starved, takes_no_more_packets_than_it_can_keep_answers_to)
{
    for (uint32_t i = 0; i < VSOCK_RESETS_MAX + 10; i++)
        post_packet(i);
    serve();
    cr_assert_eq(used_count(VSOCK_TX), VSOCK_RESETS_MAX);
    cr_assert(kicks_next(VSOCK_RX));
    for (uint32_t i = 0; i < VSOCK_RESETS_MAX + 10; i++) {
        post_rx(1);
        cr_assert_eq(expect(RST).dst_port, i);
    }
    cr_assert_eq(used_count(VSOCK_TX), VSOCK_RESETS_MAX + 10);
    cr_assert(kicks_next(VSOCK_TX));
}

Test(vsock_starved, asks_for_a_kick_where_a_packet_waits)
{
    int ends[2];

    cr_assert(kicks_next(VSOCK_TX));
    cr_assert(!kicks_next(VSOCK_RX));
    make_pair(ends);
    cr_assert_eq(vsock_offer(&vsock, ends[0], PORT), 0);
    serve();
    cr_assert(kicks_next(VSOCK_RX));
    post_rx(1);
    serve();
    cr_assert_eq(used_count(VSOCK_RX), 1);
    cr_assert(!kicks_next(VSOCK_RX));
}

Test(vsock_starved, leaves_bytes_in_the_socket_while_there_is_no_buffer)
{
    int end, waiting;
    uint32_t port;
    int ends[2];

    make_pair(ends);
    end = ends[1];
    cr_assert_eq(vsock_offer(&vsock, ends[0], PORT), 0);
    post_rx(1);
    port = receive_and(false).header.src_port;
    transmit(RESPONSE, PORT, port);
    cr_assert_eq(write(end, "hello", 5), 5);
    serve();
    cr_assert_eq(ioctl(ends[0], FIONREAD, &waiting), 0);
    cr_assert_eq(waiting, 5);
    post_rx(1);
    cr_assert_eq(expect(RW).len, 5);
}

Test(vsock_starved, sends_all_packets_of_a_stream_that_waits_for_credit)
{
    int ends[2];
    header_t header;
    uint32_t port;

    make_pair(ends);
    cr_assert_eq(vsock_offer(&vsock, ends[0], PORT), 0);
    post_rx(1);
    port = receive_and(false).header.src_port;
    header = make_header(RESPONSE, PORT, port);
    header.buf_alloc = 0;
    transmit_raw(header, NULL, 0);
    cr_assert_eq(write(ends[1], "hello", 5), 5);
    post_rx(1);
    cr_assert_eq(receive_and(false).header.op, ASK);
    /* With no room for them: an answer, and news of a peer that is gone. */
    header.op = ASK;
    transmit_raw(header, NULL, 0);
    close(ends[1]);
    header.op = RW;
    header.len = 1;
    transmit_raw(header, "x", 1);
    post_rx(2);
    cr_assert_eq(receive_and(false).header.op, CREDIT);
    cr_assert_eq(receive_and(false).header.op, SHUTDOWN);
}

Test(vsock_starved, stops_at_a_buffer_without_room)
{
    int ends[2];

    make_pair(ends);
    cr_assert_eq(vsock_offer(&vsock, ends[0], PORT), 0);
    post_rx_of(HEADER);
    serve();
    cr_assert(needs_reset());
}

Test(vsock_starved, fills_buffers_of_one_byte)
{
    int ends[2];
    header_t header;

    make_pair(ends);
    cr_assert_eq(vsock_offer(&vsock, ends[0], PORT), 0);
    for (unsigned i = 0; i < 4; i++)
        post_rx_of(HEADER + 1);
    header = receive_and(false).header;
    transmit(RESPONSE, PORT, header.src_port);
    cr_assert_eq(write(ends[1], "ab", 2), 2);
    cr_assert_eq(receive_and(false).data[0], 'a');
    cr_assert_eq(receive_and(false).data[0], 'b');
    cr_assert(!receive_and(false).there);
}

Test(vsock_limits, stops_at_a_ring_that_is_broken)
{
    struct vring_avail *avail = at(AVAIL(VSOCK_TX));

    avail->idx = (uint16_t)(avail->idx + 300);
    serve();
    cr_assert(needs_reset());
    bring_up();
    post_rx(4);
    transmit(RW, 1, 2);
    expect(RST);
}

/* ---- Resets and snapshots ----------------------------------------------- */

Test(vsock_limits, forgets_its_streams_when_it_is_reset)
{
    int end;

    (void)open_stream(&end);
    bring_up();
    cr_assert(is_ended(end));
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    post_rx(4);
    cr_assert(is_quiet());
}

/* The device's state, in which another one goes on. */
static void save_and_load(void)
{
    struct vdev_state state;

    vdev_save(&vsock.dev, &state);
    vdev_set_status(&vsock.dev, 0);
    cr_assert_eq(vdev_load(&vsock.dev, &state), 0);
}

Test(vsock_limits, goes_on_without_streams_as_if_nothing_had_been)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit_shutdown(port, RCV | SEND);
    expect(RST);
    post_event();
    save_and_load();
    serve();
    cr_assert_eq(used_count(VSOCK_EVENT), 0);
    (void)open_stream(&end);
}

Test(vsock_limits, tells_a_driver_that_goes_on_that_its_streams_are_gone)
{
    int end;

    (void)open_stream(&end);
    save_and_load();
    serve();
    cr_assert(kicks_next(VSOCK_EVENT));
    memset(at(EVENT_DATA), 0xee, 4);
    post_event();
    serve();
    cr_assert_eq(used_count(VSOCK_EVENT), 1);
    cr_assert_eq(used_elem(VSOCK_EVENT, 0).len, 4);
    cr_assert_eq(*(uint32_t *)at(EVENT_DATA),
                 VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
    cr_assert(is_ended(end));
    (void)open_stream(&end);
    post_event();
    serve();
    cr_assert_eq(used_count(VSOCK_EVENT), 1);
}

Test(vsock_limits, says_so_even_if_it_is_saved_before_it_could)
{
    int end;

    (void)open_stream(&end);
    save_and_load();
    save_and_load();
    post_event();
    serve();
    cr_assert_eq(used_count(VSOCK_EVENT), 1);
}

Test(vsock_limits, refuses_a_state_that_is_none_of_its)
{
    struct vdev_state state;

    vdev_save(&vsock.dev, &state);
    state.extra_bytes--;
    vdev_set_status(&vsock.dev, 0);
    cr_assert_eq(vdev_load(&vsock.dev, &state), -EINVAL);
}

Test(vsock_limits, stops_at_an_event_buffer_without_room)
{
    int end;
    unsigned head;

    (void)open_stream(&end);
    save_and_load();
    head = next_desc[VSOCK_EVENT];
    add(VSOCK_EVENT, EVENT_DATA, 3, WRITE);
    submit(VSOCK_EVENT, head);
    serve();
    cr_assert(needs_reset());
}

/* ---- The broker --------------------------------------------------------- */

static int broker; /* the broker's end */

static void set_up_broker(void)
{
    int ends[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends),
                 0);
    broker = ends[1];
    make_device((struct vsock_options){.broker = ends[0], .connect_count = 2});
    post_rx(RX_PLACES);
    serve();
}

TestSuite(vsock_broker, .init = set_up_broker, .fini = tear_down,
          .timeout = 20);

static struct vsock_connect hear_question(void)
{
    struct vsock_connect question;

    cr_assert_eq(recv(broker, &question, sizeof(question), 0),
                 sizeof(question));
    return question;
}

static void answer(uint32_t ticket, int error, int fd)
{
    struct vsock_connected connected = {ticket, error};
    struct iovec iov = {&connected, sizeof(connected)};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        *CMSG_FIRSTHDR(&message) =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
                             .cmsg_level = SOL_SOCKET,
                             .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &fd, sizeof(fd));
    }
    cr_assert_eq(sendmsg(broker, &message, 0), sizeof(connected));
    if (fd >= 0)
        close(fd);
}

Test(vsock_broker, connects_the_guest_to_what_is_on_the_list)
{
    const uint32_t to = VSOCK_CONNECT_PORT + 1;
    int ends[2];
    struct vsock_connect question;
    char text[4];

    transmit(REQUEST, PORT, to);
    cr_assert(is_quiet());
    question = hear_question();
    cr_assert_eq(question.entry, 1);
    make_pair(ends);
    cr_assert_eq(write(ends[1], "hi", 2), 2);
    answer(question.ticket, 0, ends[0]);
    cr_assert_eq(expect(RESPONSE).src_port, to);
    cr_assert_eq(expect(RW).len, 2);
    transmit_data(to, "yo", 2);
    cr_assert_eq(recv(ends[1], text, sizeof(text), MSG_DONTWAIT), 2);
}

Test(vsock_broker, refuses_what_is_not_on_the_list)
{
    static const uint32_t ports[] = {VSOCK_CONNECT_PORT + 2,
                                     VSOCK_CONNECT_PORT - 1, 0, UINT32_MAX};

    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
        transmit(REQUEST, PORT, ports[i]);
        cr_assert_eq(expect(RST).src_port, ports[i]);
    }
    cr_assert_lt(recv(broker, (char[8]){0}, 8, MSG_DONTWAIT), 0);
    cr_assert_eq(vsock_stream_count(&vsock), 0);
}

Test(vsock_broker, refuses_what_cannot_be_connected_to)
{
    transmit(REQUEST, PORT, VSOCK_CONNECT_PORT);
    answer(hear_question().ticket, -ECONNREFUSED, -1);
    expect(RST);
    cr_assert_eq(vsock_stream_count(&vsock), 0);
}

Test(vsock_broker, closes_what_comes_for_a_stream_that_is_over)
{
    int ends[2];

    transmit(REQUEST, PORT, VSOCK_CONNECT_PORT);
    transmit(RST, PORT, VSOCK_CONNECT_PORT);
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    transmit(REQUEST, PORT, VSOCK_CONNECT_PORT); /* in the same place */
    make_pair(ends);
    answer(hear_question().ticket, 0, ends[0]);
    cr_assert(is_quiet());
    cr_assert(is_ended(ends[1]));
    make_pair(ends);
    answer(hear_question().ticket, 0, ends[0]);
    expect(RESPONSE);
}

Test(vsock_broker, believes_no_ticket_that_it_has_not_given)
{
    int ends[2];

    transmit(REQUEST, PORT, VSOCK_CONNECT_PORT);
    make_pair(ends);
    answer(hear_question().ticket + 1, 0, ends[0]);
    cr_assert(is_quiet());
    answer(UINT32_MAX, -EIO, -1);
    cr_assert(is_quiet());
    cr_assert_eq(vsock_stream_count(&vsock), 1);
}

Test(vsock_broker, has_streams_to_one_entry_apart_by_the_guests_ports)
{
    int first[2], second[2];
    uint32_t ticket;

    transmit(REQUEST, 1000, VSOCK_CONNECT_PORT);
    transmit(REQUEST, 1001, VSOCK_CONNECT_PORT);
    make_pair(first);
    make_pair(second);
    ticket = hear_question().ticket;
    answer(hear_question().ticket, 0, second[0]);
    cr_assert_eq(expect(RESPONSE).dst_port, 1001);
    answer(ticket, 0, first[0]);
    cr_assert_eq(expect(RESPONSE).dst_port, 1000);
    cr_assert_eq(write(second[1], "x", 1), 1);
    cr_assert_eq(expect(RW).dst_port, 1001);
}

Test(vsock_broker, ends_what_waits_for_a_broker_that_is_gone)
{
    transmit(REQUEST, PORT, VSOCK_CONNECT_PORT);
    close(broker);
    expect(RST);
    transmit(REQUEST, PORT, VSOCK_CONNECT_PORT);
    expect(RST);
    cr_assert_eq(vsock_stream_count(&vsock), 0);
}
