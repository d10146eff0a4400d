/* SPDX-License-Identifier: MIT */
/* The tap and the stream socket that a network device may be linked to. */
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/net_driver.h"
#include "virtio/stream.h"
#include "virtio/tap.h"

#define LARGE 65001u /* bytes of a frame that sockets take in part */

static struct tap tap;
static struct stream stream;
static int peer; /* the other end */

static void make_pair(int type, int *ours)
{
    int fds[2];

    cr_assert_eq(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds), 0);
    *ours = fds[0];
    peer = fds[1];
    signal(SIGPIPE, SIG_IGN);
}

static void start_backend(struct net_backend *with)
{
    backend = with;
    start(FEATURE(CTRL_RX) | TSO_RX);
}

/* ---- The tap: a datagram socket stands for it ---------------------------- */

static void set_up_tap(void)
{
    int fd;

    make_pair(SOCK_SEQPACKET, &fd);
    cr_assert_eq(tap_init(&tap, fd), -ENOTTY, "a socket is no tap");
    start_backend(&tap.backend);
}

/* The host has a frame for the guest, behind a header. */
static void tap_arrive(net_header header, size_t bytes)
{
    uint8_t packet[4096];

    memcpy(packet, &header, sizeof(header));
    for (size_t i = 0; i < bytes; i++)
        packet[sizeof(header) + i] = frame_byte(i);
    cr_assert_eq(write(peer, packet, sizeof(header) + bytes),
                 (ssize_t)(sizeof(header) + bytes));
}

Test(tap, moves_a_frame_and_its_header_to_the_guest, .init = set_up_tap)
{
    unsigned long calls;

    post_rx_many(4);
    serve();
    calls = os_calls;
    tap_arrive((net_header){.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                    .csum_start = 34,
                                    .csum_offset = 6}},
               200);
    serve();
    cr_assert_eq(os_calls - calls, 2, "one frame, and no more");
    cr_assert_eq(used_elem(NET_RX, 0).len, 212);
    cr_assert_eq(rx_header(RX_DATA)->hdr.csum_start, 34);
    cr_assert_eq(rx_header(RX_DATA)->num_buffers, 1);
    for (size_t i = 0; i < 200; i++)
        cr_assert_eq(((uint8_t *)at(RX_DATA + 12))[i], frame_byte(i));
}

Test(tap, moves_a_frame_and_its_header_to_the_host, .init = set_up_tap)
{
    uint8_t packet[4096];
    net_header header;

    transmit_with((net_header){.hdr = {.flags = 0xff, .csum_start = 34},
                               .num_buffers = 3},
                  100);
    serve();
    cr_assert_eq(read(peer, packet, sizeof(packet)), 112);
    memcpy(&header, packet, sizeof(header));
    cr_assert_eq(header.hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    cr_assert_eq(header.hdr.csum_start, 34);
    cr_assert_eq(header.num_buffers, 0);
    for (size_t i = 0; i < 100; i++)
        cr_assert_eq(packet[12 + i], frame_byte(i));
}

Test(tap, knows_a_frame_that_is_too_long, .init = set_up_tap)
{
    post_rx_many(4);
    tap_arrive((net_header){.num_buffers = 0}, 1514);
    tap_arrive((net_header){.num_buffers = 0}, 1515);
    tap_arrive((net_header){.num_buffers = 0}, 3000);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(net.stats.rx_dropped, 2);
}

Test(tap, waits_until_the_host_takes_more, .init = set_up_tap)
{
    struct pollfd file;
    uint8_t packet[4096];
    uint64_t sent;

    while (!net.tx_stuck && net.stats.tx_frames < 100000) {
        transmit(1000);
        serve();
    }
    cr_assert(net.tx_stuck);
    vdev_want(&net.dev, &file);
    cr_assert_eq(file.fd, tap.backend.fd);
    cr_assert(file.events & POLLOUT);
    sent = net.stats.tx_frames;
    while (read(peer, packet, sizeof(packet)) > 0)
        continue;
    cr_assert_eq(vdev_ready(&net.dev), 0);
    cr_assert_eq(net.stats.tx_frames, sent + 1);
}

Test(tap, that_is_removed_takes_the_link_down, .init = set_up_tap)
{
    post_rx_many(4);
    close(peer);
    serve();
    cr_assert(tap.backend.gone);
    cr_assert_eq(net.config.status, 0);
}

/* Makes a real tap in a network of its own. Returns its file, or -1. */
static int open_tap(struct ifreq *request)
{
    int bytes = NET_HEADER_BYTES;
    int fd;

    *request = (struct ifreq){.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    fd = unshare(CLONE_NEWNET) ? -1 : open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (fd >= 0 &&
        (ioctl(fd, TUNSETIFF, request) || ioctl(fd, TUNSETVNETHDRSZ, &bytes))) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Brings the interface up. Returns a socket to what passes there. */
static int bring_tap_up(struct ifreq *request)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL)};

    cr_assert_geq(fd, 0);
    cr_assert_eq(ioctl(fd, SIOCGIFINDEX, request), 0);
    address.sll_ifindex = request->ifr_ifindex;
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(ioctl(fd, SIOCGIFFLAGS, request), 0);
    request->ifr_flags |= IFF_UP;
    cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, request), 0);
    return fd;
}

