/* SPDX-License-Identifier: MIT */
/* The socket device sends packets and events to the guest (5.10.6). */
#include <endian.h>

#include "virtio/vsock_parts.h"

/* A packet of one byte is the least that a receive buffer must be for. */
#define CHAIN_BYTES_MIN (VSOCK_HEADER_BYTES + 1)

_Static_assert(sizeof(struct virtio_vsock_hdr) == VSOCK_HEADER_BYTES,
               "44 bytes, 5.10.6");

/* ---- Packets ------------------------------------------------------------ */

/*
 * Receive buffers are large, and mostly there is little in them: what is not
 * written needs no reset.
 */
static void mark(const struct vsock *vsock, const struct pieces *pieces,
                 uint64_t bytes)
{
    for (unsigned i = 0; i < pieces->count && bytes > 0; i++) {
        uint64_t part = min_u64(bytes, pieces->iov[i].iov_len);

        gmem_mark(vsock->dev.mem, pieces->iov[i].iov_base, part);
        bytes -= part;
    }
}

static void put(const struct vsock *vsock, struct pieces *to,
                const struct virtio_vsock_hdr *header)
{
    mark(vsock, to, sizeof(*header));
    (void)pieces_put(to, header, sizeof(*header));
}

/* Each says how much room there is here (5.10.6.3.2). */
static void put_header(struct vsock *vsock, struct vsock_stream *stream,
                       uint16_t op, uint32_t flags, uint32_t bytes,
                       struct pieces *to)
{
    struct virtio_vsock_hdr header = {
        .src_cid = htole64(VSOCK_HOST_CID),
        .dst_cid = vsock->config.guest_cid,
        .src_port = htole32(stream->host_port),
        .dst_port = htole32(stream->guest_port),
        .len = htole32(bytes),
        .type = htole16(VIRTIO_VSOCK_TYPE_STREAM),
        .op = htole16(op),
        .flags = htole32(flags),
        .buf_alloc = htole32(VSOCK_BUFFER_BYTES),
        .fwd_cnt = htole32(stream->fwd_cnt),
    };

    stream->told_fwd = stream->fwd_cnt;
    put(vsock, to, &header);
}

void vsock_refuse(struct vsock *vsock, uint32_t guest_port, uint32_t host_port,
                  uint16_t type)
{
    unsigned at =
        (vsock->first_refusal + vsock->refusal_count) % VSOCK_RESETS_MAX;

    bug_on(vsock->refusal_count == VSOCK_RESETS_MAX);
    vsock->refusals[at] = (struct vsock_refusal){guest_port, host_port, type};
    vsock->refusal_count++;
}

static void put_refusal(struct vsock *vsock, struct pieces *to)
{
    const struct vsock_refusal *refusal =
        &vsock->refusals[vsock->first_refusal];
    struct virtio_vsock_hdr header = {
        .src_cid = htole64(VSOCK_HOST_CID),
        .dst_cid = vsock->config.guest_cid,
        .src_port = htole32(refusal->host_port),
        .dst_port = htole32(refusal->guest_port),
        .type = htole16(refusal->type),
        .op = htole16(VIRTIO_VSOCK_OP_RST),
    };

    vsock->first_refusal = (vsock->first_refusal + 1) % VSOCK_RESETS_MAX;
    vsock->refusal_count--;
    put(vsock, to, &header);
}

static const uint16_t ops[] = {
    [VSOCK_SEND_RESET] = VIRTIO_VSOCK_OP_RST,
    [VSOCK_SEND_REQUEST] = VIRTIO_VSOCK_OP_REQUEST,
    [VSOCK_SEND_RESPONSE] = VIRTIO_VSOCK_OP_RESPONSE,
    [VSOCK_SEND_CREDIT] = VIRTIO_VSOCK_OP_CREDIT_UPDATE,
    [VSOCK_SEND_ASK] = VIRTIO_VSOCK_OP_CREDIT_REQUEST,
    [VSOCK_SEND_SHUTDOWN] = VIRTIO_VSOCK_OP_SHUTDOWN,
};

/* A packet without bytes of the stream's. */
static void put_packet(struct vsock *vsock, struct vsock_stream *stream,
                       struct pieces *to)
{
    unsigned packet = (unsigned)__builtin_ctz(stream->to_send);
    uint32_t flags = packet == VSOCK_SEND_SHUTDOWN ? stream->ended : 0;

