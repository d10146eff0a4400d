/* SPDX-License-Identifier: MIT */
/* Sockets that are handed over to the socket device, and that others have. */
#include "tests/unit/vsock_driver.h"

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