/* Waits until there is something to read; the test's time limit ends it. */
static void wait_for(int fd)
{
    struct pollfd file = {.fd = fd, .events = POLLIN};

    (void)poll(&file, 1, -1);
}

/* Whether the guest got a frame that looks like this one. */
static bool guest_got(const uint8_t *frame, size_t bytes)
{
    for (unsigned i = 0; i < net.stats.rx_frames; i++)
        if (memcmp(at(RX_DATA + i * UINT64_C(0x800) + 12), frame, bytes) == 0)
            return true;
    return false;
}

Test(tap, is_a_tap_of_the_host, .timeout = 20)
{
    struct ifreq request;
    int fd = open_tap(&request), packets;
    uint8_t frame[100], got[2048];
    ssize_t bytes = 0;

    if (fd < 0)
        cr_skip_test("no tap: not root, or no /dev/net/tun");
    cr_assert_eq(tap_init(&tap, fd), 0);
    backend = &tap.backend;
    start(FEATURE(CTRL_RX));
    post_rx_many(200);
    transmit(100);
    serve();
    cr_assert_eq(net.stats.tx_errors, 1, "the interface is down");
    cr_assert(vdev_is_live(&net.dev));
    cr_assert_eq(net.config.status, VIRTIO_NET_S_LINK_UP);
    cr_assert_eq(lines, 0, "offloads were taken");

    packets = bring_tap_up(&request);
    transmit(100);
    serve();
    cr_assert_eq(net.stats.tx_frames, 1);
    for (size_t i = 0; i < sizeof(frame); i++)
        frame[i] = frame_byte(i);
    while (bytes != 100 || memcmp(got, frame, sizeof(frame)) != 0) {
        wait_for(packets);
        bytes = read(packets, got, sizeof(got));
    }

    cr_assert_eq(write(packets, frame, sizeof(frame)), 100);
    while (!guest_got(frame, sizeof(frame))) {
        wait_for(fd);
        serve();
    }
    cr_assert_eq(net.stats.rx_errors, 0);
}

/* ---- The stream ---------------------------------------------------------- */

static void set_up_stream(void)
{
    int fd;

    make_pair(SOCK_STREAM, &fd);
    stream_init(&stream, fd);
    start_backend(&stream.backend);
}

/* Makes a frame of `bytes` bytes with its length. Returns both lengths. */
static size_t make_packet(uint8_t *to, size_t bytes)
{
    to[0] = (uint8_t)(bytes >> 24);
    to[1] = (uint8_t)(bytes >> 16);
    to[2] = (uint8_t)(bytes >> 8);
    to[3] = (uint8_t)bytes;
    for (size_t i = 0; i < bytes && i < 70000; i++)
        to[4 + i] = frame_byte(i);
    return 4 + bytes;
}

static void peer_sends(size_t bytes)
{
    static uint8_t packet[80000];
    size_t all = make_packet(packet, bytes);

    cr_assert_eq(write(peer, packet, all), (ssize_t)all);
}

Test(stream, has_no_offloads, .init = set_up_stream)
{
    cr_assert_eq(
        net.dev.offered & (ALL_OFFLOADS | FEATURE(CTRL_GUEST_OFFLOADS)), 0);
}

Test(stream, moves_many_frames_with_one_call, .init = set_up_stream)
{
    unsigned long calls;

    post_rx_many(40);
    serve();
    for (unsigned i = 0; i < 20; i++)
        peer_sends(60 + i);
    calls = os_calls;
    serve();
    cr_assert_eq(net.stats.rx_frames, 20);
    cr_assert_eq(os_calls - calls, 2);
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(used_elem(NET_RX, i).len, 72 + i);
    for (size_t i = 0; i < 60; i++)
        cr_assert_eq(((uint8_t *)at(RX_DATA + 12))[i], frame_byte(i));
}

Test(stream, takes_a_frame_byte_by_byte, .init = set_up_stream)
{
    uint8_t packet[200];
    size_t all = make_packet(packet, 100);

    post_rx_many(4);
    for (size_t i = 0; i < all; i++) {
        cr_assert_eq(net.stats.rx_frames, 0);
        cr_assert_eq(write(peer, packet + i, 1), 1);
        serve();
    }
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(used_elem(NET_RX, 0).len, 112);
}

