/* SPDX-License-Identifier: MIT */
/* The network device's link to a user-mode network: frames over a stream. */
#include "virtio/stream.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/os.h"

_Static_assert(STREAM_IN_BYTES >= 2 * STREAM_OUT_BYTES - NET_FRAME_MAX,
               "the buffer has room for the largest frame");

static struct stream *stream_of(struct net_backend *backend)
{
    return CONTAINER_OF(backend, struct stream, backend);
}

/* The link is down for good. Returns `error`, which says why. */
static int give_up(struct stream *stream, int error)
{
    stream->backend.gone = true;
    return error;
}

/* ---- Receiving ---------------------------------------------------------- */

/*
 * Returns the length of the frame at the front, 0 if that has not been read
 * yet, or -EPROTO if no frame is that long.
 */
static ssize_t frame_length(struct stream *stream)
{
    uint32_t length;

    if (stream->in_end - stream->in_start < STREAM_LENGTH_BYTES)
        return 0;
    memcpy(&length, stream->in + stream->in_start, sizeof(length));
    length = be32toh(length);
    if (length < NET_ETH_BYTES || length > NET_FRAME_MAX) {
        log_guest(&stream->limit, "net: frame of %u bytes from the network",
                  length);
        return give_up(stream, -EPROTO);
    }
    return (ssize_t)length;
}

/* Reads more, behind what there is. Returns 0 or -errno. */
static int read_more(struct stream *stream)
{
    size_t there = stream->in_end - stream->in_start;
    struct iovec iov;
    ssize_t bytes;

    if (stream->in_start > 0) /* at most one frame, in part */
        memmove(stream->in, stream->in + stream->in_start, there);
    stream->in_start = 0;
    stream->in_end = there;
    iov = (struct iovec){stream->in + there, sizeof(stream->in) - there};
    bytes = os_readv(stream->backend.fd, &iov, 1);
    if (bytes == -EAGAIN || bytes == -EINTR)
        return (int)bytes;
    if (bytes <= 0)
        return give_up(stream, bytes < 0 ? (int)bytes : -EPIPE);
    stream->in_end += (size_t)bytes;
    return 0;
}

/* Returns the length of the frame at the front if it is all there, or 0. */
static ssize_t whole_length(struct stream *stream)
{
    ssize_t length = frame_length(stream);

    if (length > 0 && stream->in_end - stream->in_start <
                          STREAM_LENGTH_BYTES + (size_t)length)
        return 0;
    return length;
}

/*
 * Finds a frame that is there in full, after at most one read: a peer that
 * sends byte by byte gets no more of our time. Returns its length or -errno.
 */
static ssize_t find_frame(struct stream *stream)
{
    ssize_t length = whole_length(stream);
    int error;

    if (length != 0)
        return length;
    error = read_more(stream);
    if (error)
        return error;
    length = whole_length(stream);
    return length != 0 ? length : -EAGAIN;
}

static ssize_t stream_receive(struct net_backend *backend, net_header *header,
                              struct iovec *iov, unsigned count)
{
    struct stream *stream = stream_of(backend);
    ssize_t length = find_frame(stream);
    const uint8_t *frame;
    size_t left;

    if (length < 0)
        return length;
    *header = (net_header){.num_buffers = 0};
    frame = stream->in + stream->in_start + STREAM_LENGTH_BYTES;
    left = (size_t)length;
    for (unsigned i = 1; i < count && left > 0; i++) {
        size_t part = min_u64(left, iov[i].iov_len);

        memcpy(iov[i].iov_base, frame, part);
        frame += part;
        left -= part;
    }
    stream->in_start += STREAM_LENGTH_BYTES + (size_t)length;
    return length - (ssize_t)left;
}

/* ---- Sending ------------------------------------------------------------ */

/* Returns 0 if nothing is left to be written, or -errno. */
static int stream_flush(struct net_backend *backend)
{
    struct stream *stream = stream_of(backend);

    while (stream->out_start < stream->out_end) {
        struct iovec iov = {stream->out + stream->out_start,
                            stream->out_end - stream->out_start};
        ssize_t bytes = os_writev(backend->fd, &iov, 1);

        if (bytes == -EAGAIN || bytes == -EINTR)
            return (int)bytes;
        if (bytes <= 0)
            return give_up(stream, bytes < 0 ? (int)bytes : -EPIPE);
        stream->out_start += (size_t)bytes;
    }
    stream->out_start = stream->out_end = 0;
    return 0;
}

/* Keeps what the pieces hold behind the first `skip` bytes. */
static void keep_rest(struct stream *stream, const struct iovec *iov,
                      unsigned count, size_t skip)
{
    for (unsigned i = 0; i < count; i++) {
        size_t skipped = min_u64(skip, iov[i].iov_len);
        size_t part = iov[i].iov_len - skipped;

        skip -= skipped;
        memcpy(stream->out + stream->out_end,
               (const char *)iov[i].iov_base + skipped, part);
        stream->out_end += part;
    }
}

static int stream_send(struct net_backend *backend, const net_header *header,
                       struct iovec *iov, unsigned count, size_t bytes)
{
    struct stream *stream = stream_of(backend);
    uint32_t length = htobe32((uint32_t)bytes);
    int error = stream_flush(backend);
    ssize_t sent;

    (void)header; /* nothing is negotiated that it could ask for */
    if (error)
        return error;
    memcpy(stream->out_length, &length, sizeof(length));
    iov[0] = (struct iovec){stream->out_length, sizeof(stream->out_length)};
    sent = os_writev(backend->fd, iov, (int)count);
    if (sent == -EAGAIN || sent == -EINTR)
        return (int)sent;
    if (sent < 0)
        return give_up(stream, (int)sent);
    if ((size_t)sent < STREAM_LENGTH_BYTES + bytes)
        keep_rest(stream, iov, count, (size_t)sent);
    return 0;
}

static const struct net_backend_ops stream_ops = {
    .receive = stream_receive,
    .send = stream_send,
    .flush = stream_flush,
};

void stream_init(struct stream *stream, int fd)
{
    stream->backend = (struct net_backend){.ops = &stream_ops, .fd = fd};
    stream->in_start = stream->in_end = 0;
    stream->out_start = stream->out_end = 0;
    stream->limit = (struct log_limit){0};
}
