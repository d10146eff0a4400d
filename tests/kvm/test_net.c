/* SPDX-License-Identifier: MIT */
/* Networks, from a peer on a socket through the guest's program and back. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/kvm/kvm_test.h"

TestSuite(net, .timeout = 240);

#define FRAMES      500u
#define FRAME_BYTES 200u
#define WINDOW      32u

/* A peer that sends frames of all kinds, and counts what comes back right. */
struct peer {
    int fd;
    unsigned frames; /* to send */
    unsigned window; /* at most so many are on their way */
    bool slow;       /* lets the guest get back to what it does */
    unsigned right;
    pthread_t thread;
};

static struct mayfly_net net;

static void read_all(int fd, void *to, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = read(fd, (char *)to + done, bytes - done);

        if (got <= 0)
            return;
        done += (size_t)got;
    }
}

static void send_frame(int fd, unsigned number)
{
    unsigned char message[4 + FRAME_BYTES] = {0};
    uint32_t length = htonl(FRAME_BYTES);

    memcpy(message, &length, 4);
    memcpy(message + 4, "\x52\x54\0\0\0\1\x52\x54\0\0\0\2\x88\xb5", 14);
    for (unsigned i = 14; i < FRAME_BYTES; i++)
        message[4 + i] = (unsigned char)(number * 7 + i);
    if (write(fd, message, sizeof(message)) != (ssize_t)sizeof(message))
        return;
}

/* The same frame, with source and destination exchanged? */
static bool is_echo(const unsigned char *frame, unsigned number)
{
    if (memcmp(frame, "\x52\x54\0\0\0\2\x52\x54\0\0\0\1\x88\xb5", 14) != 0)
        return false;
    for (unsigned i = 14; i < FRAME_BYTES; i++)
        if (frame[i] != (unsigned char)(number * 7 + i))
            return false;
    return true;
}

static void *talk(void *argument)
{
    struct peer *peer = argument;
    unsigned sent = 0;

    for (unsigned back = 0; back < peer->frames; back++) {
        unsigned char frame[FRAME_BYTES];
        uint32_t length = 0;

        if (peer->slow)
            nanosleep(&(struct timespec){0, 30000000}, NULL);
        while (sent < peer->frames && sent - back < peer->window)
            send_frame(peer->fd, sent++);
        read_all(peer->fd, &length, sizeof(length));
        if (ntohl(length) != FRAME_BYTES)
            break;
        read_all(peer->fd, frame, FRAME_BYTES);
        peer->right += is_echo(frame, back);
    }
    return NULL;
}

static struct guest net_guest(const char *image, int *peer_fd)
{
    struct guest guest = {.image = image};
    int sockets[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    net = (struct mayfly_net){
        .fd = sockets[0],
        .kind = MAYFLY_NET_STREAM,
        .mac = {0x52, 0x54, 0, 0, 0, 1},
    };
    *peer_fd = sockets[1];
    guest.options = (struct mayfly_options){
        .nets = &net,
        .net_count = 1,
        .poll_ns = MAYFLY_POLL_NS,
    };
    return guest;
}

static void echo_frames(enum mayfly_io io, enum mayfly_transport transport)
{
    struct peer peer = {.frames = FRAMES, .window = WINDOW};
    struct guest guest = net_guest("netecho", &peer.fd);

    guest.options.io = io;
    guest.options.transport = transport;
    guest.args[0] = "-n";
    guest.args[1] = "500";
    cr_assert_eq(pthread_create(&peer.thread, NULL, talk, &peer), 0);
    run_guest(&guest);
    pthread_join(peer.thread, NULL);
    assert_exited(&guest, 0, NULL);
    cr_assert_eq(peer.right, FRAMES);
    cr_assert_eq(guest.stats.nets[0].rx_frames, FRAMES);
    cr_assert_eq(guest.stats.nets[0].tx_frames, FRAMES);
    cr_assert_eq(guest.stats.nets[0].rx_dropped, 0);
    cr_assert_eq(guest.stats.nets[0].tx_dropped, 0);
}

Test(net, echoes_every_frame_inline)
{
    echo_frames(MAYFLY_IO_INLINE, MAYFLY_TRANSPORT_NATIVE);
}

Test(net, echoes_every_frame_with_a_thread)
{
    echo_frames(MAYFLY_IO_THREAD, MAYFLY_TRANSPORT_NATIVE);
}

Test(net, echoes_every_frame_as_it_chooses)
{
    echo_frames(MAYFLY_IO_AUTO, MAYFLY_TRANSPORT_NATIVE);
}

Test(net, echoes_every_frame_through_registers)
{
    echo_frames(MAYFLY_IO_THREAD, MAYFLY_TRANSPORT_MMIO);
}

Test(net, tells_the_guest_when_the_peer_goes)
{
    int fd;
    struct guest guest = net_guest("netsink", &fd);

    send_frame(fd, 0);
    close(fd);
    guest.args[0] = "-t";
    guest.args[1] = "1";
    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    cr_assert_eq(guest.stats.nets[0].rx_frames, 1);
}

/* A guest that computes gets its packets by upcalls. */
Test(net, interrupts_a_computing_guest)
{
    struct peer peer = {.frames = 20, .window = 1, .slow = true};
    struct guest guest = net_guest("netcompute", &peer.fd);

    guest.args[0] = "-n";
    guest.args[1] = "20";
    cr_assert_eq(pthread_create(&peer.thread, NULL, talk, &peer), 0);
    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    pthread_join(peer.thread, NULL);
    cr_assert_eq(peer.right, 20);
    cr_assert_gt(guest.stats.injections, 0);
    cr_assert_leq(guest.stats.injections, 20);
}

/* One upcall tells of many packets. */
Test(net, moderates_the_interrupts_of_a_flood)
{
    struct peer peer = {.frames = FRAMES, .window = WINDOW};
    struct guest guest = net_guest("netcompute", &peer.fd);

    guest.args[0] = "-n";
    guest.args[1] = "500";
    cr_assert_eq(pthread_create(&peer.thread, NULL, talk, &peer), 0);
    run_guest(&guest);
    assert_exited(&guest, 0, NULL);
    pthread_join(peer.thread, NULL);
    cr_assert_eq(peer.right, FRAMES);
    cr_assert_lt(guest.stats.injections, FRAMES / 2);
}
