/* SPDX-License-Identifier: MIT */
/* The socket device's streams, and the host's end of each. */
#include "virtio/vsock_parts.h"

/* ---- Places and names --------------------------------------------------- */

static uint16_t *row_of(struct vsock *vsock, uint32_t guest_port,
                        uint32_t host_port)
{
    /* Ports of ours are the streams' numbers: see vsock_take_stream(). */
    return &vsock->rows[(guest_port * 31 + host_port) % VSOCK_STREAMS_MAX];
}

struct vsock_stream *vsock_find(struct vsock *vsock, uint32_t guest_port,
                                uint32_t host_port)
{
    uint16_t link = *row_of(vsock, guest_port, host_port);

    while (link != VSOCK_NONE) {
        struct vsock_stream *stream = &vsock->streams[link - 1];

        if (stream->guest_port == guest_port && stream->host_port == host_port)
            return stream;
        link = stream->next;
    }
    return NULL;
}

void vsock_name(struct vsock *vsock, struct vsock_stream *stream,
                uint32_t guest_port, uint32_t host_port)
{
    uint16_t *row = row_of(vsock, guest_port, host_port);

    stream->guest_port = guest_port;
    stream->host_port = host_port;
    stream->named = true;
    stream->next = *row;
    *row = (uint16_t)(vsock_index(vsock, stream) + 1);
}

void vsock_forget_name(struct vsock *vsock, struct vsock_stream *stream)
{
    uint16_t *link = row_of(vsock, stream->guest_port, stream->host_port);
    uint16_t own = (uint16_t)(vsock_index(vsock, stream) + 1);

    if (!stream->named)
        return;
    while (*link != own)
        link = &vsock->streams[*link - 1].next;
    *link = stream->next;
    stream->named = false;
}

/* All are in use: the one that the guest closed first is cut off. */
static void end_oldest(struct vsock *vsock)
{
    struct vsock_stream *oldest = NULL;

    if (vsock->lingering == 0)
        return;
    for (unsigned i = 0; i < vsock->fresh; i++) {
        struct vsock_stream *stream = &vsock->streams[i];

        if (stream->state == VSOCK_LINGERING &&
            (!oldest || stream->order < oldest->order))
            oldest = stream;
    }
    vsock_free(vsock, oldest, VSOCK_CUT);
}

struct vsock_stream *vsock_take_stream(struct vsock *vsock)
{
    struct vsock_stream *stream;
    uint32_t generation;

    if (vsock->used == VSOCK_STREAMS_MAX)
        end_oldest(vsock);
    if (vsock->first_free != VSOCK_NONE) {
        stream = &vsock->streams[vsock->first_free - 1];
        vsock->first_free = stream->next;
    } else if (vsock->fresh < VSOCK_STREAMS_MAX) {
        stream = &vsock->streams[vsock->fresh++];
    } else {
        return NULL;
    }
    /* It may be in the row still: it stays there. */
    generation = stream->generation + 1;
    *stream = (struct vsock_stream){
        .fd = -1,
        .generation = generation,
        .queued = stream->queued,
        .next_queued = stream->next_queued,
    };
    vsock->used++;
    return stream;
}

void vsock_free(struct vsock *vsock, struct vsock_stream *stream,
                enum vsock_close how)
{
    vsock_close(vsock, stream, how);
    vsock_forget_name(vsock, stream);
    vsock->lingering -= stream->state == VSOCK_LINGERING;
    stream->state = VSOCK_FREE;
    stream->to_send = 0;
    stream->out_bytes = 0;
    stream->next = vsock->first_free;
    vsock->first_free = (uint16_t)(vsock_index(vsock, stream) + 1);
    vsock->used--;
}

/* ---- Turns -------------------------------------------------------------- */

void vsock_queue(struct vsock *vsock, struct vsock_stream *stream)
{
    uint16_t own = (uint16_t)(vsock_index(vsock, stream) + 1);

    if (stream->queued)
        return;
    stream->queued = true;
    stream->next_queued = VSOCK_NONE;
    if (vsock->first_queued == VSOCK_NONE)
        vsock->first_queued = own;
    else
        vsock->streams[vsock->last_queued - 1].next_queued = own;
    vsock->last_queued = own;
}

struct vsock_stream *vsock_next_queued(struct vsock *vsock)
{
    struct vsock_stream *stream;

    if (vsock->first_queued == VSOCK_NONE)
        return NULL;
    stream = &vsock->streams[vsock->first_queued - 1];
    vsock->first_queued = stream->next_queued;
    stream->queued = false;
    return stream;
}

void vsock_send(struct vsock *vsock, struct vsock_stream *stream,
                enum vsock_packet packet)
{
    stream->to_send |= (uint8_t)(1u << packet);
    vsock_queue(vsock, stream);
}

