/* SPDX-License-Identifier: MIT */
/* The virtio entropy device (virtio 1.2, 5.4): random bytes from the host. */
#ifndef VIRTIO_RNG_H
#define VIRTIO_RNG_H

/*
 * Fills what the driver posts with bytes from getrandom(), at most
 * RNG_CHAIN_BYTES_MAX of each chain: the standard asks for one or more, and
 * the used length says how many they are. Nothing is kept between two chains.
 *
 * The device asks to be kicked for each chain. Everything runs in the thread
 * that serves it.
 */

#include "virtio/device.h"

#define RNG_QUEUE_MAX       8u    /* entries */
#define RNG_CHAIN_BYTES_MAX 4096u /* of one chain */

struct rng {
    struct vdev dev;
    uint64_t requests; /* chains given back so far */
    uint64_t bytes;    /* random bytes in them */
    struct log_limit limit;
};

/* Sets up `rng`. The device itself is `rng->dev`. */
void rng_init(struct rng *rng);

#endif
