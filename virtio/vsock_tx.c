/* SPDX-License-Identifier: MIT */
/* The socket device obeys the guest's packets (5.10.6). */
#include <endian.h>

#include "virtio/vsock_parts.h"

/* A packet's header as it was copied, in the host's byte order. */
struct packet {
    uint64_t src_cid, dst_cid;
    uint32_t guest_port, host_port;
    uint32_t bytes; /* of the stream's */
    uint16_t type, op;
    uint32_t flags;
    uint32_t alloc, fwd_cnt;
};

static bool take_header(struct pieces *pieces, struct packet *packet)
{
    struct virtio_vsock_hdr header;

    if (!pieces_take(pieces, &header, sizeof(header)))
        return false;
    *packet = (struct packet){
        .src_cid = le64toh(header.src_cid),
        .dst_cid = le64toh(header.dst_cid),
        .guest_port = le32toh(header.src_port),
        .host_port = le32toh(header.dst_port),
        .bytes = le32toh(header.len),
        .type = le16toh(header.type),
        .op = le16toh(header.op),
        .flags = le32toh(header.flags),
        .alloc = le32toh(header.buf_alloc),
        .fwd_cnt = le32toh(header.fwd_cnt),
    };
    return true;
}

/* For what there is not: RST, but never for an RST (5.10.6.4.2, 5.10.6.5). */
static void refuse(struct vsock *vsock, const struct packet *packet)
{
    if (packet->op != VIRTIO_VSOCK_OP_RST)
        vsock_refuse(vsock, packet->guest_port, packet->host_port,
                     packet->type);
}

/* The guest does not keep to the rules of this stream. */
static void cut_off(struct vsock *vsock, struct vsock_stream *stream,
                    const char *why)
{
    log_guest(&vsock->limit, "vsock: stream of port %u cut off: %s",
              stream->guest_port, why);
    vsock->stats.bad++;
    vsock_reset_stream(vsock, stream);
}

/* ---- What a stream gets ------------------------------------------------- */

/* The guest connects to what is there for it. */
static void connect_stream(struct vsock *vsock, const struct packet *packet)
{
    uint32_t entry = packet->host_port - VSOCK_CONNECT_PORT;
    struct vsock_stream *stream = NULL;

    vsock->stats.connected++;
    if (packet->host_port >= VSOCK_CONNECT_PORT &&
        entry < vsock->connect_count && vsock->broker >= 0)
        stream = vsock_take_stream(vsock);
    if (!stream) {
        vsock->stats.refused++;
        refuse(vsock, packet);
        return;
    }
    vsock_name(vsock, stream, packet->guest_port, packet->host_port);
    stream->state = VSOCK_AT_BROKER;
    stream->guest_alloc = packet->alloc;
    stream->guest_fwd = packet->fwd_cnt;
    if (vsock_ask_broker(vsock, stream, entry)) {
        vsock->stats.refused++;
        vsock_reset_stream(vsock, stream);
    }
}

/* The guest ends it at once: an answer to our request, or to anything. */
static void obey_reset(struct vsock *vsock, struct vsock_stream *stream)
{
    if (stream->state == VSOCK_REQUESTED)
        vsock->stats.refused++;
    /* One that had ended in both directions ended well. */
    vsock_free(vsock, stream,
               stream->ended == VSOCK_SHUTDOWN_BOTH ? VSOCK_END : VSOCK_CUT);
}

static void obey_shutdown(struct vsock *vsock, struct vsock_stream *stream,
                          uint32_t flags)
{
    uint8_t news =
        (uint8_t)(flags & VSOCK_SHUTDOWN_BOTH & ~stream->guest_ended);

    stream->guest_ended |= news;
    if (stream->guest_ended == VSOCK_SHUTDOWN_BOTH) {
        /* The answer to a clean disconnect. */
        vsock_refuse(vsock, stream->guest_port, stream->host_port,
                     VIRTIO_VSOCK_TYPE_STREAM);
        vsock_linger(vsock, stream);
    } else if (news & VIRTIO_VSOCK_SHUTDOWN_SEND) {
        vsock_end_output(vsock, stream);
    } else if (news) {
        (void)os_shutdown(stream->fd, SHUT_RD);
    }
}

/* Bytes of the stream: `there` bytes follow the header. */
static void obey_data(struct vsock *vsock, struct vsock_stream *stream,
                      const struct packet *packet, struct pieces *pieces,
                      uint64_t there)
{
    if (packet->bytes > there)
        cut_off(vsock, stream, "a packet is shorter than it says");
    else if (stream->guest_ended & VIRTIO_VSOCK_SHUTDOWN_SEND)
        cut_off(vsock, stream, "bytes after the end");
    else if (packet->bytes > VSOCK_BUFFER_BYTES - stream->out_bytes)
        cut_off(vsock, stream, "more bytes than it has credit for");
    else
        vsock_write(vsock, stream, pieces, packet->bytes);
}

static void obey_open(struct vsock *vsock, struct vsock_stream *stream,
                      const struct packet *packet, struct pieces *pieces,
                      uint64_t there)
{
    switch (packet->op) {
    case VIRTIO_VSOCK_OP_RW:
        obey_data(vsock, stream, packet, pieces, there);
        break;
    case VIRTIO_VSOCK_OP_SHUTDOWN:
        obey_shutdown(vsock, stream, packet->flags);
        break;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        break;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        vsock_send(vsock, stream, VSOCK_SEND_CREDIT);
        break;
    default:
        cut_off(vsock, stream, "a packet that is not for an open stream");
    }
}

