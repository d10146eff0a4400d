/* SPDX-License-Identifier: MIT */
/* Streams over the virtio socket device: what they and the device tell. */
#include <errno.h>
#include <sys/epoll.h>

#include "guest_rt/socket_vsock.h"

#define ROWS 256u

static struct vsock_socket *rows[ROWS]; /* of those at the device */

static const struct vsock_user user;

void socket_vsock_start(void)
{
    (void)vsock_start(&user); /* without it, vsock_cid() is 0 */
}

/* ---- Which stream -------------------------------------------------------- */

static struct vsock_socket **row_of(uint32_t local_port, uint32_t peer_port)
{
    return &rows[(local_port * 31 + peer_port) % ROWS];
}

static struct vsock_socket *find(uint32_t local_port, uint32_t peer_port)
{
    struct vsock_socket *one = *row_of(local_port, peer_port);

    while (one &&
           (one->local.port != local_port || one->peer_port != peer_port))
        one = one->row_next;
    return one;
}

bool socket_vsock_is_registered(uint32_t local_port, uint32_t peer_port)
{
    return find(local_port, peer_port);
}

void socket_vsock_register(struct vsock_socket *one, uint32_t peer_port)
{
    struct vsock_socket **row = row_of(one->local.port, peer_port);

    one->device = true;
    one->peer_port = peer_port;
    one->room = one->socket.receive_limit;
    one->sent = one->peer_forwarded = one->peer_room = 0;
    one->forwarded = one->told_forwarded = 0;
    one->row_next = *row;
    *row = one;
}

void socket_vsock_unregister(struct vsock_socket *one)
{
    struct vsock_socket **at = row_of(one->local.port, one->peer_port);

    if (!one->device)
        return;
    while (*at != one)
        at = &(*at)->row_next;
    *at = one->row_next;
    one->device = false;
}

/* ---- Sending ------------------------------------------------------------- */

static void fill_header(struct vsock_socket *one, struct vsock_buffer *packet,
                        unsigned op)
{
    one->told_forwarded = one->forwarded;
    packet->header = (struct virtio_vsock_hdr){
        .src_cid = vsock_cid(),
        .dst_cid = VSOCK_HOST_CID,
        .src_port = one->local.port,
        .dst_port = one->peer_port,
        .len = packet->end,
        .type = VIRTIO_VSOCK_TYPE_STREAM,
        .op = (uint16_t)op,
        .buf_alloc = one->room,
        .fwd_cnt = one->forwarded,
    };
}

/* Without memory nothing is told: the other end waits, as if it were lost. */
void socket_vsock_tell(struct vsock_socket *one, unsigned op, uint32_t flags)
{
    struct vsock_buffer *packet = vsock_buffer_create(0);

    if (!packet)
        return;
    fill_header(one, packet, op);
    packet->header.flags = flags;
    vsock_put(packet);
}

/* Says that there is no such stream. */
static void refuse(const struct virtio_vsock_hdr *header)
{
    struct vsock_buffer *packet;

    if (header->op == VIRTIO_VSOCK_OP_RST)
        return;
    packet = vsock_buffer_create(0);
    if (!packet)
        return;
    packet->header = (struct virtio_vsock_hdr){
        .src_cid = header->dst_cid,
        .dst_cid = header->src_cid,
        .src_port = header->dst_port,
        .dst_port = header->src_port,
        .type = header->type,
        .op = VIRTIO_VSOCK_OP_RST,
    };
    vsock_put(packet);
}

long socket_vsock_transmit(struct vsock_socket *one,
                           const struct socket_message *message, size_t at,
                           size_t bytes)
{
    struct vsock_buffer *packet;

    if (bytes > VSOCK_PACKET_MAX)
        bytes = VSOCK_PACKET_MAX;
    packet = vsock_buffer_create(bytes);
    if (!packet)
        return -ENOBUFS;
    packet->end = (uint32_t)socket_copy_in(message, at, packet->data, bytes);
    fill_header(one, packet, VIRTIO_VSOCK_OP_RW);
    one->sent += packet->end;
    bytes = packet->end;
    vsock_put(packet);
    return (long)bytes;
}

/* ---- What the device tells ----------------------------------------------- */

/* Both sides know that it is over, or will: it goes. */
static void end(struct vsock_socket *one, int error)
{
    if (one->phase == VSOCK_CLOSING)
        socket_vsock_destroy(one);
    else
        socket_vsock_end(one, error);
}

static void cut_off(struct vsock_socket *one, int error)
{
    socket_vsock_tell(one, VIRTIO_VSOCK_OP_RST, 0);
    end(one, error);
}

