/* SPDX-License-Identifier: MIT */
/* A hand-written driver for the socket device's tests. */
#ifndef TESTS_UNIT_VSOCK_DRIVER_H
#define TESTS_UNIT_VSOCK_DRIVER_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "virtio/vsock.h"
#include "vmm/base/os.h"

static struct vsock vsock;

#define DRIVEN        vsock.dev
#define DRIVEN_QUEUES VSOCK_QUEUES
#include "tests/unit/ring_driver.h"

#define EVENT_DATA (RAM_BASE + 0x300000)
#define HEADER     VSOCK_HEADER_BYTES
#define RX_ROOM    (8192u + HEADER) /* of each receive buffer */
#define RX_PLACES  64u              /* receive buffers in turn */
#define ALLOC      (256u << 10)     /* the driver's buf_alloc */
#define PORT       80u              /* of the guest's server */

/* Operations, by shorter names. */
enum {
    REQUEST = VIRTIO_VSOCK_OP_REQUEST,
    RESPONSE = VIRTIO_VSOCK_OP_RESPONSE,
    RST = VIRTIO_VSOCK_OP_RST,
    SHUTDOWN = VIRTIO_VSOCK_OP_SHUTDOWN,
    RW = VIRTIO_VSOCK_OP_RW,
    CREDIT = VIRTIO_VSOCK_OP_CREDIT_UPDATE,
    ASK = VIRTIO_VSOCK_OP_CREDIT_REQUEST,
};

#define RCV  VIRTIO_VSOCK_SHUTDOWN_RCV
#define SEND VIRTIO_VSOCK_SHUTDOWN_SEND

typedef struct virtio_vsock_hdr header_t;

static unsigned posted; /* receive buffers so far */

/* ---- Buffers ------------------------------------------------------------ */

static inline void post_rx_of(uint64_t bytes)
{
    post(VSOCK_RX, RX_DATA + posted++ % RX_PLACES * UINT64_C(0x4000), bytes,
         WRITE);
}

static inline void post_rx(unsigned count)
{
    while (count-- > 0)
        post_rx_of(RX_ROOM);
}

static inline void post_event(void)
{
    post(VSOCK_EVENT, EVENT_DATA, 4, WRITE);
}

/* ---- The device --------------------------------------------------------- */

/* Serves it until it has nothing more to do, the host's files included. */
static inline void serve(void)
{
    struct pollfd file;
    unsigned rounds = 0;

    while (vdev_serve(&vsock.dev) == -EINTR)
        cr_assert_lt(++rounds, 10000);
    for (;;) {
        vdev_want(&vsock.dev, &file);
        if (file.fd < 0 || poll(&file, 1, 0) <= 0)
            return;
        if (vdev_ready(&vsock.dev) == -EINTR)
            while (vdev_serve(&vsock.dev) == -EINTR)
                cr_assert_lt(++rounds, 10000);
        cr_assert_lt(++rounds, 10000);
    }
}

static inline void bring_up(void)
{
    posted = 0;
    bring_up_with(vsock.dev.offered);
}

static inline void make_device(struct vsock_options options)
{
    log_set_sink(count_line);
    signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(vsock_init(&vsock, &options), 0);
    bring_up();
}

static inline void set_up_without_buffers(void)
{
    make_device((struct vsock_options){.broker = -1});
    serve();
}

/* A driver with receive buffers. */
static inline void set_up(void)
{
    set_up_without_buffers();
    post_rx(RX_PLACES);
    serve();
}

static inline void tear_down(void)
{
    vsock_fini(&vsock);
}

