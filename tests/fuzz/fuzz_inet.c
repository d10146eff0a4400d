/* SPDX-License-Identifier: MIT */
/* Fuzzes the guest's TCP/IP: frames, sockets and time against lwIP's glue. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/sockios.h>

#include "guest_rt/generation.h"
#include "guest_rt/option.h"
#include "guest_rt/runtime.h"
#include "guest_rt/sched_timer.h"
#include "guest_rt/signals.h"
#include "guest_rt/socket_tcp.h"
#include "tests/fuzz/script.h"

/*
 * The stack and the sockets are the guest's own code, built for the host with
 * lwIP's checks on; the card, files and the scheduler are what is below. A
 * script of the fuzzer's opens sockets, delivers frames, most of them such as a
 * connection expects them, and lets time pass. It looks for what sanitizers and
 * lwIP's assertions see.
 */

#include "tests/fuzz/inet_runtime.h"

/* ---- The card ----------------------------------------------------------- */

#define BUFFERS      32u
#define BUFFER_BYTES 2048u
/* lwIP reads some bytes past options that end within one; a card's are 2 KiB.
 */
#define SLACK 64u

static struct nic card;
static struct nic_buffer buffers[BUFFERS];
static bool used[BUFFERS]; /* the stack has it */
static struct nic_buffer *waiting;
static nic_sent *sent;

static const uint8_t own_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 1};

int nic_count(void)
{
    return 1;
}

int nic_open(unsigned index, struct nic_info *info)
{
    (void)index;
    *info = (struct nic_info){.mtu = 1500,
                              .link_up = true,
                              .can = NIC_CAN_CHECKSUM_IN |
                                     NIC_CAN_CHECKSUM_OUT | NIC_CAN_TSO4_OUT,
                              .buffers = BUFFERS,
                              .buffer_bytes = BUFFER_BYTES};
    memcpy(info->mac, own_mac, sizeof(own_mac));
    card.buffers = buffers;
    return 0;
}

struct nic *nic_get(unsigned index)
{
    (void)index;
    return &card;
}

void nic_renew(struct nic *nic)
{
    memcpy(nic->mac, own_mac, sizeof(own_mac));
}

bool nic_read_link(const struct nic *nic)
{
    (void)nic;
    return true;
}

bool ring_has_used(struct ring *ring)
{
    return ring == &card.rings[NIC_RX] && waiting;
}

bool ring_want_event(struct ring *ring)
{
    return ring_has_used(ring);
}

void ring_refuse_event(struct ring *ring)
{
    (void)ring;
}

long nic_receive(unsigned index, struct nic_buffer **frames, unsigned max,
                 uint64_t deadline_ns)
{
    (void)index;
    (void)max;
    (void)deadline_ns;
    frames[0] = waiting;
    waiting = NULL;
    return frames[0] != NULL;
}

int nic_release(unsigned index, struct nic_buffer **frames, unsigned count)
{
    (void)index;
    for (unsigned i = 0; i < count; i++)
        for (struct nic_buffer *each = frames[i]; each; each = each->next) {
            used[each - buffers] = false;
            free(each->data);
            each->data = NULL;
        }
    return 0;
}

/* Touches all that the card would. */
int nic_send(unsigned index, const struct iovec *pieces, unsigned count,
             const struct nic_offload *offload, void *cookie)
{
    static volatile unsigned char sum;

    (void)index;
    (void)offload;
    for (unsigned i = 0; i < count; i++)
        for (size_t at = 0; at < pieces[i].iov_len; at++)
            sum = (unsigned char)(sum ^
                                  ((unsigned char *)pieces[i].iov_base)[at]);
    sent(cookie);
    return 0;
}

int nic_on_sent(unsigned index, nic_sent *function)
{
    (void)index;
    sent = function;
    return 0;
}

long nic_flush(unsigned index)
{
    (void)index;
    return 0;
}

int nic_arm(unsigned index)
{
    (void)index;
    return 0;
}

uint64_t nic_event(unsigned index)
{
    (void)index;
    return 1;
}

int nic_set_all_multicast(unsigned index, bool on)
{
    (void)index;
    (void)on;
    return 0;
}

