/* SPDX-License-Identifier: MIT */
/* What the parts of the socket device know of each other. */
#ifndef VIRTIO_VSOCK_PARTS_H
#define VIRTIO_VSOCK_PARTS_H

#include <errno.h>
#include <string.h>

#include "virtio/pieces.h"
#include "virtio/vsock.h"
#include "vmm/base/os.h"

/*
 * So many packets are moved before they are shown to the driver together, and
 * so many in one direction, or connections, before a serve ends with -EINTR.
 */
#define VSOCK_BATCH_PACKETS 16u
#define VSOCK_SERVE_PACKETS 256u
#define VSOCK_SERVE_ACCEPTS 64u

#define VSOCK_SHUTDOWN_BOTH \
    (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

/* Links between streams are their numbers, plus 1: zeroed is empty. */
#define VSOCK_NONE 0u

/* Packets for the guest, in the order in which a stream sends them. */
enum vsock_packet {
    VSOCK_SEND_RESET,
    VSOCK_SEND_REQUEST,
    VSOCK_SEND_RESPONSE,
    VSOCK_SEND_CREDIT,
    VSOCK_SEND_ASK, /* for credit */
    VSOCK_SEND_SHUTDOWN,
};

static inline struct vsock *vsock_of(struct vdev *dev)
{
    return CONTAINER_OF(dev, struct vsock, dev);
}

static inline unsigned vsock_index(const struct vsock *vsock,
                                   const struct vsock_stream *stream)
{
    return (unsigned)(stream - vsock->streams);
}

/* Bytes that the guest has room for (5.10.6.3). */
static inline uint32_t vsock_credit(const struct vsock_stream *stream)
{
    uint32_t held = stream->tx_cnt - stream->guest_fwd;

    return held < stream->guest_alloc ? stream->guest_alloc - held : 0;
}

/* Somebody else may look at any time. */
static inline void vsock_note_progress(uint64_t *at, uint64_t bytes)
{
    __atomic_store_n(at, bytes, __ATOMIC_RELAXED);
}

/* Whether there may be bytes for the guest, credit apart. */
static inline bool vsock_wants_read(const struct vsock_stream *stream)
{
    bool open = stream->state == VSOCK_OPEN ||
                (stream->state == VSOCK_REQUESTED && stream->guest_alloc > 0);

    return open && stream->fd >= 0 && stream->readable &&
           !(stream->ended & VIRTIO_VSOCK_SHUTDOWN_SEND) &&
           !(stream->guest_ended & VIRTIO_VSOCK_SHUTDOWN_RCV);
}

/* ---- vsock_stream.c: the streams, and the host's end of them ------------ */

/* The stream between these ports that the guest knows of, or NULL. */
struct vsock_stream *vsock_find(struct vsock *vsock, uint32_t guest_port,
                                uint32_t host_port);

/* A stream that is free, or NULL; of those that linger the first one goes. */
struct vsock_stream *vsock_take_stream(struct vsock *vsock);

/* The guest may name it by these ports from here on. */
void vsock_name(struct vsock *vsock, struct vsock_stream *stream,
                uint32_t guest_port, uint32_t host_port);

/* The guest cannot name it any more. */
void vsock_forget_name(struct vsock *vsock, struct vsock_stream *stream);

/* Gives the stream the socket `fd`. */
void vsock_attach(struct vsock *vsock, struct vsock_stream *stream, int fd);

/*
 * Puts the sockets that are not there yet into the epoll file: before it is
 * waited for, or asked. Most streams are over before anybody has to wait.
 */
void vsock_watch(struct vsock *vsock);

/* What becomes of a socket that is closed here. */
enum vsock_close {
    VSOCK_END,   /* the peer sees the end of the stream; but where it was sent
                    nothing, whoever has the socket, too, may still answer */
    VSOCK_CUT,   /* it sees none */
    VSOCK_LEAVE, /* whoever has it, too, goes on with it */
};

/* Closes its socket, if it has one. */
void vsock_close(struct vsock *vsock, struct vsock_stream *stream,
                 enum vsock_close how);

/* It is over: closes it and frees its place. */
void vsock_free(struct vsock *vsock, struct vsock_stream *stream,
                enum vsock_close how);

/* It is over, and the guest is to be told. */
void vsock_reset_stream(struct vsock *vsock, struct vsock_stream *stream);

/* It has something to send, or may: it has its turn. */
void vsock_queue(struct vsock *vsock, struct vsock_stream *stream);

/* A packet of this kind is due. */
void vsock_send(struct vsock *vsock, struct vsock_stream *stream,
                enum vsock_packet packet);

/* The first of those that have something to send, out of the row; or NULL. */
struct vsock_stream *vsock_next_queued(struct vsock *vsock);

/*
 * The guest has sent `bytes` bytes, for which it had credit and the pieces have
 * room: to the socket, and the rest to the buffer.
 */
void vsock_write(struct vsock *vsock, struct vsock_stream *stream,
                 struct pieces *pieces, uint32_t bytes);

/* The socket takes more: from the buffer, and then what is to follow. */
void vsock_flush(struct vsock *vsock, struct vsock_stream *stream);

/* The guest is done with it: what it has sent goes out, and then it ends. */
void vsock_linger(struct vsock *vsock, struct vsock_stream *stream);

/* The guest sends no more: the socket's peer hears it when all is out. */
void vsock_end_output(struct vsock *vsock, struct vsock_stream *stream);

/* ---- vsock_tx.c, vsock_rx.c: packets ------------------------------------ */

/* Obeys the guest. Returns 0, -EINTR for more, or -EBADMSG. */
MUST_CHECK int vsock_tx_serve(struct vsock *vsock);

/*
 * Whether the packet that the guest has ready next is more of this stream, or
 * its end. A hint: the guest may still change it.
 */
bool vsock_goes_on(struct vsock *vsock, const struct vsock_stream *stream);

/* A refusal is due; there is room for it if !vsock->tx_blocked. */
void vsock_refuse(struct vsock *vsock, uint32_t guest_port, uint32_t host_port,
                  uint16_t type);

/* Sends what there is room for. Returns 0, -EINTR for more, or -EBADMSG. */
MUST_CHECK int vsock_rx_serve(struct vsock *vsock);

/* Sends events that are due. Returns 0 or -EBADMSG. */
MUST_CHECK int vsock_event_serve(struct vsock *vsock);

/* ---- vsock_host.c: what the host has ------------------------------------ */

/* Asks what is ready. Returns 0, or -EINTR if there is more. */
MUST_CHECK int vsock_look(struct vsock *vsock);

/* Takes connections. Returns 0, or -EINTR if there are more. */
MUST_CHECK int vsock_accept(struct vsock *vsock);

/* Whether there may be a connection to take now. */
bool vsock_may_accept(struct vsock *vsock);

/* Connects by way of `fd`. Returns 0 or what epoll_ctl() returns. */
MUST_CHECK int vsock_set_up_broker(struct vsock *vsock, int fd);

/*
 * Asks the broker for entry `entry` of its list, for a stream that is
 * VSOCK_AT_BROKER. Returns 0 or -errno.
 */
MUST_CHECK int vsock_ask_broker(struct vsock *vsock,
                                struct vsock_stream *stream, uint32_t entry);

#endif
