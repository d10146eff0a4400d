/* SPDX-License-Identifier: MIT */
/* The VM's network card, for tests: the other end of its link, and frames. */
#include "tests/ring/link.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const uint8_t card_mac[NIC_MAC_BYTES] = {2, 0, 0, 0, 0, 1};
struct nic_info card;

/* ---- The other end of the link ------------------------------------------ */

int host;

static ssize_t link_receive(struct net_backend *backend, net_header *header,
                            struct iovec *iov, unsigned count)
{
    ssize_t bytes;

    iov[0] = (struct iovec){header, HEADER_BYTES};
    bytes = readv(backend->fd, iov, (int)count);
    if (bytes == 0)
        backend->gone = true;
    return bytes > 0 ? bytes - (ssize_t)HEADER_BYTES : -EAGAIN;
}

bool stuck;

static int link_send(struct net_backend *backend, const net_header *header,
                     struct iovec *iov, unsigned count, size_t bytes)
{
    if (stuck)
        return -EAGAIN;
    iov[0] = (struct iovec){(void *)(uintptr_t)header, HEADER_BYTES};
    if (writev(backend->fd, iov, (int)count) < 0)
        return -errno;
    (void)bytes;
    return 0;
}

static int link_set_offloads(struct net_backend *backend, uint64_t features)
{
    (void)backend;
    (void)features;
    return 0;
}

static const struct net_backend_ops link_ops = {
    .receive = link_receive,
    .send = link_send,
    .set_offloads = link_set_offloads,
};

static struct net_backend backend = {.ops = &link_ops};

void start_with(uint64_t hidden, uint16_t mtu, uint64_t offloads)
{
    struct net_options options = {.backend = &backend, .mtu = mtu};
    int ends[2], room = 4 << 20;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends),
                 0);
    for (unsigned i = 0; i < 2; i++)
        setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
    host = ends[0];
    backend.fd = ends[1];
    backend.features = offloads;
    memcpy(options.mac, card_mac, sizeof(card_mac));
    vm_start(-1, -1, -1);
    vm_add_net(&options, hidden);
    cr_assert_eq(nic_open(0, &card), 0);
}

void set_up_card(void)
{
    start_with(0, 0, 0);
}

/* Contents that depend on the frame's number; addressed to the card. */
void make_frame(unsigned char *frame, size_t bytes, uint32_t number)
{
    for (size_t i = 0; i < bytes; i++)
        frame[i] = (unsigned char)(i * 7 + number * 31 + i / 256);
    memcpy(frame, card_mac, sizeof(card_mac));
    memcpy(frame + 6, (uint8_t[]){2, 0, 0, 0, 0, 2, 0x88, 0xb5}, 8);
    if (bytes >= 18)
        memcpy(frame + 14, &number, sizeof(number));
}

void host_send_with(net_header header, size_t bytes, uint32_t number)
{
    static unsigned char frame[HEADER_BYTES + LARGEST];

    memcpy(frame, &header, HEADER_BYTES);
    make_frame(frame + HEADER_BYTES, bytes, number);
    cr_assert_eq(write(host, frame, HEADER_BYTES + bytes),
                 (ssize_t)(HEADER_BYTES + bytes), "errno %d", errno);
}

void host_send(size_t bytes, uint32_t number)
{
    host_send_with((net_header){.num_buffers = 0}, bytes, number);
}

void assert_host_receives(size_t bytes, uint32_t number)
{
    static unsigned char got[HEADER_BYTES + LARGEST + 1], right[LARGEST];

    cr_assert_eq(read(host, got, sizeof(got)), (ssize_t)(HEADER_BYTES + bytes),
                 "frame %u", number);
    make_frame(right, bytes, number);
    cr_assert_eq(memcmp(got + HEADER_BYTES, right, bytes), 0);
}

void assert_host_receives_nothing(void)
{
    char byte;

    cr_assert_eq(read(host, &byte, 1), -1);
}

/* ---- The guest's side --------------------------------------------------- */

struct nic_buffer *receive_one(void)
{
    struct nic_buffer *frame = NULL;

    cr_assert_eq(nic_receive(0, &frame, 1, NIC_FOREVER), 1);
    return frame;
}

void assert_is_frame(const struct nic_buffer *frame, size_t bytes,
                     uint32_t number)
{
    static unsigned char right[LARGEST];
    size_t at = 0;

    make_frame(right, bytes, number);
    cr_assert_eq(frame->frame_bytes, bytes);
    for (; frame; at += frame->bytes, frame = frame->next) {
        cr_assert_leq(frame->bytes, bytes - at);
        cr_assert_eq(memcmp(frame->data, right + at, frame->bytes), 0);
    }
    cr_assert_eq(at, bytes);
}

void release(struct nic_buffer *frame)
{
    cr_assert_eq(nic_release(0, &frame, 1), 0);
}

/* Every buffer is in the receive ring, or was never used. */
void assert_no_buffer_is_lost(void)
{
    const struct nic *nic = nic_get(0);

    cr_assert_eq(ring_in_flight(&nic->rings[NIC_RX]) + nic->fresh,
                 nic->buffer_count);
    cr_assert_eq(nic->forwards, 0);
    cr_assert_eq(ring_in_flight(&nic->rings[NIC_TX]), 0);
}

int send_bytes(size_t bytes, const struct nic_offload *offload)
{
    struct iovec piece = {VM_BUFFER, bytes};

    return nic_send(0, &piece, 1, offload, NULL);
}

/* Sends `count` numbered frames and takes them back in batches. */
void echo_many(unsigned count, unsigned batch)
{
    struct nic_buffer *frames[64];

    for (unsigned done = 0; done < count;) {
        unsigned part = count - done < batch ? count - done : batch;

        for (unsigned i = 0; i < part; i++)
            host_send(60 + (done + i) % 900, done + i);
        for (unsigned got = 0; got < part;) {
            long found = nic_receive(0, frames, 64, NIC_FOREVER);

            cr_assert_gt(found, 0);
            for (long i = 0; i < found; i++)
                cr_assert_eq(nic_forward(0, frames[i]), 0);
            cr_assert_geq(nic_flush(0), 0);
            got += (unsigned)found;
        }
        for (unsigned i = 0; i < part; i++)
            assert_host_receives(60 + (done + i) % 900, done + i);
        done += part;
    }
    cr_assert_eq(nic_wait_room(0, 0), 0);
}
