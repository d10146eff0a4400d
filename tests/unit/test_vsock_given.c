/* SPDX-License-Identifier: MIT */
/* Sockets that are handed over to the socket device, and that others have. */
#include "tests/unit/vsock_driver.h"

#include <linux/tcp.h>

TestSuite(vsock_given, .init = set_up, .fini = tear_down);

/* Hands [0] of a new pair over, and keeps `*other`, which is the same. */
static header_t give(uint32_t room, int *end, int *other)
{
    int ends[2];

    make_pair(ends);
    *end = ends[1];
    *other = dup(ends[0]);
    cr_assert_eq(write(ends[1], "0123456789", 10), 10);
    cr_assert_eq(vsock_offer_ahead(&vsock, ends[0], PORT, room), 0);
    return expect(REQUEST);
}

/* ---- Data with the request ----------------------------------------------- */

Test(vsock_given, brings_its_data_with_the_request_where_there_is_room)
{
    int end, other;
    header_t header = give(100, &end, &other);

    cr_assert_eq(expect(RW).len, 10);
    cr_assert(is_quiet());
    cr_assert_eq(vsock.progress->in_bytes, 10);
    transmit(RESPONSE, PORT, header.src_port);
    cr_assert(is_quiet());
    cr_assert_eq(write(end, "more", 4), 4);
    cr_assert_eq(vdev_ready(&vsock.dev), 0);
    cr_assert_eq(expect(RW).len, 4);
}

Test(vsock_given, brings_as_much_as_there_is_room_for_and_asks_for_no_more)
{
    int end, other;
    header_t header = give(4, &end, &other);

    cr_assert_eq(expect(RW).len, 4);
    cr_assert(is_quiet());
    transmit(RESPONSE, PORT, header.src_port);
    cr_assert_eq(expect(RW).len, 6);
}

Test(vsock_given, brings_none_where_there_is_no_room)
{
    int end, other;

    (void)give(0, &end, &other);
    cr_assert(is_quiet());
    cr_assert_eq(vsock.progress->in_bytes, 0);
}

Test(vsock_given, is_cut_off_where_the_guest_does_not_want_it_after_all)
{
    int end, other;
    header_t header = give(100, &end, &other);

    (void)expect(RW);
    transmit(RST, PORT, header.src_port);
    cr_assert_eq(vsock.stats.refused, 1);
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    cr_assert(vsock_is_over(&vsock));
    cr_assert(is_quiet());
}

/* ---- What counts as written to ------------------------------------------- */

/* How many of the receive buffers' pages the device has written to. */
static unsigned count_marked(const uint64_t marks[RAM_BYTES / 4096 / 64])
{
    unsigned first = (RX_DATA - RAM_BASE) / 4096, count = 0;

    for (unsigned i = first; i < first + RX_PLACES * 4; i++)
        count += marks[i / 64] >> i % 64 & 1;
    return count;
}

Test(vsock_given, marks_of_receive_buffers_what_was_written)
{
    static uint64_t marks[RAM_BYTES / 4096 / 64];
    struct gmem marked = mem;
    char much[6000] = {0};
    int end, other;
    header_t header;

    marked.marks = marks;
    vsock.dev.mem = &marked;
    for (unsigned i = 0; i < VSOCK_QUEUES; i++)
        vsock.dev.queues[i].mem = &marked;
    header = give(100, &end, &other);
    cr_assert_eq(count_marked(marks), 2); /* each buffer has three */
    (void)expect(RW);
    transmit(RESPONSE, PORT, header.src_port);
    serve();
    cr_assert_eq(count_marked(marks), 2);
    cr_assert_eq(write(end, much, sizeof(much)), (ssize_t)sizeof(much));
    cr_assert_eq(vdev_ready(&vsock.dev), 0);
    cr_assert_eq(expect(RW).len, sizeof(much));
    cr_assert_eq(count_marked(marks), 4);
}

/* ---- Others who have the socket ------------------------------------------ */

Test(vsock_given, ends_for_its_peer_when_the_guest_ends_it)
{
    int end, other;
    header_t header = give(100, &end, &other);
    char got[4];

    (void)expect(RW);
    transmit(RESPONSE, PORT, header.src_port);
    transmit_data(header.src_port, "bye", 3);
    transmit_shutdown(header.src_port, SEND | RCV);
    cr_assert_eq(vsock.progress->out_bytes, 3);
    read_all(end, got, 3);
    cr_assert(is_ended(end));
    cr_assert(vsock_is_over(&vsock));
}

