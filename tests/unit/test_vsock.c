/* SPDX-License-Identifier: MIT */
/* Streams of the socket device: they open, carry bytes and end. */
#include "tests/unit/vsock_driver.h"

TestSuite(vsock, .init = set_up, .fini = tear_down, .timeout = 20);

/* ---- Opening ------------------------------------------------------------ */

Test(vsock, tells_the_guest_its_cid)
{
    uint64_t cid;

    vdev_read_config(&vsock.dev, 0, &cid, sizeof(cid));
    cr_assert_eq(cid, VSOCK_GUEST_CID);
}

Test(vsock, offers_a_socket_to_the_guests_port)
{
    int ends[2];
    header_t header;

    make_pair(ends);
    cr_assert_eq(vsock_offer(&vsock, ends[0], 8080), 0);
    header = expect(REQUEST);
    cr_assert_eq(header.dst_port, 8080);
    cr_assert(header.src_port >= 1024 && header.src_port < 65536);
    cr_assert_eq(header.buf_alloc, VSOCK_BUFFER_BYTES);
    cr_assert_eq(header.fwd_cnt, 0);
    cr_assert(is_quiet());
    transmit(RESPONSE, 8080, header.src_port);
    cr_assert_eq(vsock.stats.opened, 1);
}

Test(vsock, closes_a_socket_that_the_guest_does_not_want)
{
    int ends[2];
    header_t header;

    make_pair(ends);
    cr_assert_eq(vsock_offer(&vsock, ends[0], PORT), 0);
    header = expect(REQUEST);
    transmit(RST, PORT, header.src_port);
    cr_assert(is_ended(ends[1]));
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    cr_assert_eq(vsock.stats.refused, 1);
    cr_assert(is_quiet());
}

Test(vsock, reads_nothing_before_the_guest_has_answered)
{
    int ends[2], waiting;
    header_t header;

    make_pair(ends);
    cr_assert_eq(write(ends[1], "early", 5), 5);
    cr_assert_eq(vsock_offer(&vsock, ends[0], PORT), 0);
    header = expect(REQUEST);
    cr_assert(is_quiet());
    cr_assert_eq(ioctl(ends[0], FIONREAD, &waiting), 0);
    cr_assert_eq(waiting, 5);
    transmit(RESPONSE, PORT, header.src_port);
    cr_assert_eq(expect(RW).len, 5);
}

Test(vsock, gives_streams_different_ports)
{
    int first, second;

    cr_assert_neq(open_stream(&first), open_stream(&second));
}

/* ---- Bytes -------------------------------------------------------------- */

Test(vsock, carries_bytes_to_the_guest)
{
    int end;
    uint32_t port = open_stream(&end);
    struct received packet;

    cr_assert_eq(write(end, "hello", 5), 5);
    packet = receive();
    cr_assert(packet.there);
    cr_assert_eq(packet.header.op, RW);
    cr_assert_eq(packet.header.src_port, port);
    cr_assert_eq(packet.header.dst_port, PORT);
    cr_assert_eq(packet.header.len, 5);
    cr_assert_eq(memcmp(packet.data, "hello", 5), 0);
    cr_assert(is_quiet());
}

Test(vsock, carries_bytes_to_the_host)
{
    int end;
    uint32_t port = open_stream(&end);
    char text[8];

    transmit_data(port, "hello", 5);
    cr_assert_eq(recv(end, text, sizeof(text), MSG_DONTWAIT), 5);
    cr_assert_eq(memcmp(text, "hello", 5), 0);
    transmit_data(port, "", 0);
    cr_assert(is_empty(end));
    cr_assert(is_quiet());
}

Test(vsock, carries_only_as_many_bytes_as_a_packet_says)
{
    int end;
    uint32_t port = open_stream(&end);
    header_t header = make_header(RW, PORT, port);
    char text[8];

    header.len = 3;
    transmit_raw(header, "hello", 5);
    cr_assert_eq(recv(end, text, sizeof(text), MSG_DONTWAIT), 3);
    cr_assert_eq(memcmp(text, "hel", 3), 0);
}