/* ---- The socket --------------------------------------------------------- */

void vsock_attach(struct vsock *vsock, struct vsock_stream *stream, int fd)
{
    stream->fd = fd;
    stream->readable = true; /* or we find out */
    stream->writable = true;
    vsock->unwatched++;
}

/* What has happened before is told, too: nothing gets lost. */
static int watch(struct vsock *vsock, struct vsock_stream *stream)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.u64 =
            (uint64_t)stream->generation << 16 | vsock_index(vsock, stream),
    };

    return os_epoll_control(vsock->epoll_fd, EPOLL_CTL_ADD, stream->fd, &event);
}

void vsock_watch(struct vsock *vsock)
{
    for (unsigned i = 0; i < vsock->fresh && vsock->unwatched > 0; i++) {
        struct vsock_stream *stream = &vsock->streams[i];

        if (stream->fd < 0 || stream->watched)
            continue;
        if (watch(vsock, stream)) {
            vsock_reset_stream(vsock, stream);
            continue;
        }
        stream->watched = true;
        vsock->unwatched--;
    }
}

void vsock_close(struct vsock *vsock, struct vsock_stream *stream,
                 enum vsock_close how)
{
    if (stream->fd < 0)
        return;
    /* Another process may have the file, too: it would stay in epoll's. */
    if (stream->watched)
        (void)os_epoll_control(vsock->epoll_fd, EPOLL_CTL_DEL, stream->fd,
                               NULL);
    vsock->unwatched -= !stream->watched;
    stream->watched = false;
    if (how == VSOCK_CUT)
        (void)os_set_abort(stream->fd);
    else if (how == VSOCK_END && stream->given && stream->fwd_cnt > 0)
        (void)os_shutdown(stream->fd, SHUT_RDWR);
    os_close(stream->fd);
    stream->fd = -1;
}

void vsock_reset_stream(struct vsock *vsock, struct vsock_stream *stream)
{
    vsock_close(vsock, stream, VSOCK_CUT);
    stream->out_bytes = 0;
    stream->state = VSOCK_RESETTING;
    stream->to_send = 0;
    vsock->stats.resets++;
    vsock_send(vsock, stream, VSOCK_SEND_RESET);
}

/* ---- Bytes from the guest ----------------------------------------------- */

static uint8_t *buffer_of(const struct vsock *vsock,
                          const struct vsock_stream *stream)
{
    return vsock->buffers +
           (size_t)vsock_index(vsock, stream) * VSOCK_BUFFER_BYTES;
}

/* The pieces of its buffer with `bytes` bytes from `start` on. At most two. */
static unsigned describe_buffer(const struct vsock *vsock,
                                const struct vsock_stream *stream,
                                uint32_t start, uint32_t bytes,
                                struct iovec iov[2])
{
    uint32_t first = (uint32_t)min_u64(bytes, VSOCK_BUFFER_BYTES - start);

    iov[0] = (struct iovec){buffer_of(vsock, stream) + start, first};
    iov[1] = (struct iovec){buffer_of(vsock, stream), bytes - first};
    return bytes > first ? 2 : 1;
}

/* Keeps `bytes` bytes, for which there is room. */
static void keep(struct vsock *vsock, struct vsock_stream *stream,
                 struct pieces *pieces, uint32_t bytes)
{
    uint32_t end = (stream->out_start + stream->out_bytes) % VSOCK_BUFFER_BYTES;
    struct iovec iov[2];
    unsigned count = describe_buffer(vsock, stream, end, bytes, iov);

    for (unsigned i = 0; i < count; i++)
        (void)pieces_take(pieces, iov[i].iov_base, iov[i].iov_len);
    stream->out_bytes += bytes;
}

/* The socket has taken so many, or they are nobody's any more. */
static void note_taken(struct vsock *vsock, struct vsock_stream *stream,
                       uint32_t bytes)
{
    stream->fwd_cnt += bytes;
    if (stream->state == VSOCK_OPEN &&
        stream->fwd_cnt - stream->told_fwd >= VSOCK_BUFFER_BYTES / 2)
        vsock_send(vsock, stream, VSOCK_SEND_CREDIT);
}

/*
 * Its peer takes nothing more. What the guest sends from here on is lost, as it
 * may be with any socket; the guest hears of it.
 */
