/* SPDX-License-Identifier: MIT */
/* What the parts of the network device know of each other. */
#ifndef VIRTIO_NET_PARTS_H
#define VIRTIO_NET_PARTS_H

#include <errno.h>
#include <string.h>

#include "virtio/net.h"
#include "virtio/pieces.h"

/*
 * So many frames are moved before they are shown to the driver together, and so
 * many in one direction before a serve ends with -EINTR.
 */
#define NET_BATCH_FRAMES   16u
#define NET_SERVE_FRAMES   256u
#define NET_SERVE_COMMANDS 64u

/* ---- The parts ---------------------------------------------------------- */

static inline struct net *net_of(struct vdev *dev)
{
    return CONTAINER_OF(dev, struct net, dev);
}

static inline bool net_has(const struct net *net, uint64_t features)
{
    return (net->dev.features & features) == features;
}

/* net_rx.c: receives what it can. Returns 0, -EINTR for more, or -EBADMSG. */
MUST_CHECK int net_rx_serve(struct net *net);

/* net_tx.c: transmits what it can. Returns 0, -EINTR for more, or -EBADMSG. */
MUST_CHECK int net_tx_serve(struct net *net);

/* net_ctrl.c: obeys commands. Returns 0, -EINTR for more, or -EBADMSG. */
MUST_CHECK int net_ctrl_serve(struct net *net);

/* net_ctrl.c: whether the driver wants frames for this address. */
bool net_filter_passes(const struct net *net, const uint8_t *mac);

/*
 * net_ctrl.c: received frames may use these of GUEST_CSUM, GUEST_TSO4 and
 * GUEST_TSO6. Returns 0, -EINVAL if they make no sense, or what the backend
 * says.
 */
MUST_CHECK int net_set_offloads(struct net *net, uint64_t offloads);

/* net_state.c: as struct vdev_class has them. */
size_t net_save(const struct vdev *dev, void *to);
MUST_CHECK int net_load(struct vdev *dev, const void *from, size_t bytes);

/* net_notify.c: shows `packets` more packets of a queue to the driver. */
void net_publish(struct net *net, unsigned index, uint32_t packets);

/* net_notify.c: whether `packets` that are done should be shown now. */
bool net_is_batch_full(const struct net *net, unsigned index, uint32_t packets);

/* net_notify.c: tells the driver of what has waited long enough. */
void net_notify_due(struct net *net);

/* net_notify.c: sets the limits of one queue (NET_RX or NET_TX). */
void net_set_coalescing(struct net *net, unsigned index,
                        struct coalesce_limits limits);

/* net_notify.c: the next time at which the device has work; for dev.wake_ns. */
uint64_t net_next_wake(const struct net *net);

/*
 * net.c: whether the rate of a direction lets one more frame of `bytes` bytes
 * pass now. If not, net->limited_ns says when to ask again. If so, it stays
 * allowed until net_has_passed().
 */
bool net_is_allowed(struct net *net, unsigned index, uint64_t bytes);

/* net.c: the frame that was allowed has passed, or is lost: `bytes` bytes. */
void net_has_passed(struct net *net, unsigned index, uint64_t bytes);

#endif