    put_header(vsock, stream, ops[packet], flags, 0, to);
    /* Whatever it is, it says how much room there is. */
    stream->to_send &= (uint8_t) ~(1u << packet | 1u << VSOCK_SEND_CREDIT);
    if (packet == VSOCK_SEND_RESET)
        vsock_free(vsock, stream, VSOCK_LEAVE); /* it has no socket */
}

/* The socket has no more to say. */
static void end_input(struct vsock *vsock, struct vsock_stream *stream)
{
    stream->readable = false;
    stream->ended |= VIRTIO_VSOCK_SHUTDOWN_SEND;
    vsock_send(vsock, stream, VSOCK_SEND_SHUTDOWN);
}

/*
 * What a read of up to `room` bytes has found. Returns how many bytes there
 * are; for 0 there may be a packet to send instead.
 */
static uint32_t note_read(struct vsock *vsock, struct vsock_stream *stream,
                          ssize_t bytes, uint64_t room)
{
    if (bytes > 0) {
        /* Less than asked for: there was no more, unless the end comes next. */
        if ((uint64_t)bytes < room && !stream->hung_up)
            stream->readable = false;
        return (uint32_t)bytes;
    }
    if (bytes == 0)
        end_input(vsock, stream);
    else if (bytes == -EAGAIN)
        stream->readable = false;
    else if (bytes != -EINTR)
        vsock_reset_stream(vsock, stream);
    return 0;
}

/*
 * Reads from the socket what one chain and the guest's credit have room for.
 * Returns the bytes, 0 if there were none.
 */
static uint32_t put_data(struct vsock *vsock, struct vsock_stream *stream,
                         const struct virtq_chain *chain, struct pieces *to)
{
    struct pieces data = {vsock->data, to->count};
    uint64_t room = min_u64(chain->writable_bytes - VSOCK_HEADER_BYTES,
                            vsock_credit(stream));
    uint64_t *progress = &vsock->progress->in_bytes, before = *progress;
    uint32_t bytes;
    ssize_t got;

    memcpy(vsock->data, to->iov, to->count * sizeof(vsock->data[0]));
    (void)pieces_skip(&data, VSOCK_HEADER_BYTES);
    pieces_cut(&data, room);
    vsock_note_progress(progress, before + room);
    got = os_readv(stream->fd, data.iov, (int)data.count);
    /* What fails half way may have written something. */
    if (got != -EAGAIN)
        mark(vsock, &data, got < 0 ? room : (uint64_t)got);
    bytes = note_read(vsock, stream, got, room);
    vsock_note_progress(progress, before + bytes);
    if (bytes == 0)
        return 0;
    put_header(vsock, stream, VIRTIO_VSOCK_OP_RW, 0, bytes, to);
    stream->to_send &= (uint8_t) ~(1u << VSOCK_SEND_CREDIT);
    stream->tx_cnt += bytes;
    vsock->stats.out_bytes += bytes;
    return bytes;
}

/* ---- Turns -------------------------------------------------------------- */

/* Bytes for the guest, but no credit: asks for it, once. */
static void ask_for_credit(struct vsock *vsock, struct vsock_stream *stream)
{
    if (!stream->asked)
        vsock_send(vsock, stream, VSOCK_SEND_ASK);
    stream->asked = true;
}

/*
 * A stream's turn: one packet in `chain`. Returns the bytes that are there, or
 * 0 if there was none to send.
 */
static uint32_t send_from(struct vsock *vsock, struct vsock_stream *stream,
                          const struct virtq_chain *chain, struct pieces *to)
{
    uint32_t bytes = 0;

    if (stream->to_send) {
        put_packet(vsock, stream, to);
        bytes = VSOCK_HEADER_BYTES;
    } else if (vsock_wants_read(stream) && vsock_credit(stream) > 0) {
        bytes = put_data(vsock, stream, chain, to);
        bytes += bytes > 0 ? VSOCK_HEADER_BYTES : 0;
    }
    bool reads = vsock_wants_read(stream);
    /* The answer to a request says how much there is: not asked before. */
    if (reads && vsock_credit(stream) == 0 && stream->state == VSOCK_OPEN)
        ask_for_credit(vsock, stream);
    if (stream->to_send || (reads && vsock_credit(stream) > 0))
        vsock_queue(vsock, stream);
    return bytes;
}

