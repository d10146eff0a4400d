/* SPDX-License-Identifier: MIT */
/* A link in memory and a hand-written driver for the network device's tests. */
#ifndef TESTS_UNIT_NET_DRIVER_H
#define TESTS_UNIT_NET_DRIVER_H

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "virtio/net.h"
#include "vmm/base/os.h"

static struct net net;

#define DRIVEN        net.dev
#define DRIVEN_QUEUES NET_QUEUES
#include "tests/unit/ring_driver.h"

#define CTRL_DATA     (RAM_BASE + 0x300000)
#define UNTOUCHED     0xee
#define FEATURE(name) NET_FEATURE(name)
#define EVENT_IDX     (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define ALL_OFFLOADS                                            \
    (FEATURE(CSUM) | FEATURE(GUEST_CSUM) | FEATURE(HOST_TSO4) | \
     FEATURE(HOST_TSO6) | FEATURE(GUEST_TSO4) | FEATURE(GUEST_TSO6))
#define FRAME_MAX 66000u
#define FRAMES    512u

static const uint8_t our_mac[ETH_ALEN] = {0x02, 0, 0, 0, 0, 0x01};
static const uint8_t other_mac[ETH_ALEN] = {0x02, 0, 0, 0, 0, 0x02};
static const uint8_t broadcast_mac[ETH_ALEN] = {0xff, 0xff, 0xff,
                                                0xff, 0xff, 0xff};
static const uint8_t group_mac[ETH_ALEN] = {0x33, 0x33, 0, 0, 0, 0x01};

/* ---- A link ------------------------------------------------------------- */

/* A frame that the link has for the device, or got from it. */
struct link_frame {
    net_header header;
    size_t bytes;
    uint8_t data[2048]; /* as much as there is room for */
};

struct link {
    struct net_backend backend;
    struct link_frame in[FRAMES]; /* to be received, data[6...] made up */
    unsigned in_count, in_next;
    unsigned receive_calls;
    size_t receive_room;   /* of the last call, the spill included */
    struct link_frame out; /* the last that was sent */
    unsigned out_count;
    int receive_error, send_error; /* what calls return, if not 0 */
    uint64_t offloads;             /* as they were set */
    unsigned offload_calls;
    int offload_error;
};

static struct link net_link;

static inline uint8_t frame_byte(size_t i)
{
    return (uint8_t)(i * 7 + i / 256);
}

static ssize_t link_receive(struct net_backend *backend, net_header *header,
                            struct iovec *iov, unsigned count)
{
    const struct link_frame *frame = &net_link.in[net_link.in_next];
    size_t done = 0;

    cr_assert_eq(backend, &net_link.backend);
    net_link.receive_calls++;
    net_link.receive_room = 0;
    for (unsigned i = 1; i < count; i++)
        net_link.receive_room += iov[i].iov_len;
    if (net_link.receive_error) {
        backend->gone = net_link.receive_error != -EINTR;
        return net_link.receive_error;
    }
    if (net_link.in_next == net_link.in_count)
        return -EAGAIN;
    net_link.in_next++;
    *header = frame->header;
    for (unsigned i = 1; i < count; i++)
        for (size_t j = 0; j < iov[i].iov_len && done < frame->bytes; j++) {
            ((uint8_t *)iov[i].iov_base)[j] =
                done < 18 ? frame->data[done] : frame_byte(done);
            done++;
        }
    return (ssize_t)done;
}

static int link_send(struct net_backend *backend, const net_header *header,
                     struct iovec *iov, unsigned count, size_t bytes)
{
    struct link_frame *frame = &net_link.out;
    size_t done = 0;

    cr_assert_eq(backend, &net_link.backend);
    if (net_link.send_error)
        return net_link.send_error;
    frame->header = *header;
    frame->bytes = bytes;
    for (unsigned i = 1; i < count; i++) {
        size_t part = iov[i].iov_len;

        if (done < sizeof(frame->data))
            memcpy(frame->data + done, iov[i].iov_base,
                   min_u64(part, sizeof(frame->data) - done));
        done += part;
    }
    cr_assert_eq(done, bytes);
    net_link.out_count++;
    return 0;
}

static int link_set_offloads(struct net_backend *backend, uint64_t features)
{
    (void)backend;
    net_link.offloads = features;
    net_link.offload_calls++;
    return net_link.offload_error;
}

static const struct net_backend_ops link_ops = {
    .receive = link_receive,
    .send = link_send,
    .set_offloads = link_set_offloads,
};

/* A frame of `bytes` bytes to `mac` comes along the link. */
static inline struct link_frame *arrive_for(const uint8_t *mac, size_t bytes)
{
    struct link_frame *frame = &net_link.in[net_link.in_count++];

    cr_assert_leq(net_link.in_count, FRAMES);
    *frame = (struct link_frame){.bytes = bytes};
    memcpy(frame->data, mac, ETH_ALEN);
    for (size_t i = ETH_ALEN; i < 18; i++)
        frame->data[i] = frame_byte(i);
    return frame;
}

static inline struct link_frame *arrive(size_t bytes)
{
    return arrive_for(our_mac, bytes);
}

/* ---- The device --------------------------------------------------------- */

static struct net_backend *backend; /* NULL: the link */

static inline void bring_up(uint64_t features)
{
    bring_up_with(features);
    cr_assert_eq(vdev_serve(&net.dev), 0);
    net.dev.events_sent = 0;
}

