/* SPDX-License-Identifier: MIT */
/* The virtio network device (virtio 1.2, 5.1), between a guest and a link. */
#include "virtio/net.h"

#include <linux/virtio_ids.h>

#include "virtio/net_parts.h"
#include "vmm/base/os.h"

/* What the driver may read: up to the MTU (5.1.4). */
#define CONFIG_BYTES (offsetof(struct virtio_net_config, mtu) + 2)

#define FEATURES_ALWAYS                                                     \
    (NET_FEATURE(MAC) | NET_FEATURE(MTU) | NET_FEATURE(STATUS) |            \
     NET_FEATURE(MRG_RXBUF) | NET_FEATURE(CTRL_VQ) | NET_FEATURE(CTRL_RX) | \
     NET_FEATURE(CTRL_RX_EXTRA) | NET_FEATURE(CTRL_MAC_ADDR) |              \
     NET_FEATURE(NOTF_COAL) | NET_FEATURE(VQ_NOTF_COAL))

#define GUEST_OFFLOADS                                   \
    (NET_FEATURE(GUEST_CSUM) | NET_FEATURE(GUEST_TSO4) | \
     NET_FEATURE(GUEST_TSO6))
#define HOST_OFFLOADS \
    (NET_FEATURE(CSUM) | NET_FEATURE(HOST_TSO4) | NET_FEATURE(HOST_TSO6))

/* ---- The link ----------------------------------------------------------- */

/* Tells the driver if the backend is gone (5.1.4). */
static void watch_link(struct net *net)
{
    if (!net->backend->gone || !(net->config.status & VIRTIO_NET_S_LINK_UP))
        return;
    net->config.status &= (uint16_t)~VIRTIO_NET_S_LINK_UP;
    log_guest(&net->limit, "net: the link is down: the host's side is gone");
    vdev_config_changed(&net->dev);
}

/*
 * Once after each start of the driver, when it wants to receive: frames may be
 * as it negotiated. Not earlier, as that takes the host longer than the rest of
 * a start.
 */
static void set_offloads(struct net *net)
{
    struct net_backend *backend = net->backend;
    uint64_t offloads = net->dev.features & GUEST_OFFLOADS;
    int error = 0;

    if (net->offloads_are_set || !virtq_has_chain(&net->dev.queues[NET_RX]))
        return;
    net->offloads_are_set = true;
    if (backend->ops->set_offloads)
        error = backend->ops->set_offloads(backend, offloads);
    if (error)
        log_guest(&net->limit, "net: no offloads for received frames: %s",
                  strerror(-error));
    net->offloads = offloads;
}

bool net_is_allowed(struct net *net, unsigned index, uint64_t bytes)
{
    struct limit *limit = &net->limits[index];
    uint64_t again_ns;

    if (!limit_is_set(limit) || net->is_paid[index])
        return true;
    again_ns = limit_take(limit, os_now_ns(), bytes);
    net->is_paid[index] = again_ns == 0;
    net->paid_bytes[index] = bytes;
    net->limited_ns[index] = again_ns ? again_ns : VDEV_NEVER;
    return again_ns == 0;
}

void net_has_passed(struct net *net, unsigned index, uint64_t bytes)
{
    if (net->is_paid[index] && bytes > net->paid_bytes[index])
        limit_charge(&net->limits[index], bytes - net->paid_bytes[index]);
    net->is_paid[index] = false;
}

void net_set_default_coalescing(struct net *net, struct coalesce_limits limits)
{
    net_set_coalescing(net, NET_RX, limits);
    net_set_coalescing(net, NET_TX, limits);
    net->dev.wake_ns = net_next_wake(net);
}

/* ---- The device --------------------------------------------------------- */

/* Each part has its turn, whatever the others return. */
static int net_serve(struct vdev *dev)
{
    struct net *net = net_of(dev);
    int ctrl, tx = 0, rx = 0;

    set_offloads(net);
    ctrl = net_ctrl_serve(net);
    if (ctrl != -EBADMSG)
        tx = net_tx_serve(net);
    if (ctrl != -EBADMSG && tx != -EBADMSG)
        rx = net_rx_serve(net);
    watch_link(net);
    net_notify_due(net);
    dev->wake_ns = net_next_wake(net);
    if (ctrl == -EBADMSG || tx == -EBADMSG || rx == -EBADMSG)
        return -EBADMSG;
    return ctrl || tx || rx ? -EINTR : 0;
}

static void net_want(struct vdev *dev, struct pollfd *file)
{
    const struct net *net = net_of(dev);
    bool receives = net->rx.has_room && net->limited_ns[NET_RX] == VDEV_NEVER;

    file->events =
        (short)((receives ? POLLIN : 0) | (net->tx_stuck ? POLLOUT : 0));
    /* With nothing to wait for, a dead file would still wake. */
    if (file->events && !net->backend->gone)
        file->fd = net->backend->fd;
}