Test(vsock, carries_much_in_both_directions)
{
    static uint8_t data[60000], back[60000];
    int end;
    uint32_t port = open_stream(&end);
    size_t there = 0;

    fill_pattern(data, 0, sizeof(data));
    for (unsigned round = 1; round <= 20; round++) {
        uint32_t fwd_cnt = (uint32_t)(round * sizeof(data));

        cr_assert_eq(write(end, data, sizeof(data)), sizeof(data));
        for (there = 0; there < sizeof(data);) {
            struct received packet = receive();

            cr_assert(packet.there);
            if (packet.header.op != RW)
                continue;
            cr_assert(is_pattern(packet.data, there, packet.header.len));
            there += packet.header.len;
        }
        cr_assert_eq(there, sizeof(data));
        transmit_credit(port, ALLOC, fwd_cnt);
        for (size_t at = 0; at < sizeof(data); at += 20000) {
            header_t header = make_header(RW, PORT, port);

            header.len = 20000;
            header.fwd_cnt = fwd_cnt;
            transmit_raw(header, data + at, 20000);
        }
        read_all(end, back, sizeof(back));
        cr_assert_eq(memcmp(data, back, sizeof(data)), 0);
    }
    cr_assert_eq(vsock.stats.in_bytes, 20 * sizeof(data));
    cr_assert_eq(vsock.stats.out_bytes, 20 * sizeof(data));
}

Test(vsock, keeps_streams_apart)
{
    int a, b;
    uint32_t port_a = open_stream(&a), port_b = open_stream(&b);
    struct received packet;
    char text[4];

    transmit_data(port_b, "bb", 2);
    transmit_data(port_a, "a", 1);
    cr_assert_eq(recv(a, text, sizeof(text), MSG_DONTWAIT), 1);
    cr_assert_eq(recv(b, text, sizeof(text), MSG_DONTWAIT), 2);
    cr_assert_eq(write(b, "x", 1), 1);
    packet = receive();
    cr_assert(packet.there && packet.header.src_port == port_b);
}

Test(vsock, has_streams_take_turns)
{
    static uint8_t data[40000];
    int ends[2];
    uint32_t ports[2] = {open_stream(&ends[0]), open_stream(&ends[1])};
    unsigned changes = 0;
    uint32_t last = 0;

    cr_assert_eq(write(ends[0], data, sizeof(data)), sizeof(data));
    cr_assert_eq(write(ends[1], data, sizeof(data)), sizeof(data));
    for (unsigned i = 0; i < 8; i++) {
        struct received packet = receive();

        cr_assert(packet.there);
        changes += packet.header.src_port != last;
        last = packet.header.src_port;
    }
    cr_assert_eq(changes, 8);
    cr_assert(last == ports[0] || last == ports[1]);
}

/* ---- Ending ------------------------------------------------------------- */

Test(vsock, tells_the_guest_of_the_end_of_the_file)
{
    int end;
    uint32_t port = open_stream(&end);
    char text[8];

    cr_assert_eq(write(end, "last", 4), 4);
    shutdown(end, SHUT_WR);
    cr_assert_eq(expect(RW).len, 4);
    cr_assert_eq(expect(SHUTDOWN).flags, SEND);
    cr_assert(is_quiet());
    /* The other direction is as before. */
    transmit_data(port, "answer", 6);
    cr_assert_eq(recv(end, text, sizeof(text), MSG_DONTWAIT), 6);
}

Test(vsock, ends_the_file_when_the_guest_sends_no_more)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit_data(port, "x", 1);
    transmit_shutdown(port, SEND);
    cr_assert_eq(recv(end, (char[1]){0}, 1, MSG_DONTWAIT), 1);
    cr_assert(is_ended(end));
    cr_assert_eq(write(end, "more", 4), 4);
    cr_assert_eq(expect(RW).len, 4);
    cr_assert(is_quiet());
}

Test(vsock, sends_nothing_to_a_guest_that_does_not_receive)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit_shutdown(port, RCV);
    cr_assert(write(end, "x", 1) < 0 && errno == EPIPE);
    cr_assert(is_quiet());
    transmit_data(port, "y", 1);
    cr_assert_eq(recv(end, (char[1]){0}, 1, MSG_DONTWAIT), 1);
}

Test(vsock, answers_a_clean_disconnect)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit_shutdown(port, RCV | SEND);
    cr_assert_eq(expect(RST).src_port, port);
    cr_assert(is_ended(end));
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    cr_assert(is_quiet());
}

Test(vsock, adds_up_what_the_guest_says_of_its_end)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit_shutdown(port, SEND);
    transmit_shutdown(port, 0); /* hints are permanent: 5.10.6.5 */
    cr_assert_eq(vsock_stream_count(&vsock), 1);
    transmit_shutdown(port, RCV);
    expect(RST);
    cr_assert_eq(vsock_stream_count(&vsock), 0);
}

Test(vsock, closes_the_socket_when_the_guest_resets_the_stream)
{
    int end;
    uint32_t port = open_stream(&end);

    transmit(RST, PORT, port);
    cr_assert(is_ended(end));
    cr_assert(is_quiet());
    cr_assert_eq(vsock_stream_count(&vsock), 0);
}