static void take_request(const struct virtio_vsock_hdr *header)
{
    struct vsock_socket *listener =
        socket_vsock_find_listener(header->dst_port);
    struct vsock_socket *one = listener ? socket_vsock_ask(listener) : NULL;

    if (!one) {
        refuse(header);
        return;
    }
    socket_vsock_set_own(&one->local, header->dst_port);
    socket_vsock_set_host(&one->remote, header->src_port);
    socket_vsock_register(one, header->src_port);
    one->peer_room = header->buf_alloc;
    one->peer_forwarded = header->fwd_cnt;
    socket_vsock_answer(listener);
}

/* Returns whether the buffer was kept. */
static bool take_data(struct vsock_socket *one, struct vsock_buffer *packet,
                      bool keep)
{
    int error = 0;

    /* It may come before the answer: see mf_boot.listen_room. */
    if ((one->phase != VSOCK_CONNECTED && !one->listener) || packet->end == 0)
        return false;
    if (keep)
        socket_vsock_append(one, packet);
    else
        error = socket_vsock_append_copy(one, packet->data, packet->end);
    if (error)
        cut_off(one, -error);
    else if (one->received >= one->socket.low_water)
        socket_wake(&one->socket, EPOLLIN | EPOLLRDNORM);
    return keep;
}

/* An end that neither sends nor takes any more waits for nothing but a RST. */
static void take_shutdown(struct vsock_socket *one, uint32_t flags)
{
    if (flags & VIRTIO_VSOCK_SHUTDOWN_SEND)
        one->got_end = true;
    if (flags & VIRTIO_VSOCK_SHUTDOWN_RCV)
        one->shut_write = true;
    if (one->got_end && flags & VIRTIO_VSOCK_SHUTDOWN_RCV)
        cut_off(one, 0);
    else
        socket_wake(&one->socket,
                    EPOLLIN | EPOLLRDNORM | EPOLLRDHUP |
                        (one->shut_write ? EPOLLOUT | EPOLLHUP : 0u));
}

static void take_reset(struct vsock_socket *one)
{
    int error = ECONNRESET;

    if (one->phase == VSOCK_CONNECTING && !one->listener)
        error = vsock_is_inet(one) ? ECONNREFUSED : ECONNRESET;
    else if (!vsock_is_inet(one) || (one->got_end && one->shut_write))
        error = 0; /* on Linux a RST is the end of AF_VSOCK's streams */
    end(one, error);
}

/* Returns whether the buffer was kept. */
static bool take_packet(struct vsock_socket *one, struct vsock_buffer *packet,
                        bool keep)
{
    switch (packet->header.op) {
    case VIRTIO_VSOCK_OP_RESPONSE:
        if (one->phase == VSOCK_CONNECTING && !one->listener)
            socket_vsock_connected(one);
        else if (one->phase != VSOCK_CLOSING)
            cut_off(one, ECONNRESET);
        return false;
    case VIRTIO_VSOCK_OP_RST:
        take_reset(one);
        return false;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        take_shutdown(one, packet->header.flags);
        return false;
    case VIRTIO_VSOCK_OP_RW:
        return take_data(one, packet, keep);
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        socket_vsock_tell(one, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0);
        return false;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        return false;
    default:
        cut_off(one, ECONNRESET);
        return false;
    }
}

static void receive(struct vsock_buffer *packet, bool keep)
{
    const struct virtio_vsock_hdr *header = &packet->header;
    struct vsock_socket *one = find(header->dst_port, header->src_port);
    bool kept = false;

    if (header->type != VIRTIO_VSOCK_TYPE_STREAM ||
        header->src_cid != VSOCK_HOST_CID || header->dst_cid != vsock_cid()) {
        refuse(header);
    } else if (one) {
        one->peer_room = header->buf_alloc;
        one->peer_forwarded = header->fwd_cnt;
        socket_vsock_tell_room(one);
        kept = take_packet(one, packet, keep);
    } else if (header->op == VIRTIO_VSOCK_OP_REQUEST) {
        take_request(header);
    } else {
        refuse(header);
    }
    if (keep && !kept)
        vsock_buffer_destroy(packet);
}

static void tell_room(void)
{
    for (struct vsock_socket *each = vsock_sockets; each; each = each->next)
        socket_vsock_tell_room(each);
}

/* What listens stays; the streams are gone, those to be accepted among them. */
static void reset_all(void)
{
    struct vsock_socket *next;

    for (struct vsock_socket *one = vsock_sockets; one; one = next) {
        next = one->next;
        if (!one->device)
            continue;
        if (one->listener) {
            socket_vsock_take_back(one);
            socket_vsock_destroy(one);
        } else {
            end(one, ECONNRESET);
        }
    }
}

static const struct vsock_user user = {
    .receive = receive,
    .room = tell_room,
    .reset = reset_all,
};