/* Returns 1 if there is a chain, 0 if the driver has to post one, or -EBADMSG.
 */
static int take_chain(struct vsock *vsock, struct virtq_chain *chain)
{
    int found = virtq_pop(&vsock->dev.queues[VSOCK_RX], chain);

    if (found == -ENOSPC)
        return -EBADMSG;
    if (found == 1 && chain->writable_bytes < CHAIN_BYTES_MIN) {
        log_guest(&vsock->limit, "vsock stopped: receive buffer of %u bytes",
                  (unsigned)chain->writable_bytes);
        return -EBADMSG;
    }
    return found;
}

/*
 * Sends one packet. Returns 1 if it did, or had none after all, 0 if there is
 * no room, or -EBADMSG.
 */
static int send_one(struct vsock *vsock, uint32_t *done)
{
    struct virtq *q = &vsock->dev.queues[VSOCK_RX];
    struct virtq_chain chain = {
        .iov = vsock->iov, .iov_max = VSOCK_QUEUE_ENTRIES, .marks = true};
    int found = take_chain(vsock, &chain);
    uint32_t bytes = VSOCK_HEADER_BYTES;

    if (found <= 0)
        return found;

    struct pieces to = {chain.iov + chain.readable_count, chain.writable_count};
    if (vsock->refusal_count > 0)
        put_refusal(vsock, &to);
    else
        bytes = send_from(vsock, vsock_next_queued(vsock), &chain, &to);
    if (bytes == 0) {
        virtq_unpop(q);
        return 1;
    }
    virtq_push(q, chain.head, bytes);
    ++*done;
    return 1;
}

static bool has_packet(const struct vsock *vsock)
{
    return vsock->refusal_count > 0 || vsock->first_queued != VSOCK_NONE;
}

/* The driver has to post more. Returns whether it has, meanwhile. */
static bool wait_for_room(struct vsock *vsock)
{
    vsock->stats.starved++;
    return vdev_ask_kick(&vsock->dev, VSOCK_RX, 1);
}

int vsock_rx_serve(struct vsock *vsock)
{
    struct virtq *q = &vsock->dev.queues[VSOCK_RX];
    uint32_t done = 0;
    int result = 1;

    if (!q->enabled)
        return 0;
    virtq_suppress_kicks(q);
    for (unsigned budget = VSOCK_SERVE_PACKETS;
         budget > 0 && has_packet(vsock) && result > 0; budget--) {
        result = send_one(vsock, &done);
        if (result == 0) {
            vdev_publish(&vsock->dev, VSOCK_RX);
            result = wait_for_room(vsock);
        }
        if (done % VSOCK_BATCH_PACKETS == 0)
            vdev_publish(&vsock->dev, VSOCK_RX);
    }
    vdev_publish(&vsock->dev, VSOCK_RX);
    if (q->broken)
        return -EBADMSG;
    if (result < 0)
        return result;
    if (has_packet(vsock))
        return result ? -EINTR : 0;
    /* Connections wait for the driver to be there. */
    return vsock->awaits_room && vdev_ask_kick(&vsock->dev, VSOCK_RX, 1)
               ? -EINTR
               : 0;
}

/* ---- Events ------------------------------------------------------------- */

int vsock_event_serve(struct vsock *vsock)
{
    const struct virtio_vsock_event event = {
        .id = htole32(VIRTIO_VSOCK_EVENT_TRANSPORT_RESET)};
    struct virtq *q = &vsock->dev.queues[VSOCK_EVENT];
    struct virtq_chain chain = {.iov = vsock->iov,
                                .iov_max = VSOCK_QUEUE_ENTRIES};
    int found;

    if (!q->enabled || !vsock->tell_reset)
        return 0;
    found = virtq_pop(q, &chain);
    if (found == 0 && vdev_ask_kick(&vsock->dev, VSOCK_EVENT, 1))
        found = virtq_pop(q, &chain);
    if (found == 0)
        return q->broken ? -EBADMSG : 0;
    if (found < 0 || chain.writable_bytes < sizeof(event))
        return -EBADMSG;

    struct pieces to = {chain.iov + chain.readable_count, chain.writable_count};
    (void)pieces_put(&to, &event, sizeof(event));
    virtq_push(q, chain.head, sizeof(event));
    vdev_publish(&vsock->dev, VSOCK_EVENT);
    vsock->tell_reset = false;
    return 0;
}