/* A device with the given options, and a driver that takes all features. */
static inline void start_with(struct net_options options, uint64_t offloads)
{
    log_set_sink(count_line);
    net_link.backend =
        (struct net_backend){.ops = &link_ops, .features = offloads, .fd = 77};
    options.backend = backend ? backend : &net_link.backend;
    memcpy(options.mac, our_mac, ETH_ALEN);
    cr_assert_eq(net_init(&net, &options), 0);
}

static inline void start(uint64_t without)
{
    start_with((struct net_options){.mtu = 0}, ALL_OFFLOADS);
    bring_up(net.dev.offered & ~without);
}

#define TSO_RX (FEATURE(GUEST_TSO4) | FEATURE(GUEST_TSO6))

/* A driver whose frames are small, without filters. */
static inline void set_up(void)
{
    start(TSO_RX | FEATURE(CTRL_RX) | FEATURE(CTRL_RX_EXTRA));
}

static inline void set_up_unmerged(void)
{
    start(TSO_RX | FEATURE(CTRL_RX) | FEATURE(MRG_RXBUF));
}

static inline void set_up_large(void)
{
    start(FEATURE(CTRL_RX));
}

static inline void set_up_filtered(void)
{
    start(TSO_RX);
}

static inline void serve(void)
{
    cr_assert_eq(vdev_serve(&net.dev), 0);
}

static inline uint32_t queue_size(unsigned q)
{
    return net.dev.queues[q].size;
}

/* ---- Frames and commands ------------------------------------------------ */

/* Posts a receive buffer of `bytes` bytes in the n-th place, all untouched. */
static inline uint64_t post_rx(unsigned n, uint64_t bytes)
{
    uint64_t address = RX_DATA + n * UINT64_C(0x800);

    memset(at(address), UNTOUCHED, bytes);
    post(NET_RX, address, bytes, WRITE);
    return address;
}

static inline void post_rx_many(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        (void)post_rx(i, 2048);
}

static inline net_header *rx_header(uint64_t address)
{
    return at(address);
}

/* The device got a frame to send, of `bytes` bytes with this header. */
static inline void transmit_with(net_header header, uint64_t bytes)
{
    uint8_t *data = at(TX_DATA);

    memcpy(data, &header, sizeof(header));
    for (size_t i = 0; i < bytes; i++)
        data[sizeof(header) + i] = frame_byte(i);
    post(NET_TX, TX_DATA, sizeof(header) + bytes, 0);
}

static inline void transmit(uint64_t bytes)
{
    transmit_with((net_header){.num_buffers = 0}, bytes);
}

/* One command, with room for `room` bytes of answer. Returns the first. */
static inline uint8_t command_with(uint8_t class, uint8_t command,
                                   const void *data, size_t bytes, size_t room)
{
    unsigned head = next_desc[NET_CTRL];
    uint16_t before = used_count(NET_CTRL);
    uint8_t *to = at(CTRL_DATA);

    to[0] = class;
    to[1] = command;
    memcpy(to + 16, data, bytes);
    memset(to + 0x8000, UNTOUCHED, 64);
    add(NET_CTRL, CTRL_DATA, 2, 0);
    if (bytes > 0)
        add(NET_CTRL, CTRL_DATA + 16, bytes, 0);
    add(NET_CTRL, CTRL_DATA + 0x8000, room, WRITE);
    submit(NET_CTRL, head);
    serve();
    cr_assert_eq(used_count(NET_CTRL), (uint16_t)(before + 1));
    return to[0x8000];
}

static inline uint8_t command(uint8_t class, uint8_t number, const void *data,
                              size_t bytes)
{
    return command_with(class, number, data, bytes, 1);
}

static inline uint8_t set_mode(uint8_t mode, uint8_t on)
{
    return command(VIRTIO_NET_CTRL_RX, mode, &on, 1);
}

static inline uint8_t set_limits(unsigned q, uint32_t packets, uint32_t usecs)
{
    uint32_t data[2] = {packets, usecs};

    return command(VIRTIO_NET_CTRL_NOTF_COAL,
                   q == NET_RX ? VIRTIO_NET_CTRL_NOTF_COAL_RX_SET
                               : VIRTIO_NET_CTRL_NOTF_COAL_TX_SET,
                   data, sizeof(data));
}

static inline uint8_t set_queue_limits(uint16_t q, uint32_t packets,
                                       uint32_t usecs)
{
    uint32_t data[3] = {q | 0xbeef0000u, packets, usecs};

    return command(VIRTIO_NET_CTRL_NOTF_COAL, VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET,
                   data, sizeof(data));
}

/* Returns the ack; `limits` are packets and microseconds. */
static inline uint8_t get_queue_limits(uint16_t q, uint32_t limits[2])
{
    uint32_t data = q | 0xbeef0000u;

    (void)command_with(VIRTIO_NET_CTRL_NOTF_COAL,
                       VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET, &data, sizeof(data),
                       9);
    memcpy(limits, at(CTRL_DATA + 0x8000), 8);
    return *(uint8_t *)at(CTRL_DATA + 0x8008);
}

/* Whether a frame to `mac` gets through. */
static inline bool passes(const uint8_t *mac)
{
    uint64_t before = net.stats.rx_frames;

    arrive_for(mac, 60);
    (void)post_rx(net_link.in_count, 2048);
    serve();
    return net.stats.rx_frames > before;
}

#endif
