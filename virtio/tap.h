/* SPDX-License-Identifier: MIT */
/* The network device's link to a tap interface of the host. */
#ifndef VIRTIO_TAP_H
#define VIRTIO_TAP_H

/*
 * The file is a /dev/net/tun that was attached to a tap interface with IFF_TAP,
 * IFF_NO_PI and IFF_VNET_HDR, has the 12-byte header (TUNSETVNETHDRSZ), and
 * does not block. Each frame is one readv or writev, from and to guest memory.
 */

#include "virtio/net.h"

struct tap {
    struct net_backend backend;
    net_header header;   /* of the frame that is under way */
    bool offloads_known; /* the host was told ... */
    unsigned offloads;   /* ... these, as TUN_F_* */
};

/*
 * Sets up `tap` over `fd`, which is borrowed. Returns 0, -ENOTTY if that is no
 * tap, or -EINVAL if it was attached in another way.
 */
MUST_CHECK int tap_init(struct tap *tap, int fd);

#endif