Test(vsock_given, stays_open_where_the_guest_has_said_nothing)
{
    int end, other;
    header_t header = give(100, &end, &other);

    (void)expect(RW);
    transmit(RESPONSE, PORT, header.src_port);
    transmit_shutdown(header.src_port, SEND | RCV);
    cr_assert(vsock_is_over(&vsock));
    cr_assert(is_empty(end));
    close(other);
    cr_assert(is_ended(end));
}

Test(vsock_given, stays_open_when_the_device_is_reset)
{
    int end, other;
    header_t header = give(100, &end, &other);

    (void)expect(RW);
    transmit(RESPONSE, PORT, header.src_port);
    transmit_data(header.src_port, "half", 4);
    vdev_set_status(&vsock.dev, 0);
    cr_assert_eq(vsock_stream_count(&vsock), 0);
    cr_assert_eq(write(other, "rest", 4), 4);
    close(other);
}

/* ---- Segments ------------------------------------------------------------ */

/* Hands the server's end of a TCP connection over; returns the client's. */
static int give_tcp(header_t *request)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0), end, other;

    cr_assert_eq(bind(listener, (struct sockaddr *)&at, bytes), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&at, &bytes), 0);
    end = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(end, (struct sockaddr *)&at, sizeof(at)), 0);
    other = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    cr_assert_geq(other, 0);
    close(listener);
    cr_assert_eq(vsock_offer(&vsock, other, PORT), 0);
    *request = expect(REQUEST);
    transmit(RESPONSE, PORT, request->src_port);
    return end;
}

static uint32_t count_segments(int fd)
{
    struct tcp_info info;
    socklen_t bytes = sizeof(info);

    cr_assert_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
    return info.tcpi_segs_in;
}

/* Puts a packet into the ring, of which the device is not told. */
static void add_packet(header_t header)
{
    uint64_t place = TX_DATA + UINT64_C(0x1000) * next_desc[VSOCK_TX];

    memcpy(at(place), &header, sizeof(header));
    memset(at(place + HEADER), 'x', header.len);
    post(VSOCK_TX, place, HEADER + header.len, 0);
}

static void add_data(uint32_t host_port, uint32_t bytes)
{
    header_t header = make_header(RW, PORT, host_port);

    header.len = bytes;
    add_packet(header);
}

static void add_end(uint32_t host_port)
{
    header_t header = make_header(SHUTDOWN, PORT, host_port);

    header.flags = SEND | RCV;
    add_packet(header);
}

Test(vsock_given, has_its_last_bytes_and_its_end_in_one_segment)
{
    header_t request;
    int end = give_tcp(&request);
    uint32_t before = count_segments(end);
    char got[300];

    add_data(request.src_port, 100);
    add_data(request.src_port, 200);
    add_end(request.src_port);
    serve();
    read_all(end, got, sizeof(got));
    cr_assert(is_ended(end));
    cr_assert_eq(count_segments(end), before + 1);
    cr_assert(vsock_is_over(&vsock));
    close(end);
}

/* TCP itself would wait for 200 ms for what may follow. */
Test(vsock_given, has_its_bytes_at_once_when_another_stream_goes_on)
{
    header_t first, second;
    int end = give_tcp(&first), other = give_tcp(&second);
    struct pollfd file = {.fd = end, .events = POLLIN};

    for (unsigned i = 0; i < 3; i++) {
        char got[100];

        add_data(first.src_port, sizeof(got));
        add_end(second.src_port + i);
        serve();
        cr_assert_eq(poll(&file, 1, 150), 1);
        read_all(end, got, sizeof(got));
        cr_assert_not(is_ended(end));
    }
    close(end);
    close(other);
}

/* ---- Kicks --------------------------------------------------------------- */

Test(vsock_given, needs_no_kicks_while_the_device_is_quiet)
{
    int end, other;
    header_t header = give(100, &end, &other);

    (void)expect(RW);
    cr_assert(kicks_next(VSOCK_TX));
    vsock_set_quiet(&vsock, true);
    cr_assert_not(kicks_next(VSOCK_TX));
    transmit(RESPONSE, PORT, header.src_port);
    cr_assert_not(kicks_next(VSOCK_TX));
    vsock_set_quiet(&vsock, false);
    serve();
    cr_assert(kicks_next(VSOCK_TX));
}