Test(stream, keeps_frames_until_there_is_room, .init = set_up_stream)
{
    (void)post_rx(0, 2048);
    peer_sends(60);
    peer_sends(61);
    peer_sends(62);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    (void)post_rx(1, 2048);
    (void)post_rx(2, 2048);
    serve();
    cr_assert_eq(net.stats.rx_frames, 3);
    cr_assert_eq(used_elem(NET_RX, 2).len, 74);
}

Test(stream, drops_a_frame_that_is_too_long_for_the_mtu, .init = set_up_stream)
{
    post_rx_many(4);
    peer_sends(1515);
    peer_sends(65553);
    serve();
    serve();
    peer_sends(60);
    serve();
    cr_assert_eq(net.stats.rx_dropped, 2);
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_not(stream.backend.gone);
}

static void assert_link_down_after(size_t length)
{
    static uint8_t packet[80000];

    set_up_stream();
    lines = 0;
    post_rx_many(4);
    (void)make_packet(packet, length);
    cr_assert_eq(write(peer, packet, 4), 4);
    serve();
    cr_assert(stream.backend.gone, "%zu", length);
    cr_assert_eq(net.config.status, 0);
    cr_assert(net.dev.interrupts & VDEV_INTERRUPT_CONFIG);
    cr_assert_eq(lines, 2);
}

Test(stream, goes_down_with_an_impossible_length)
{
    assert_link_down_after(0);
    assert_link_down_after(13);
    assert_link_down_after(65554);
    assert_link_down_after(UINT32_MAX);
}

Test(stream, gives_what_came_before_the_end, .init = set_up_stream)
{
    post_rx_many(4);
    peer_sends(60);
    close(peer);
    serve();
    cr_assert_eq(net.stats.rx_frames, 1);
    cr_assert_eq(net.config.status, 0);
    cr_assert(net.dev.interrupts & VDEV_INTERRUPT_CONFIG);
}

Test(stream, goes_down_when_nobody_reads, .init = set_up_stream)
{
    close(peer);
    transmit(60);
    serve();
    cr_assert_eq(net.config.status, 0);
    cr_assert_eq(net.stats.tx_errors, 1);
    cr_assert_eq(used_count(NET_TX), 1);
}

/* Reads from the peer's end until there is nothing more. */
static size_t drain(uint8_t *to, size_t room)
{
    size_t done = 0;
    ssize_t bytes;

    while ((bytes = read(peer, to + done, room - done)) > 0)
        done += (size_t)bytes;
    return done;
}

Test(stream, puts_the_length_before_a_frame, .init = set_up_stream)
{
    uint8_t packet[4096], expected[4096];

    transmit(600);
    serve();
    cr_assert_eq(drain(packet, sizeof(packet)), 604);
    (void)make_packet(expected, 600);
    cr_assert_eq(memcmp(packet, expected, 604), 0);
}

/* Sends large frames until the socket has taken one in part. */
static void fill_socket(void)
{
    int fd;

    make_pair(SOCK_STREAM, &fd);
    stream_init(&stream, fd);
    backend = &stream.backend;
    start_with((struct net_options){.mtu = 65535}, 0);
    bring_up(net.dev.offered);
    for (unsigned i = 0; i < 100 && !net.tx_stuck; i++) {
        transmit(LARGE);
        serve();
        cr_assert(net.tx_stuck || stream.out_end == 0, "a rest waits");
    }
    cr_assert(net.tx_stuck);
    cr_assert_gt(stream.out_end, stream.out_start);
}

Test(stream, sends_the_rest_of_a_frame_later)
{
    static uint8_t got[1 << 22];
    static uint8_t expected[80000];
    size_t all, done = 0, one;
    struct pollfd file;

    fill_socket();
    vdev_want(&net.dev, &file);
    cr_assert(file.events & POLLOUT);
    all = drain(got, sizeof(got));
    cr_assert_eq(vdev_ready(&net.dev), 0);
    all += drain(got + all, sizeof(got) - all);
    cr_assert_not(net.tx_stuck);
    one = make_packet(expected, LARGE);
    cr_assert_eq(all, net.stats.tx_frames * one);
    for (; done < all; done += one)
        cr_assert_eq(memcmp(got + done, expected, one), 0, "at %zu", done);
}

Test(stream, stays_in_step_over_a_reset)
{
    static uint8_t got[1 << 22];
    size_t all;

    fill_socket();
    bring_up(net.dev.offered);
    all = drain(got, sizeof(got));
    serve();
    all += drain(got + all, sizeof(got) - all);
    cr_assert_eq(all, net.stats.tx_frames * (4 + LARGE));
}
