/* SPDX-License-Identifier: MIT */
/* The network device transmits (virtio 1.2, 5.1.6.2). */
#include "virtio/net_parts.h"

#define CSUM_BYTES 2u /* a checksum in a frame */

/*
 * Makes the header that the host gets from the one that the driver wrote. What
 * is not asked for is not looked at. Returns whether it makes sense for a frame
 * of `bytes` bytes, and is negotiated (5.1.6.2.1).
 */
static bool check_header(const struct net *net, const net_header *from,
                         net_header *to, uint64_t bytes)
{
    const struct virtio_net_hdr *hdr = &from->hdr;
    uint64_t need = 0;

    *to = (net_header){.num_buffers = 0};
    if (hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        if ((uint64_t)hdr->csum_start + hdr->csum_offset + CSUM_BYTES > bytes)
            return false;
        need = NET_FEATURE(CSUM);
        to->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        to->hdr.csum_start = hdr->csum_start;
        to->hdr.csum_offset = hdr->csum_offset;
    }
    if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE)
        return net_has(net, need);
    if (need == 0 || hdr->gso_size == 0)
        return false;
    if (hdr->gso_type == VIRTIO_NET_HDR_GSO_TCPV4)
        need |= NET_FEATURE(HOST_TSO4);
    else if (hdr->gso_type == VIRTIO_NET_HDR_GSO_TCPV6)
        need |= NET_FEATURE(HOST_TSO6);
    else
        return false;
    to->hdr.gso_type = hdr->gso_type;
    to->hdr.gso_size = hdr->gso_size;
    /* Only a hint, that no one may rely on; beyond the frame it is none. */
    to->hdr.hdr_len = (uint16_t)min_u64(hdr->hdr_len, bytes);
    return net_has(net, need);
}

/* Whether a frame of `bytes` bytes can be sent with such a header. */
static bool is_possible(const struct net *net, const net_header *header,
                        uint64_t bytes)
{
    uint64_t most = max_u64(net->config.mtu, NET_MTU_DEFAULT) + NET_ETH_BYTES +
                    NET_VLAN_BYTES;

    if (header->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE)
        most = NET_GSO_BYTES_MAX;
    return bytes >= NET_ETH_BYTES && bytes <= most;
}

/*
 * Sends what the driver wrote, `bytes` bytes with the header. Returns 0 if it
 * is done with, sent or lost, or -EAGAIN or -EINTR if it is to be tried again.
 */
static int send_frame(struct net *net, struct pieces *pieces, uint64_t bytes)
{
    struct net_backend *backend = net->backend;
    struct net_stats *stats = &net->stats;
    net_header from, to;
    int error;

    if (bytes < sizeof(from) || !pieces_take(pieces, &from, sizeof(from)) ||
        !check_header(net, &from, &to, bytes - sizeof(from)) ||
        !is_possible(net, &to, bytes - sizeof(from))) {
        stats->tx_dropped++;
        return 0;
    }
    bytes -= sizeof(from);
    if (backend->gone) {
        stats->tx_errors++;
        return 0;
    }
    if (!net_is_allowed(net, NET_TX, bytes))
        return -EAGAIN;
    error = backend->ops->send(backend, &to, pieces->iov - 1, pieces->count + 1,
                               bytes);
    if (error == -EAGAIN) {
        net->tx_stuck = true;
        stats->tx_stuck++;
    }
    if (error == -EAGAIN || error == -EINTR)
        return error;
    net_has_passed(net, NET_TX, bytes);
    if (error) {
        stats->tx_errors++;
        return 0;
    }
    stats->tx_frames++;
    stats->tx_bytes += bytes;
    return 0;
}

/*
 * Takes one chain. Returns 1, 0 if there is none, -EAGAIN if it cannot be sent
 * now, -EINTR, or -EBADMSG.
 */
static int send_chain(struct net *net)
{
    struct virtq *q = &net->dev.queues[NET_TX];
    struct virtq_chain chain = {.iov = net->iov + 1, .iov_max = NET_PIECES_MAX};
    int found = virtq_pop(q, &chain);

    if (found <= 0)
        return found == -ENOSPC ? -EBADMSG : found;

    struct pieces pieces = {chain.iov, chain.readable_count};
    int error = send_frame(net, &pieces, chain.readable_bytes);

    if (error) {
        virtq_unpop(q);
        return error;
    }
    virtq_push(q, chain.head, 0);
    return 1;
}

/* Returns 0, -EINTR, or -EBADMSG; `*done` frames are not shown yet. */
static int send_some(struct net *net, uint32_t *done)
{
    for (unsigned budget = NET_SERVE_FRAMES; budget > 0; budget--) {
        int result = send_chain(net);

        if (result == 0) {
            net_publish(net, NET_TX, *done);
            *done = 0;
            if (!vdev_ask_kick(&net->dev, NET_TX, 1))
                return net->dev.queues[NET_TX].broken ? -EBADMSG : 0;
            continue;
        }
        if (result == -EAGAIN) {
            /* The host, or the clock, says when to go on. */
            virtq_suppress_kicks(&net->dev.queues[NET_TX]);
            return 0;
        }
        if (result < 0)
            return result;
        if (net_is_batch_full(net, NET_TX, ++*done)) {
            net_publish(net, NET_TX, *done);
            *done = 0;
        }
    }
    return -EINTR;
}

/* The rest of a frame goes first. Returns 0 if there is none, or -errno. */
static int flush(struct net *net)
{
    struct net_backend *backend = net->backend;
    int error = 0;

    if (backend->ops->flush && !backend->gone)
        error = backend->ops->flush(backend);
    if (error == -EAGAIN)
        net->tx_stuck = true;
    return error == -EAGAIN || error == -EINTR ? error : 0;
}

/* What is left to do once the host takes more is nothing to do now. */
static int rest_of(int error)
{
    return error == -EAGAIN ? 0 : error;
}

int net_tx_serve(struct net *net)
{
    uint32_t done = 0;
    int error;

    net->tx_stuck = false;
    net->limited_ns[NET_TX] = VDEV_NEVER;
    if (!net->dev.queues[NET_TX].enabled)
        return 0;
    error = flush(net);
    if (error == -EAGAIN)
        virtq_suppress_kicks(&net->dev.queues[NET_TX]);
    if (error)
        return rest_of(error);
    error = send_some(net, &done);
    net_publish(net, NET_TX, done);
    /* The last frame may have gone out in part. */
    return error ? error : rest_of(flush(net));
}
