/* SPDX-License-Identifier: MIT */
/* netpeer: numbered frames, sent and counted. */
#include "tests/bench/netpeer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define BATCH      32u
#define SILENCE_MS 500 /* after which what is on its way counts as lost */
#define STALLS_MAX 5
#define STAMPS     65536u /* send times that are kept; a window is smaller */

struct head {
    struct ethhdr ether;
    uint32_t number;
} __attribute__((packed));

/* The packet socket on the interface, for frames of our type. */
struct port {
    int fd;
    unsigned char frames[BATCH][FRAME_MAX];
    struct iovec pieces[BATCH];
    struct mmsghdr messages[BATCH];
};

static struct port *open_port(void)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(TYPE),
        .sll_ifindex = (int)if_nametoindex(options.name),
    };
    struct port *port = calloc(1, sizeof(*port));
    int one = 1, room = 8 << 20;

    if (!port || !address.sll_ifindex)
        die("cannot find interface %s", options.name);
    port->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(TYPE));
    if (port->fd < 0)
        die("cannot open a packet socket");
    if (bind(port->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die("cannot bind to %s", options.name);
    setsockopt(port->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
    setsockopt(port->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
    setsockopt(port->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    for (unsigned i = 0; i < BATCH; i++) {
        port->pieces[i].iov_base = port->frames[i];
        port->messages[i].msg_hdr.msg_iov = &port->pieces[i];
        port->messages[i].msg_hdr.msg_iovlen = 1;
    }
    return port;
}

static void read_own_mac(int fd, uint8_t *mac)
{
    struct ifreq wish = named(options.name);

    if (ioctl(fd, SIOCGIFHWADDR, &wish) < 0)
        die("no address of %s", options.name);
    memcpy(mac, wish.ifr_hwaddr.sa_data, ETH_ALEN);
}

/* Sends up to `count` frames from `number` on. Returns how many. */
static unsigned send_some(struct port *port, unsigned count, uint32_t number)
{
    int sent;

    if (count > BATCH)
        count = BATCH;
    for (unsigned i = 0; i < count; i++) {
        struct head *head = (struct head *)port->frames[i];

        head->number = htonl(number + i);
        port->pieces[i].iov_len = options.bytes;
    }
    sent = sendmmsg(port->fd, port->messages, count, 0);
    if (sent < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
        die("cannot send");
    return sent < 0 ? 0 : (unsigned)sent;
}

/* Receives what is there, waiting for the first. Returns how many, or 0. */
static unsigned receive_some(struct port *port, int wait_ms)
{
    struct pollfd file = {port->fd, POLLIN, 0};
    int found;

    for (unsigned i = 0; i < BATCH; i++)
        port->pieces[i].iov_len = FRAME_MAX;
    found = recvmmsg(port->fd, port->messages, BATCH, MSG_DONTWAIT, NULL);
    if (found < 0 && errno == EAGAIN && wait_ms && poll(&file, 1, wait_ms) > 0)
        found = recvmmsg(port->fd, port->messages, BATCH, MSG_DONTWAIT, NULL);
    return found < 0 ? 0 : (unsigned)found;
}

static uint32_t number_of(const struct port *port, unsigned i)
{
    return ntohl(((const struct head *)port->frames[i])->number);
}

static struct port *open_sender(void)
{
    struct port *port = open_port();
    struct head head = {.ether = {.h_proto = htons(TYPE)}};

    if (!options.has_mac || options.bytes < sizeof(head) ||
        options.bytes > FRAME_MAX)
        usage();
    memcpy(head.ether.h_dest, options.mac, ETH_ALEN);
    read_own_mac(port->fd, head.ether.h_source);
    for (unsigned i = 0; i < BATCH; i++)
        memcpy(port->frames[i], &head, sizeof(head));
    return port;
}

/* What has become of the numbered frames. */
struct tally {
    uint64_t sent, received, lost, disordered;
    uint32_t next; /* number that should come next */
    uint64_t stamps[STAMPS];
    uint64_t *times;
};

static void take_echoes(struct tally *tally, const struct port *port,
                        unsigned count)
{
    uint64_t now = now_ns();

    for (unsigned i = 0; i < count; i++) {
        uint32_t number = number_of(port, i);

        if (tally->received < options.count)
            tally->times[tally->received] =
                now - tally->stamps[number % STAMPS];
        tally->disordered += number < tally->next;
        tally->next = number + 1;
        tally->received++;
    }
    /* Some that counted as lost were only late. */
    if (tally->received + tally->lost > tally->sent)
        tally->lost = tally->sent - tally->received;
}

static void send_window(struct tally *tally, struct port *sender)
{
    uint64_t on_their_way = tally->sent - tally->received - tally->lost;
    uint64_t room = options.window - on_their_way;
    uint64_t left = options.count - tally->sent;
    unsigned sent;
    uint64_t now;

    if (on_their_way >= options.window || left == 0)
        return;
    now = now_ns();
    for (unsigned i = 0; i < BATCH; i++)
        tally->stamps[(tally->sent + i) % STAMPS] = now;
    sent = send_some(sender, (unsigned)(room < left ? room : left),
                     (uint32_t)tally->sent);
    tally->sent += sent;
}

int blast(void)
{
    struct port *sender = open_sender(), *receiver = open_port();
    static struct tally tally;
    unsigned stalls = 0;
    uint64_t start = now_ns(), end = start;

    tally.times = make_times(options.count);
    while (tally.received + tally.lost < options.count && !stopped &&
           stalls < STALLS_MAX) {
        unsigned found;

        send_window(&tally, sender);
        found = receive_some(receiver, SILENCE_MS);
        take_echoes(&tally, receiver, found);
        if (found > 0) {
            end = now_ns();
            continue;
        }
        tally.lost = tally.sent - tally.received;
        stalls++;
    }
    printf("blast sent=%llu received=%llu lost=%lld disordered=%llu us=%llu",
           (unsigned long long)tally.sent, (unsigned long long)tally.received,
           (long long)(tally.sent - tally.received),
           (unsigned long long)tally.disordered,
           (unsigned long long)(end - start) / 1000);
    printf(" rate_pps=%llu",
           end > start ? (unsigned long long)(tally.received * 1000000000u /
                                              (end - start))
                       : 0);
    print_times(tally.times, tally.received < options.count ? tally.received
                                                            : options.count);
    printf(" cpu_us=%llu\n", (unsigned long long)cpu_us());
    return tally.received == 0;
}

int flood(void)
{
    struct port *sender = open_sender();
    unsigned long sent = 0;
    uint64_t start = now_ns();

    while (sent < options.count && !stopped) {
        unsigned long left = options.count - sent;

        sent += send_some(sender, left < BATCH ? (unsigned)left : BATCH,
                          (uint32_t)sent);
    }
    printf("flood sent=%lu us=%llu cpu_us=%llu\n", sent,
           (unsigned long long)(now_ns() - start) / 1000,
           (unsigned long long)cpu_us());
    return 0;
}

int count_frames(void)
{
    struct port *port = open_port();
    int silence_ms =
        options.interval_us ? (int)(options.interval_us / 1000) : SILENCE_MS;
    unsigned long frames = 0, missing = 0;
    uint64_t start = 0, end = 0;
    uint32_t next = 0;

    while (frames < options.count && !stopped) {
        unsigned found = receive_some(port, frames ? silence_ms : 10000);

        if (found == 0)
            break;
        end = now_ns();
        if (frames == 0)
            start = end;
        for (unsigned i = 0; i < found; i++) {
            missing += number_of(port, i) - next;
            next = number_of(port, i) + 1;
        }
        frames += found;
    }
    printf("count frames=%lu missing=%lu us=%llu cpu_us=%llu\n", frames,
           missing, (unsigned long long)(end - start) / 1000,
           (unsigned long long)cpu_us());
    return frames == 0;
}