Test(vsock, tells_the_guest_that_nobody_takes_its_bytes)
{
    int end;
    uint32_t port = open_stream(&end);

    cr_assert_eq(write(end, "unread", 6), 6);
    close(end);
    cr_assert_eq(expect(RW).len, 6);
    cr_assert_eq(expect(SHUTDOWN).flags, SEND);
    transmit_data(port, "x", 1);
    cr_assert_eq(expect(SHUTDOWN).flags, SEND | RCV);
    transmit_data(port, "y", 1); /* sent before that came */
    cr_assert(is_quiet());
    transmit(RST, PORT, port);
    cr_assert_eq(vsock_stream_count(&vsock), 0);
}

/* ---- Sockets that listen ------------------------------------------------ */

/* A TCP socket that listens, as `*address`. */
static int listen_at(struct sockaddr_in *address)
{
    socklen_t bytes = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    *address = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(bind(fd, (struct sockaddr *)address, bytes), 0);
    cr_assert_eq(listen(fd, 64), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)address, &bytes), 0);
    return fd;
}

static int connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert_eq(
        connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
    return fd;
}

Test(vsock, accepts_connections_for_the_guest)
{
    struct sockaddr_in address;
    int listener = listen_at(&address), client;
    header_t header;
    char text[4];

    cr_assert_eq(vsock_listen(&vsock, listener, 7000), 0);
    cr_assert(is_quiet());
    client = connect_to(&address);
    header = expect(REQUEST);
    cr_assert_eq(header.dst_port, 7000);
    transmit(RESPONSE, 7000, header.src_port);
    header = make_header(RW, 7000, header.src_port);
    header.len = 2;
    transmit_raw(header, "ok", 2);
    cr_assert_eq(recv(client, text, sizeof(text), 0), 2);
}

Test(vsock, cuts_off_the_peer_of_a_stream_that_the_guest_resets)
{
    struct sockaddr_in address;
    int listener = listen_at(&address), client;
    header_t header;
    char byte;

    cr_assert_eq(vsock_listen(&vsock, listener, PORT), 0);
    client = connect_to(&address);
    header = expect(REQUEST);
    transmit(RESPONSE, PORT, header.src_port);
    transmit(RST, PORT, header.src_port);
    cr_assert_eq(recv(client, &byte, 1, 0), -1);
    cr_assert_eq(errno, ECONNRESET);
}

Test(vsock, tells_the_guest_of_a_peer_that_was_cut_off)
{
    const struct linger linger = {1, 0};
    struct sockaddr_in address;
    int listener = listen_at(&address), client;
    header_t header;

    cr_assert_eq(vsock_listen(&vsock, listener, PORT), 0);
    client = connect_to(&address);
    header = expect(REQUEST);
    transmit(RESPONSE, PORT, header.src_port);
    setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(client);
    expect(RST);
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    cr_assert(is_quiet());
}

Test(vsock, accepts_all_that_came_at_once)
{
    struct sockaddr_in address;
    int listener = listen_at(&address);

    cr_assert_eq(vsock_listen(&vsock, listener, PORT), 0);
    for (unsigned i = 0; i < 40; i++)
        connect_to(&address);
    for (unsigned i = 0; i < 40; i++)
        expect(REQUEST);
    cr_assert(is_quiet());
    cr_assert_eq(vsock_stream_count(&vsock), 40);
}

Test(vsock, has_room_for_so_many_listeners)
{
    struct sockaddr_in address;

    for (unsigned i = 0; i < VSOCK_LISTENERS_MAX; i++)
        cr_assert_eq(vsock_listen(&vsock, listen_at(&address), PORT), 0);
    cr_assert_eq(vsock_listen(&vsock, listen_at(&address), PORT), -ENOSPC);
}

TestSuite(vsock_bare, .init = set_up_without_buffers, .fini = tear_down,
          .timeout = 20);

Test(vsock_bare, leaves_connections_with_the_host_until_the_driver_is_there)
{
    struct sockaddr_in address;
    int listener = listen_at(&address);

    cr_assert_eq(vsock_listen(&vsock, listener, PORT), 0);
    connect_to(&address);
    serve();
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    cr_assert(kicks_next(VSOCK_RX));
    post_rx(2);
    expect(REQUEST);
}

Test(vsock_bare, keeps_an_offer_until_the_driver_is_there)
{
    int ends[2];

    make_pair(ends);
    cr_assert_eq(vsock_offer(&vsock, ends[0], PORT), 0);
    serve();
    cr_assert(kicks_next(VSOCK_RX));
    bring_up(); /* which resets the device */
    post_rx(1);
    expect(REQUEST);
}