static void forget_rx(struct net_rx *rx)
{
    rx->count = rx->pieces = 0;
    rx->bytes = 0;
    rx->has_room = false;
}

static void net_reset(struct vdev *dev)
{
    struct net *net = net_of(dev);

    forget_rx(&net->rx);
    net->tx_stuck = false;
    net->filter = (struct net_filter){.modes = {false}};
    for (unsigned i = NET_RX; i <= NET_TX; i++) {
        coalesce_reset(&net->moderation[i].coalesce);
        net->moderation[i].since = 0;
        net->limited_ns[i] = VDEV_NEVER;
    }
    /* The host learns of it when the next driver receives. */
    net->offloads = 0;
    net->offload_changes = 0;
    net->offloads_are_set = false;
    if (memcmp(net->config.mac, net->mac, ETH_ALEN) != 0) {
        memcpy(net->config.mac, net->mac, ETH_ALEN);
        vdev_config_changed(dev);
    }
}

/* Features that need another one (5.1.3.1), among those that are offered. */
static const struct {
    uint64_t feature, needs;
} dependencies[] = {
    {NET_FEATURE(GUEST_TSO4), NET_FEATURE(GUEST_CSUM)},
    {NET_FEATURE(GUEST_TSO6), NET_FEATURE(GUEST_CSUM)},
    {NET_FEATURE(HOST_TSO4), NET_FEATURE(CSUM)},
    {NET_FEATURE(HOST_TSO6), NET_FEATURE(CSUM)},
    {NET_FEATURE(CTRL_RX), NET_FEATURE(CTRL_VQ)},
    {NET_FEATURE(CTRL_MAC_ADDR), NET_FEATURE(CTRL_VQ)},
    {NET_FEATURE(NOTF_COAL), NET_FEATURE(CTRL_VQ)},
    {NET_FEATURE(VQ_NOTF_COAL), NET_FEATURE(CTRL_VQ)},
};

static bool net_accepts(const struct vdev *dev, uint64_t features)
{
    (void)dev;
    for (size_t i = 0; i < ARRAY_SIZE(dependencies); i++)
        if ((features & dependencies[i].feature) &&
            !(features & dependencies[i].needs))
            return false;
    return true;
}

static const struct vdev_class net_class = {
    .name = "net",
    .type = VIRTIO_ID_NET,
    .queue_count = NET_QUEUES,
    .config_bytes = CONFIG_BYTES,
    .threaded = true,
    .serve = net_serve,
    .reset = net_reset,
    .accepts = net_accepts,
    .want = net_want,
    .ready = net_serve,
    .save = net_save,
    .load = net_load,
};

/* ---- Setting up --------------------------------------------------------- */

static uint64_t offered_features(const struct net_backend *backend)
{
    uint64_t offloads = backend->features & HOST_OFFLOADS;

    if (backend->ops->set_offloads)
        offloads |= backend->features & GUEST_OFFLOADS;
    if (offloads & GUEST_OFFLOADS)
        offloads |= NET_FEATURE(CTRL_GUEST_OFFLOADS);
    return FEATURES_ALWAYS | offloads;
}

int net_init(struct net *net, const struct net_options *options)
{
    uint32_t size =
        options->queue_size ? options->queue_size : NET_QUEUE_DEFAULT;
    uint16_t mtu = options->mtu ? options->mtu : NET_MTU_DEFAULT;

    if (!is_power_of_2(size) || size < 2 || size > NET_QUEUE_MAX)
        return -EINVAL;
    if (mtu < NET_MTU_MIN || (options->mac[0] & 1))
        return -EINVAL;

    /* The rest is large, and not looked at before it is written. */
    memset(net, 0, offsetof(struct net, rx));
    forget_rx(&net->rx);
    net->backend = options->backend;
    memcpy(net->mac, options->mac, ETH_ALEN);
    memcpy(net->config.mac, options->mac, ETH_ALEN);
    net->config.mtu = mtu;
    if (!options->backend->gone)
        net->config.status = VIRTIO_NET_S_LINK_UP;
    for (unsigned i = NET_RX; i <= NET_TX; i++) {
        net->dev.queue_size_max[i] = size;
        net->limited_ns[i] = VDEV_NEVER;
        limit_init(&net->limits[i], options->rates[i]);
    }
    net->dev.queue_size_max[NET_CTRL] = NET_CTRL_ENTRIES;
    vdev_init(&net->dev, &net_class, offered_features(options->backend),
              &net->config);
    return 0;
}