/* Delivers a frame, cut into buffers of at most `piece` bytes. */
static void deliver(const uint8_t *frame, size_t bytes, size_t piece,
                    bool verified)
{
    struct source *source = &inet_card_get(0)->source;
    struct nic_buffer **link = &waiting, *first;

    waiting = NULL;
    for (size_t at = 0; at < bytes; at += piece) {
        size_t part = bytes - at < piece ? bytes - at : piece;
        unsigned i = 0;

        while (i < BUFFERS && used[i])
            i++;
        if (i == BUFFERS) {
            if (waiting)
                nic_release(0, &waiting, 1);
            waiting = NULL;
            return;
        }
        used[i] = true;
        buffers[i] = (struct nic_buffer){.data = calloc(1, part + SLACK),
                                         .bytes = (uint32_t)part};
        memcpy(buffers[i].data, frame + at, part);
        *link = &buffers[i];
        link = &buffers[i].next;
    }
    first = waiting;
    if (!first)
        return;
    first->frame_bytes = (uint32_t)bytes;
    first->offload.flags = verified ? NIC_OFFLOAD_VALID : 0;
    source->serve(source);
}

/* ---- The script --------------------------------------------------------- */

static const uint8_t *input, *input_end;

static unsigned next(void)
{
    return input < input_end ? *input++ : 0;
}

static size_t take_bytes(uint8_t *to, size_t most)
{
    size_t bytes = next() * 8u;

    if (bytes > most)
        bytes = most;
    if (bytes > (size_t)(input_end - input))
        bytes = (size_t)(input_end - input);
    memcpy(to, input, bytes);
    input += bytes;
    return bytes;
}

#define SOCKETS 8u
static struct socket *sockets[SOCKETS];

static void give_file(struct socket *socket)
{
    socket->file = file_create(&socket_file_ops, socket, O_RDWR | O_NONBLOCK);
}

static void close_one(unsigned index)
{
    if (!sockets[index])
        return;
    free(sockets[index]->file);
    sockets[index]->file = NULL;
    sockets[index]->ops->release(sockets[index]);
    sockets[index] = NULL;
}

static void open_one(unsigned index)
{
    struct socket_name name = {.bytes = sizeof(struct sockaddr_in)};
    unsigned kind = next() % 4;
    struct socket *socket;

    close_one(index);
    name.in.sin_family = AF_INET;
    name.in.sin_port = htons(7);
    if (socket_inet_create(AF_INET, kind == 0 ? SOCK_DGRAM : SOCK_STREAM, 0,
                           &socket))
        abort();
    give_file(socket);
    sockets[index] = socket;
    if (kind < 2) {
        socket->ops->bind(socket, &name);
        if (kind == 1)
            socket->ops->listen(socket, (int)next() % 4);
    } else {
        name.in.sin_addr.s_addr = htonl(0x0a000001);
        name.in.sin_port = htons((uint16_t)(1000 + next() % 4));
        socket->ops->connect(socket, &name);
    }
}

static void accept_one(struct socket *listener, unsigned index)
{
    struct socket *accepted;

    if (!listener->ops->accept || sockets[index] ||
        listener->ops->accept(listener, &accepted))
        return;
    give_file(accepted);
    sockets[index] = accepted;
}

static void use_one(struct socket *socket)
{
    static char buffer[70000];
    struct iovec piece = {buffer, next() * 270u + 1};
    struct socket_message message = {
        .iov = &piece, .count = 1, .bytes = piece.iov_len};
    struct socket_name name = {0};
    int number = (int)next();

    switch (next() % 8) {
    case 0:
        message.flags = number & (MSG_PEEK | MSG_WAITALL | MSG_TRUNC);
        message.name = &name;
        socket->ops->receive(socket, &message);
        break;
    case 1:
        message.flags = MSG_NOSIGNAL | (number & 1 ? MSG_MORE : 0);
        socket->ops->send(socket, &message);
        break;
    case 2:
        socket->ops->shutdown(socket, number % 3);
        break;
    case 3:
        accept_one(socket, next() % SOCKETS);
        break;
    case 4:
        socket->ops->poll(socket);
        socket->ops->get_name(socket, number & 1, &name);
        break;
    case 5:
        socket->ops->set_option(socket, IPPROTO_TCP, number, &number,
                                sizeof(number));
        break;
    case 6:
        socket->ops->ioctl(socket, number & 1 ? FIONREAD : SIOCOUTQ,
                           (long)&number);
        break;
    default:
        socket->linger = (struct linger){number & 1, 0};
    }
}