static void note_broken(struct vsock *vsock, struct vsock_stream *stream,
                        int error)
{
    uint32_t lost = stream->out_bytes;

    stream->out_bytes = 0;
    if (stream->state == VSOCK_LINGERING) {
        vsock_free(vsock, stream, VSOCK_CUT);
    } else if (error != -EPIPE) {
        vsock_reset_stream(vsock, stream);
    } else if (!(stream->ended & VIRTIO_VSOCK_SHUTDOWN_RCV)) {
        /* There may be something left to read. */
        stream->ended |= VIRTIO_VSOCK_SHUTDOWN_RCV;
        vsock_send(vsock, stream, VSOCK_SEND_SHUTDOWN);
        note_taken(vsock, stream, lost);
    }
}

/* `more` follows at once. */
static ssize_t give(const struct vsock_stream *stream, const struct iovec *iov,
                    unsigned count, bool more)
{
    if (more && count == 1)
        return os_send_more(stream->fd, iov->iov_base, iov->iov_len);
    return os_writev(stream->fd, iov, (int)count);
}

/*
 * Writes once. Returns how many of `bytes` bytes were taken; all that the
 * socket does not want (any more) stay.
 */
static uint32_t write_once(struct vsock *vsock, struct vsock_stream *stream,
                           const struct pieces *from, uint32_t bytes, bool more,
                           int *error)
{
    uint64_t before = vsock->progress->out_bytes;
    ssize_t written;

    *error = 0;
    vsock_note_progress(&vsock->progress->out_bytes, before + bytes);
    written = give(stream, from->iov, from->count, more);
    vsock_note_progress(&vsock->progress->out_bytes,
                        before + (written > 0 ? (uint64_t)written : 0));
    if (written >= 0 && (uint32_t)written < bytes)
        stream->writable = false;
    if (written >= 0)
        return (uint32_t)min_u64((uint64_t)written, bytes);
    if (written == -EAGAIN)
        stream->writable = false;
    else if (written != -EINTR)
        *error = (int)written;
    return 0;
}

void vsock_write(struct vsock *vsock, struct vsock_stream *stream,
                 struct pieces *pieces, uint32_t bytes)
{
    uint32_t done = 0;
    int error = 0;

    vsock->stats.in_bytes += bytes;
    if (stream->ended & VIRTIO_VSOCK_SHUTDOWN_RCV) {
        note_taken(vsock, stream, bytes);
        return;
    }
    pieces_cut(pieces, bytes);
    if (stream->writable && stream->out_bytes == 0 && bytes > 0)
        done = write_once(vsock, stream, pieces, bytes,
                          vsock_goes_on(vsock, stream), &error);
    if (error) {
        stream->out_bytes = bytes; /* as if kept, to be lost */
        note_broken(vsock, stream, error);
        return;
    }
    (void)pieces_skip(pieces, done);
    if (done < bytes)
        keep(vsock, stream, pieces, bytes - done);
    note_taken(vsock, stream, done);
    /* Interrupted, and not full: the socket says nothing more of itself. */
    if (done < bytes && stream->writable)
        vsock_flush(vsock, stream);
}

/* The buffer is empty: what was to happen then. */
static void finish_output(struct vsock *vsock, struct vsock_stream *stream)
{
    if (stream->state == VSOCK_LINGERING)
        vsock_free(vsock, stream, VSOCK_END);
    else if (stream->guest_ended & VIRTIO_VSOCK_SHUTDOWN_SEND)
        (void)os_shutdown(stream->fd, SHUT_WR);
}

void vsock_flush(struct vsock *vsock, struct vsock_stream *stream)
{
    struct iovec iov[2];
    int error = 0;

    if (stream->fd < 0 || stream->out_bytes == 0)
        return;
    while (stream->writable && stream->out_bytes > 0 && !error) {
        unsigned count = describe_buffer(vsock, stream, stream->out_start,
                                         stream->out_bytes, iov);
        const struct pieces kept = {iov, count};
        uint32_t done =
            write_once(vsock, stream, &kept, stream->out_bytes, false, &error);

        stream->out_start = (stream->out_start + done) % VSOCK_BUFFER_BYTES;
        stream->out_bytes -= done;
        note_taken(vsock, stream, done);
    }
    if (error)
        note_broken(vsock, stream, error);
    else if (stream->out_bytes == 0)
        finish_output(vsock, stream);
}

void vsock_end_output(struct vsock *vsock, struct vsock_stream *stream)
{
    if (stream->out_bytes == 0 && stream->fd >= 0)
        finish_output(vsock, stream);
}

void vsock_linger(struct vsock *vsock, struct vsock_stream *stream)
{
    vsock_forget_name(vsock, stream);
    stream->to_send = 0;
    if (stream->fd < 0 || stream->out_bytes == 0) {
        vsock_free(vsock, stream, VSOCK_END);
        return;
    }
    stream->state = VSOCK_LINGERING;
    stream->order = vsock->order++;
    vsock->lingering++;
}
