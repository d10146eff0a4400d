/* SPDX-License-Identifier: MIT */
/* Two devices for the I/O thread: an echo, and a source of numbers. */
#include "tests/threads/devices.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SERVE_CHAINS_MAX 64u

static void forget_nothing(struct vdev *dev)
{
    (void)dev;
}

/* Serves chains by `serve_chain`, in the way of the real devices. */
static int serve_some(struct vdev *dev, bool short_serves,
                      int (*serve_chain)(struct vdev *dev))
{
    unsigned most = short_serves ? 1 : SERVE_CHAINS_MAX;
    int result = -EINTR;

    for (unsigned i = 0; i < most && result == -EINTR; i++) {
        int found = serve_chain(dev);

        if (found < 0)
            result = found == -EAGAIN ? 0 : found;
        else if (found == 0 && !vdev_ask_kick(dev, 0, 1))
            result = dev->queues[0].broken ? -EBADMSG : 0;
    }
    vdev_publish(dev, 0);
    return result;
}

/* ---- Echo --------------------------------------------------------------- */

/* Returns 1, 0 if there was no chain, or -EBADMSG. */
static int echo_chain(struct vdev *dev)
{
    struct iovec iov[QUEUE_SIZE];
    struct virtq_chain chain = {.iov = iov, .iov_max = QUEUE_SIZE};
    int found = virtq_pop(&dev->queues[0], &chain);
    uint64_t value;

    if (found <= 0)
        return found;
    if (chain.readable_count != 1 || chain.writable_count != 1 ||
        chain.readable_bytes != sizeof(value) ||
        chain.writable_bytes != sizeof(value))
        return -EBADMSG;
    memcpy(&value, iov[0].iov_base, sizeof(value));
    memcpy(iov[1].iov_base, &value, sizeof(value));
    virtq_push(&dev->queues[0], chain.head, sizeof(value));
    return 1;
}

static int echo_serve(struct vdev *dev)
{
    struct echo *echo = CONTAINER_OF(dev, struct echo, dev);

    return serve_some(dev, echo->short_serves, echo_chain);
}

static const struct vdev_class echo_class = {
    .name = "echo",
    .type = ECHO_TYPE,
    .queue_count = 1,
    .threaded = true,
    .serve = echo_serve,
    .reset = forget_nothing,
};

void echo_init(struct echo *echo)
{
    *echo = (struct echo){0};
    echo->dev.queue_size_max[0] = QUEUE_SIZE;
    vdev_init(&echo->dev, &echo_class, 0, "");
}

/* ---- Source ------------------------------------------------------------- */

/* Returns 1, 0 if there was no chain, -EAGAIN if no number, or -EBADMSG. */
static int fill_chain(struct vdev *dev)
{
    struct source *source = CONTAINER_OF(dev, struct source, dev);
    struct iovec iov[QUEUE_SIZE];
    struct virtq_chain chain = {.iov = iov, .iov_max = QUEUE_SIZE};
    int found = virtq_pop(&dev->queues[0], &chain);
    uint64_t value;

    if (found <= 0)
        return found;
    if (chain.writable_count != 1 || chain.writable_bytes != sizeof(value))
        return -EBADMSG;
    if (read(source->fd, &value, sizeof(value)) != sizeof(value)) {
        virtq_unpop(&dev->queues[0]);
        return -EAGAIN;
    }
    memcpy(iov[0].iov_base, &value, sizeof(value));
    virtq_push(&dev->queues[0], chain.head, sizeof(value));
    return 1;
}

static int source_serve(struct vdev *dev)
{
    struct source *source = CONTAINER_OF(dev, struct source, dev);

    return serve_some(dev, source->short_serves, fill_chain);
}

static void source_want(struct vdev *dev, struct pollfd *file)
{
    struct source *source = CONTAINER_OF(dev, struct source, dev);

    if (virtq_has_chain(&dev->queues[0]))
        *file = (struct pollfd){.fd = source->fd, .events = POLLIN};
}

static const struct vdev_class source_class = {
    .name = "source",
    .type = SOURCE_TYPE,
    .queue_count = 1,
    .threaded = true,
    .serve = source_serve,
    .reset = forget_nothing,
    .want = source_want,
    .ready = source_serve,
};

void source_init(struct source *source, int fd)
{
    *source = (struct source){.fd = fd};
    source->dev.queue_size_max[0] = QUEUE_SIZE;
    vdev_init(&source->dev, &source_class, 0, "");
}