/* A frame's beginning up to the end of IPv4's header. */
static size_t begin_ip4(uint8_t *frame, uint8_t protocol, size_t payload)
{
    static const uint8_t addresses[] = {10, 0, 0, 1, 10, 0, 0, 2};
    uint16_t sum;

    memcpy(frame, own_mac, 6);
    memcpy(frame + 6, peer_mac, 6);
    memcpy(frame + 12, "\x08\x00\x45\x00", 4);
    frame[16] = (uint8_t)((20 + payload) >> 8);
    frame[17] = (uint8_t)(20 + payload);
    memset(frame + 18, 0, 8);
    frame[22] = 64;
    frame[23] = protocol;
    memcpy(frame + 26, addresses, sizeof(addresses));
    sum = (uint16_t)~inet_checksum(frame + 14, 20);
    memcpy(frame + 24, &sum, 2);
    return 34;
}

static void put32(uint8_t *to, uint32_t value)
{
    value = htonl(value);
    memcpy(to, &value, 4);
}

/* A segment close to what a connection waits for. */
static void deliver_segment(void)
{
    uint8_t frame[4000] = {0}, *tcp = frame + 34;
    unsigned which = next() % 4, flags = next(), options = next() % 6 * 4;
    struct tcp_pcb *pcb = tcp_active_pcbs;
    uint32_t seq = next(), ack = next();
    uint16_t from = htons((uint16_t)(1000 + next() % 4)), to = htons(7);
    size_t bytes;

    for (unsigned i = 0; pcb && i < which; i++)
        pcb = pcb->next;
    if (pcb) {
        from = htons(pcb->remote_port);
        to = htons(pcb->local_port);
        seq = pcb->rcv_nxt + (seq < 128 ? 0 : (seq - 192) * 100);
        ack = ack < 128 ? pcb->snd_nxt : pcb->lastack + (ack - 128) * 50;
    }
    memcpy(tcp, &from, 2);
    memcpy(tcp + 2, &to, 2);
    put32(tcp + 4, seq);
    put32(tcp + 8, ack);
    tcp[12] = (uint8_t)((20 + options) << 2);
    tcp[13] = (uint8_t)(flags & 0x3f);
    tcp[14] = (uint8_t)next();
    tcp[15] = (uint8_t)next();
    for (unsigned i = 0; i < options; i++)
        tcp[20 + i] = (uint8_t)next();
    bytes = 20 + options + take_bytes(tcp + 20 + options, 2000);
    begin_ip4(frame, IPPROTO_TCP, bytes);
    deliver(frame, 34 + bytes, next() % 2 ? 2048 : 60 + next(), true);
}

static void deliver_other(void)
{
    static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_ICMP, 2,
                                        IPPROTO_TCP};
    uint8_t frame[3000] = {0};
    unsigned kind = next();
    size_t at = 0, bytes;

    if (kind & 1) {
        bytes = take_bytes(frame + 34, 2000);
        at = begin_ip4(frame, protocols[kind >> 1 & 3], bytes);
        if (kind & 8)
            frame[20] = (uint8_t)(next() & 0x3f); /* a fragment */
        if (kind & 16)
            memset(frame + 24, 0, 2);
    } else {
        memcpy(frame, kind & 2 ? own_mac : (const uint8_t *)"\x33\x33\0\0\0\1",
               6);
        memcpy(frame + 6, peer_mac, 6);
        memcpy(frame + 12, kind & 4 ? "\x86\xdd" : "\x08\x06", 2);
        at = 14;
        bytes = take_bytes(frame + at, 2000);
    }
    deliver(frame, at + bytes, next() % 2 ? 2048 : 60 + next(), true);
}

static void pass_time(void)
{
    uint64_t end = now_ns + next() * 20000000ull;

    while (timer_next_ns() <= end) {
        if (timer_next_ns() > now_ns)
            now_ns = timer_next_ns();
        timer_fire_until(now_ns);
    }
    now_ns = end;
}

/* The VM goes on from a snapshot. */
static void become_another(void)
{
    unsigned how = next();

    moved = how & 2;
    inet_renew(how & 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    input = data;
    input_end = data + bytes;
    if (inet_start())
        abort();
    while (input < input_end) {
        unsigned op = next();
        struct socket *socket = sockets[op >> 4 & 7];

        switch (op % 8) {
        case 0:
            open_one(op >> 4 & 7);
            break;
        case 1:
        case 2:
        case 3:
            if (socket)
                use_one(socket);
            break;
        case 4:
        case 5:
            deliver_segment();
            break;
        case 6:
            deliver_other();
            break;
        default:
            if (op & 8)
                close_one(op >> 4 & 7);
            else if (op >> 4 == 15)
                become_another();
            else
                pass_time();
        }
    }
    for (unsigned i = 0; i < SOCKETS; i++)
        close_one(i);
    while (tcp_active_pcbs)
        tcp_abort(tcp_active_pcbs);
    return 0;
}
