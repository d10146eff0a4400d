/* SPDX-License-Identifier: MIT */
/* The virtio socket device (virtio 1.2, 5.10), between a guest and sockets. */
#include "virtio/vsock.h"

#include <endian.h>
#include <linux/virtio_ids.h>

#include "virtio/vsock_parts.h"

#define BUFFERS_BYTES ((size_t)VSOCK_STREAMS_MAX * VSOCK_BUFFER_BYTES)

/* ---- Serving ------------------------------------------------------------ */

/* Each part has its turn, whatever the others return. */
static int serve_parts(struct vsock *vsock, int more)
{
    int event = vsock_event_serve(vsock);
    int tx = vsock_tx_serve(vsock);
    int accept = vsock_accept(vsock);
    int rx = vsock_rx_serve(vsock);

    vsock->dev.wake_ns = vsock->retry_ns;
    if (event == -EBADMSG || tx == -EBADMSG || rx == -EBADMSG)
        return -EBADMSG;
    if (more || tx || accept || rx)
        return -EINTR;
    /* What was sent may have made room for what could not go on before. */
    if (vsock->tx_blocked && vsock->refusal_count < VSOCK_RESETS_MAX)
        return -EINTR;
    return vsock_may_accept(vsock) ? -EINTR : 0;
}

/* Unless somebody looks again and again, the epoll file says when to look. */
static int vsock_serve(struct vdev *dev)
{
    struct vsock *vsock = vsock_of(dev);

    return serve_parts(vsock, dev->polled ? vsock_look(vsock) : 0);
}

static int vsock_ready(struct vdev *dev)
{
    struct vsock *vsock = vsock_of(dev);

    return serve_parts(vsock, vsock_look(vsock));
}

static void vsock_want(struct vdev *dev, struct pollfd *file)
{
    struct vsock *vsock = vsock_of(dev);

    vsock_watch(vsock);
    *file = (struct pollfd){.fd = vsock->epoll_fd, .events = POLLIN};
}

/* ---- Resets and snapshots ----------------------------------------------- */

/* Whether the guest has not heard of the stream yet. */
static bool is_news(const struct vsock_stream *stream)
{
    return stream->state == VSOCK_REQUESTED &&
           (stream->to_send & 1u << VSOCK_SEND_REQUEST);
}

/* A stream that the driver knows of, and that its reset or a copy of it ends.
 */
static bool is_known(const struct vsock_stream *stream)
{
    return stream->state != VSOCK_FREE && stream->state != VSOCK_LINGERING &&
           !is_news(stream);
}

static void vsock_reset(struct vdev *dev)
{
    struct vsock *vsock = vsock_of(dev);

    for (unsigned i = 0; i < vsock->fresh; i++)
        if (is_known(&vsock->streams[i]))
            vsock_free(vsock, &vsock->streams[i],
                       vsock->streams[i].given ? VSOCK_LEAVE : VSOCK_CUT);
    vsock->refusal_count = 0;
    vsock->tx_blocked = false;
    vsock->tell_reset = false;
    vsock->retry_ns = VDEV_NEVER;
}

/* What is beyond the queues; a part of the format of snapshots. */
struct saved {
    uint64_t guest_cid;
    uint32_t interrupted; /* 1: the driver knows of streams */
    uint32_t reserved;
};

_Static_assert(sizeof(struct saved) == 16, "part of the format of snapshots");

static size_t vsock_save(const struct vdev *dev, void *to)
{
    const struct vsock *vsock = CONTAINER_OF(dev, struct vsock, dev);
    struct saved saved = {
        .guest_cid = le64toh(vsock->config.guest_cid),
        .interrupted = vsock->refusal_count > 0 || vsock->tell_reset,
    };

    for (unsigned i = 0; i < vsock->fresh; i++)
        saved.interrupted |= is_known(&vsock->streams[i]);
    memcpy(to, &saved, sizeof(saved));
    return sizeof(saved);
}

/* Streams do not come along: the driver is told (5.10.6.7). */
static int vsock_load(struct vdev *dev, const void *from, size_t bytes)
{
    struct vsock *vsock = vsock_of(dev);
    struct saved saved;

    if (bytes != sizeof(saved))
        return -EINVAL;
    memcpy(&saved, from, sizeof(saved));
    vsock->tell_reset = saved.interrupted ||
                        saved.guest_cid != le64toh(vsock->config.guest_cid);
    return 0;
}

static const struct vdev_class vsock_class = {
    .name = "vsock",
    .type = VIRTIO_ID_VSOCK,
    .queue_count = VSOCK_QUEUES,
    .config_bytes = sizeof(struct virtio_vsock_config),
    .threaded = true,
    .serve = vsock_serve,
    .reset = vsock_reset,
    .want = vsock_want,
    .ready = vsock_ready,
    .save = vsock_save,
    .load = vsock_load,
};

/* ---- Setting up --------------------------------------------------------- */

/* Room for all buffers; the host provides what is used of it. */
static int map_buffers(struct vsock *vsock)
{
    void *buffers = NULL;
    int error =
        os_mmap(BUFFERS_BYTES, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, &buffers);

    vsock->buffers = buffers;
    return error;
}

int vsock_init(struct vsock *vsock, const struct vsock_options *options)
{
    int error;

    if (options->connect_count > VSOCK_CONNECTS_MAX)
        return -EINVAL;
    vsock->config.guest_cid = htole64(VSOCK_GUEST_CID);
    vsock->broker = -1;
    vsock->connect_count = options->connect_count;
    vsock->progress =
        options->progress ? options->progress : &vsock->own_progress;
    vsock->retry_ns = VDEV_NEVER;
    vsock->dev.queue_size_max[VSOCK_RX] = VSOCK_QUEUE_ENTRIES;
    vsock->dev.queue_size_max[VSOCK_TX] = VSOCK_QUEUE_ENTRIES;
    vsock->dev.queue_size_max[VSOCK_EVENT] = VSOCK_EVENT_ENTRIES;
    error = map_buffers(vsock);
    if (error)
        return error;
    vsock->epoll_fd = os_epoll_create();
    error = vsock->epoll_fd < 0 ? vsock->epoll_fd : 0;
    if (!error && options->broker >= 0)
        error = vsock_set_up_broker(vsock, options->broker);
    vdev_init(&vsock->dev, &vsock_class, 0, &vsock->config);
    if (error)
        vsock_fini(vsock);
    return error;
}

void vsock_fini(struct vsock *vsock)
{
    if (!vsock->buffers)
        return;
    for (unsigned i = 0; i < vsock->fresh; i++)
        if (vsock->streams[i].state != VSOCK_FREE)
            vsock_free(vsock, &vsock->streams[i], VSOCK_LEAVE);
    if (vsock->epoll_fd >= 0)
        os_close(vsock->epoll_fd);
    os_munmap(vsock->buffers, BUFFERS_BYTES);
    vsock->buffers = NULL;
}

unsigned vsock_stream_count(const struct vsock *vsock)
{
    return vsock->used;
}

bool vsock_is_over(const struct vsock *vsock)
{
    return vsock->used == vsock->lingering;
}

void vsock_set_quiet(struct vsock *vsock, bool quiet)
{
    vsock->quiet = quiet;
    if (quiet)
        virtq_suppress_kicks(&vsock->dev.queues[VSOCK_TX]);
}

bool vsock_has_output(const struct vsock *vsock)
{
    for (unsigned i = 0; i < vsock->fresh; i++)
        if (vsock->streams[i].out_bytes > 0)
            return true;
    return false;
}
