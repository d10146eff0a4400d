/* SPDX-License-Identifier: MIT */
/* The virtio entropy device (virtio 1.2, 5.4): random bytes from the host. */
#include "virtio/rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "vmm/base/os.h"

/* One serve ends, with -EINTR, after so many chains. */
#define SERVE_CHAINS_MAX 256u

/*
 * Fills `count` pieces, at most RNG_CHAIN_BYTES_MAX bytes. Returns how many,
 * or -errno if there are none.
 */
static ssize_t fill_pieces(const struct iovec *iov, unsigned count)
{
    size_t done = 0;

    for (unsigned i = 0; i < count && done < RNG_CHAIN_BYTES_MAX; i++) {
        size_t part = min_u64(iov[i].iov_len, RNG_CHAIN_BYTES_MAX - done);
        ssize_t got = os_getrandom(iov[i].iov_base, part);

        if (got < 0)
            return done > 0 ? (ssize_t)done : got;
        done += (size_t)got;
        if ((size_t)got < part)
            break; /* a signal came: the driver takes what there is */
    }
    return (ssize_t)done;
}

/* Serves one chain. Returns 1, 0 if there was none, -EINTR, or -EBADMSG. */
static int serve_chain(struct rng *rng)
{
    struct virtq *q = &rng->dev.queues[0];
    struct iovec iov[RNG_QUEUE_MAX];
    struct virtq_chain chain = {.iov = iov, .iov_max = RNG_QUEUE_MAX};
    int found = virtq_pop(q, &chain);
    ssize_t bytes;

    if (found <= 0)
        return found;
    bytes = fill_pieces(iov + chain.readable_count, chain.writable_count);
    if (bytes < 0) {
        virtq_unpop(q);
        if (bytes == -EINTR)
            return -EINTR;
        log_guest(&rng->limit, "entropy stopped: %s", strerror((int)-bytes));
        return -EBADMSG;
    }
    virtq_push(q, chain.head, (uint32_t)bytes);
    rng->requests++;
    rng->bytes += (uint64_t)bytes;
    return 1;
}

static int serve_some(struct rng *rng)
{
    struct virtq *q = &rng->dev.queues[0];

    for (unsigned i = 0; i < SERVE_CHAINS_MAX; i++) {
        int found = serve_chain(rng);

        if (found < 0)
            return found;
        if (found == 0 && !vdev_ask_kick(&rng->dev, 0, 1))
            return q->broken ? -EBADMSG : 0;
    }
    return -EINTR;
}

static int rng_serve(struct vdev *dev)
{
    int error = serve_some(CONTAINER_OF(dev, struct rng, dev));

    vdev_publish(dev, 0);
    return error;
}

static void rng_reset(struct vdev *dev)
{
    (void)dev;
}

static const struct vdev_class rng_class = {
    .name = "entropy",
    .type = VIRTIO_ID_RNG,
    .queue_count = 1,
    .serve = rng_serve,
    .reset = rng_reset,
};

void rng_init(struct rng *rng)
{
    *rng = (struct rng){0};
    rng->dev.queue_size_max[0] = RNG_QUEUE_MAX;
    vdev_init(&rng->dev, &rng_class, 0, rng); /* no configuration */
}