static inline bool needs_reset(void)
{
    return vsock.dev.status & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* ---- Packets ------------------------------------------------------------ */

/* A packet that the driver has received. */
struct received {
    bool there;
    header_t header;
    const uint8_t *data;
};

/* The next one, whose buffer comes back at once if `again`. */
static inline struct received receive_and(bool again)
{
    struct received packet = {.there = false};
    struct vring_used_elem elem;
    const uint8_t *from;

    serve();
    if (used_count(VSOCK_RX) == seen[VSOCK_RX])
        return packet;
    elem = used_elem(VSOCK_RX, seen[VSOCK_RX]++);
    from = at(desc(VSOCK_RX, elem.id)->addr);
    packet.there = true;
    memcpy(&packet.header, from, HEADER);
    packet.data = from + HEADER;
    cr_assert_eq(elem.len, HEADER + packet.header.len);
    cr_assert_eq(packet.header.src_cid, VSOCK_HOST_CID);
    cr_assert_eq(packet.header.dst_cid, VSOCK_GUEST_CID);
    if (again)
        post_rx(1);
    return packet;
}

static inline struct received receive(void)
{
    return receive_and(true);
}

static inline bool is_quiet(void)
{
    return !receive().there;
}

/* The next packet has to be this one. */
static inline header_t expect(unsigned op)
{
    struct received packet = receive();

    cr_assert(packet.there, "no packet, where %u was expected", op);
    cr_assert_eq(packet.header.op, op, "op %u, not %u", packet.header.op, op);
    cr_assert_eq(packet.header.type, VIRTIO_VSOCK_TYPE_STREAM);
    return packet.header;
}

/* Sends a packet as it is, with `there` bytes of `data` behind the header. */
static inline void transmit_raw(header_t header, const void *data, size_t there)
{
    unsigned head = next_desc[VSOCK_TX];
    uint16_t before = used_count(VSOCK_TX);

    memcpy(at(TX_DATA), &header, sizeof(header));
    if (there > 0)
        memcpy(at(TX_DATA + 0x1000), data, there);
    add(VSOCK_TX, TX_DATA, sizeof(header), 0);
    if (there > 0)
        add(VSOCK_TX, TX_DATA + 0x1000, there, 0);
    submit(VSOCK_TX, head);
    serve();
    cr_assert(needs_reset() || used_count(VSOCK_TX) == (uint16_t)(before + 1));
}

static inline header_t make_header(unsigned op, uint32_t guest_port,
                                   uint32_t host_port)
{
    return (header_t){
        .src_cid = VSOCK_GUEST_CID,
        .dst_cid = VSOCK_HOST_CID,
        .src_port = guest_port,
        .dst_port = host_port,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .op = (uint16_t)op,
        .buf_alloc = ALLOC,
    };
}

static inline void transmit(unsigned op, uint32_t guest_port,
                            uint32_t host_port)
{
    transmit_raw(make_header(op, guest_port, host_port), NULL, 0);
}

static inline void transmit_shutdown(uint32_t host_port, uint32_t flags)
{
    header_t header = make_header(SHUTDOWN, PORT, host_port);

    header.flags = flags;
    transmit_raw(header, NULL, 0);
}

static inline void transmit_data(uint32_t host_port, const void *data,
                                 size_t bytes)
{
    header_t header = make_header(RW, PORT, host_port);

    header.len = (uint32_t)bytes;
    transmit_raw(header, data, bytes);
}

/* How much room the guest has. */
static inline void transmit_credit(uint32_t host_port, uint32_t alloc,
                                   uint32_t fwd_cnt)
{
    header_t header = make_header(CREDIT, PORT, host_port);

    header.buf_alloc = alloc;
    header.fwd_cnt = fwd_cnt;
    transmit_raw(header, NULL, 0);
}

/* ---- Sockets ------------------------------------------------------------ */

/* A pair of connected sockets; [0] is the device's. */
static inline void make_pair(int ends[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
}

/* A pair, where [0] has little room for what is written to it. */
static inline void make_narrow_pair(int ends[2])
{
    int bytes = 4096;

    make_pair(ends);
    cr_assert_eq(
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

/*
 * A stream to the guest's port that is open, over [0] of `ends`. Returns the
 * host's port; the test has [1].
 */
static inline uint32_t open_over(int ends[2])
{
    header_t header;

    cr_assert_eq(vsock_offer(&vsock, ends[0], PORT), 0);
    header = expect(REQUEST);
    cr_assert_eq(header.dst_port, PORT);
    transmit(RESPONSE, PORT, header.src_port);
    return header.src_port;
}

static inline uint32_t open_stream(int *end)
{
    int ends[2];
    uint32_t port;

    make_pair(ends);
    port = open_over(ends);
    *end = ends[1];
    return port;
}

/* Whether the peer of `end` has closed it, with nothing left to read. */
static inline bool is_ended(int end)
{
    char byte;

    return recv(end, &byte, 1, MSG_DONTWAIT) == 0;
}

static inline bool is_empty(int end)
{
    char byte;

    return recv(end, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* Reads `bytes` bytes, no more, serving the device meanwhile. */
static inline void read_all(int end, void *to, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t got = recv(end, (char *)to + done, bytes - done, MSG_DONTWAIT);

        cr_assert(got > 0, "%zu of %zu bytes", done, bytes);
        done += (size_t)got;
        serve();
    }
}

static inline uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + i / 256);
}

static inline void fill_pattern(uint8_t *to, size_t from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = pattern(from + i);
}

static inline bool is_pattern(const uint8_t *data, size_t from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != pattern(from + i))
            return false;
    return true;
}

#endif
