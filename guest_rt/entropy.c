/* SPDX-License-Identifier: MIT */
/* The virtio entropy device (virtio 1.2, 5.4). */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <mayfly/entropy.h>

#include "device.h"
#include "poll.h"
#include "ring.h"
#include "sched.h"

/*
 * getrandom() does not mix these in. The seed in the boot page comes from the
 * host's generator as the device's bytes do, so the device would add an exit to
 * a program's first random number and nothing to its quality.
 */

/* What is asked for at once. A device gives what it likes, and we go on. */
#define REQUEST_BYTES_MAX 65536u

static struct {
    struct device device;
    struct ring ring;
    struct poll poll;
    struct mutex mutex; /* one request at a time */
    bool tried;         /* to open it */
    int error;          /* 0, or what every call returns */
} entropy;

/* Fills some of the buffer. Returns how much, or -EIO. */
static long read_some(void *buffer, size_t bytes)
{
    struct iovec piece = {
        buffer, bytes < REQUEST_BYTES_MAX ? bytes : REQUEST_BYTES_MAX};
    uint32_t written;

    /* Nothing else is in flight: there is room. */
    ring_add(&entropy.ring, &piece, 0, 1);
    if (ring_publish(&entropy.ring))
        device_kick(&entropy.device, 0);
    if (poll_ring(&entropy.poll, &entropy.device, &entropy.ring))
        return -EIO;
    ring_reap(&entropy.ring, &written);
    /* 5.4.6.2: one byte or more. */
    return written > 0 && written <= piece.iov_len ? (long)written : -EIO;
}

static long read_all(void *buffer, size_t bytes)
{
    if (!entropy.tried) {
        entropy.tried = true;
        entropy.error =
            device_open(&entropy.device, VIRTIO_ID_RNG, 0, 0, &entropy.ring, 1);
    }
    if (!entropy.error && bytes > 0 &&
        !device_can_reach((uintptr_t)buffer, bytes))
        return -EFAULT;
    for (size_t done = 0; done < bytes && !entropy.error;) {
        long part = read_some((char *)buffer + done, bytes - done);

        if (part < 0)
            entropy.error = (int)part;
        else
            done += (size_t)part;
    }
    return entropy.error ? entropy.error : (long)bytes;
}

long mf_entropy_read(void *buffer, size_t bytes)
{
    long result;

    mf_lock();
    mutex_lock(&entropy.mutex);
    result = read_all(buffer, bytes);
    mutex_unlock(&entropy.mutex);
    mf_unlock();
    return result;
}