/* What every packet says of the guest's room (5.10.6.3). */
static void note_credit(struct vsock *vsock, struct vsock_stream *stream,
                        const struct packet *packet)
{
    stream->guest_alloc = packet->alloc;
    stream->guest_fwd = packet->fwd_cnt;
    if (vsock_credit(stream) == 0)
        return;
    stream->asked = false;
    if (vsock_wants_read(stream))
        vsock_queue(vsock, stream);
}

static void obey(struct vsock *vsock, struct vsock_stream *stream,
                 const struct packet *packet, struct pieces *pieces,
                 uint64_t there)
{
    if (packet->op == VIRTIO_VSOCK_OP_RST) {
        obey_reset(vsock, stream);
        return;
    }
    if (stream->state == VSOCK_RESETTING)
        return; /* it will hear of it */
    if (stream->state == VSOCK_REQUESTED &&
        packet->op == VIRTIO_VSOCK_OP_RESPONSE) {
        stream->state = VSOCK_OPEN;
        vsock->stats.opened++;
    } else if (stream->state == VSOCK_OPEN) {
        obey_open(vsock, stream, packet, pieces, there);
    } else {
        cut_off(vsock, stream, "a packet that is not for a new stream");
    }
    if (stream->state == VSOCK_OPEN)
        note_credit(vsock, stream, packet);
}

/* ---- One packet after the other ----------------------------------------- */

static void receive_packet(struct vsock *vsock, struct pieces *pieces,
                           uint64_t bytes)
{
    struct vsock_stream *stream;
    struct packet packet;

    if (!take_header(pieces, &packet) ||
        packet.src_cid != le64toh(vsock->config.guest_cid) ||
        packet.dst_cid != VSOCK_HOST_CID) {
        vsock->stats.bad++; /* there is nobody to tell */
        return;
    }
    if (packet.type != VIRTIO_VSOCK_TYPE_STREAM) {
        vsock->stats.bad++;
        refuse(vsock, &packet);
        return;
    }
    stream = vsock_find(vsock, packet.guest_port, packet.host_port);
    if (stream)
        obey(vsock, stream, &packet, pieces, bytes - VSOCK_HEADER_BYTES);
    else if (packet.op == VIRTIO_VSOCK_OP_REQUEST)
        connect_stream(vsock, &packet);
    else
        refuse(vsock, &packet);
}

bool vsock_goes_on(struct vsock *vsock, const struct vsock_stream *stream)
{
    struct virtq *q = &vsock->dev.queues[VSOCK_TX];
    /* vsock->iov has the packet that is obeyed now. */
    struct virtq_chain chain = {.iov = vsock->data,
                                .iov_max = VSOCK_QUEUE_ENTRIES};
    struct packet next;

    if (virtq_pop(q, &chain) != 1)
        return false;
    virtq_unpop(q);

    struct pieces pieces = {chain.iov, chain.readable_count};
    return take_header(&pieces, &next) &&
           next.guest_port == stream->guest_port &&
           next.host_port == stream->host_port &&
           (next.op == VIRTIO_VSOCK_OP_RW ||
            (next.op == VIRTIO_VSOCK_OP_SHUTDOWN &&
             next.flags & VIRTIO_VSOCK_SHUTDOWN_SEND));
}

/* Takes one chain. Returns 1, 0 if there is none, or -EBADMSG. */
static int receive_chain(struct vsock *vsock)
{
    struct virtq *q = &vsock->dev.queues[VSOCK_TX];
    struct virtq_chain chain = {.iov = vsock->iov,
                                .iov_max = VSOCK_QUEUE_ENTRIES};
    int found = virtq_pop(q, &chain);

    if (found <= 0)
        return found == -ENOSPC ? -EBADMSG : found;

    struct pieces pieces = {chain.iov, chain.readable_count};
    receive_packet(vsock, &pieces, chain.readable_bytes);
    virtq_push(q, chain.head, 0);
    return 1;
}

/* A packet may need a refusal: is there room for one? */
static bool is_blocked(const struct vsock *vsock)
{
    return vsock->refusal_count == VSOCK_RESETS_MAX;
}

/* Returns whether to go on as if kicked. */
static bool ask_kick(struct vsock *vsock)
{
    if (!vsock->quiet)
        return vdev_ask_kick(&vsock->dev, VSOCK_TX, 1);
    virtq_suppress_kicks(&vsock->dev.queues[VSOCK_TX]);
    return false;
}

int vsock_tx_serve(struct vsock *vsock)
{
    struct virtq *q = &vsock->dev.queues[VSOCK_TX];
    int result = 1;

    vsock->tx_blocked = false;
    if (!q->enabled)
        return 0;
    for (unsigned budget = VSOCK_SERVE_PACKETS;
         budget > 0 && result > 0 && !is_blocked(vsock); budget--) {
        result = receive_chain(vsock);
        if (result == 0) {
            vdev_publish(&vsock->dev, VSOCK_TX);
            result = ask_kick(vsock);
        } else if (budget % VSOCK_BATCH_PACKETS == 0) {
            vdev_publish(&vsock->dev, VSOCK_TX);
        }
    }
    vdev_publish(&vsock->dev, VSOCK_TX);
    if (q->broken || result < 0)
        return -EBADMSG;
    vsock->tx_blocked = is_blocked(vsock);
    if (vsock->tx_blocked)
        virtq_suppress_kicks(q); /* it goes on when there is room */
    return result && !vsock->tx_blocked ? -EINTR : 0;
}
