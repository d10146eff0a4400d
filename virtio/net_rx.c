/* SPDX-License-Identifier: MIT */
/* The network device receives (virtio 1.2, 5.1.6.3 and 5.1.6.4). */
#include "virtio/net_parts.h"

#define ETH_TYPE_AT    12u /* of the type in an Ethernet header */
#define ETH_TYPE_BYTES 2u

/* What is written at the front of a frame's first buffer. */
struct prefix {
    net_header header;
    uint8_t eth[NET_ETH_BYTES]; /* copied: the filter's, and then the guest's */
};

_Static_assert(sizeof(net_header) == NET_HEADER_BYTES, "12 bytes, 5.1.6");
_Static_assert(sizeof(struct prefix) == NET_HEADER_BYTES + NET_ETH_BYTES,
               "without a gap");

/* ---- Frames ------------------------------------------------------------- */

static bool is_tagged(const uint8_t *eth)
{
    return eth[ETH_TYPE_AT] == 0x81 && eth[ETH_TYPE_AT + 1] == 0x00;
}

/* Bytes of the largest frame that is not to be segmented. */
static uint64_t plain_bytes_max(const struct net *net, bool tagged)
{
    uint16_t mtu =
        net_has(net, NET_FEATURE(MTU)) ? net->config.mtu : NET_MTU_DEFAULT;

    return mtu + NET_ETH_BYTES + (tagged ? NET_VLAN_BYTES : 0);
}

/* Bytes of the largest frame that can come. */
static uint64_t frame_bytes_max(const struct net *net)
{
    uint64_t plain = plain_bytes_max(net, true);

    if (net->offloads & (NET_FEATURE(GUEST_TSO4) | NET_FEATURE(GUEST_TSO6)))
        return max_u64(plain, NET_GSO_BYTES_MAX);
    return plain;
}

/*
 * Leaves in the host's header what the driver negotiated. Returns whether the
 * frame can be given to it (5.1.6.4.1).
 */
static bool fix_header(const struct net *net, net_header *header)
{
    struct virtio_net_hdr *hdr = &header->hdr;
    bool needs_csum = hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
    uint64_t need = 0;

    switch (hdr->gso_type) {
    case VIRTIO_NET_HDR_GSO_NONE:
        hdr->gso_size = 0;
        break;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        need = NET_FEATURE(GUEST_TSO4);
        break;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        need = NET_FEATURE(GUEST_TSO6);
        break;
    default:
        return false;
    }
    if (need && (!needs_csum || hdr->gso_size == 0))
        return false;
    if (needs_csum)
        need |= NET_FEATURE(GUEST_CSUM);
    if (net->offloads & NET_FEATURE(GUEST_CSUM))
        hdr->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
    else
        hdr->flags = 0;
    if (!needs_csum)
        hdr->csum_start = hdr->csum_offset = 0;
    return (net->offloads & need) == need;
}

/*
 * Whether the driver gets a frame of `bytes` bytes, of which `room` had room.
 * Counts those that it does not get.
 */
static bool is_for_driver(struct net *net, struct prefix *prefix,
                          uint64_t bytes, uint64_t room)
{
    if (bytes < NET_ETH_BYTES || bytes > room ||
        !fix_header(net, &prefix->header) ||
        (prefix->header.hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE &&
         bytes > plain_bytes_max(net, is_tagged(prefix->eth)))) {
        net->stats.rx_dropped++;
        return false;
    }
    if (!net_filter_passes(net, prefix->eth)) {
        net->stats.rx_filtered++;
        return false;
    }
    return true;
}

/* ---- Chains ------------------------------------------------------------- */

/*
 * Pops one more chain to receive into. Returns 1, 0 if there is none, -ENOSPC
 * if it has more pieces than can be held now, or -EBADMSG.
 */
static int hold_chain(struct net *net)
{
    struct net_rx *rx = &net->rx;
    struct iovec *iov = rx->iov + rx->pieces;
    struct virtq_chain chain = {.iov = iov,
                                .iov_max = NET_PIECES_MAX - rx->pieces};
    int found = virtq_pop(&net->dev.queues[NET_RX], &chain);

    if (found <= 0)
        return found;
    if (chain.writable_bytes < NET_HEADER_BYTES) {
        log_guest(&net->limit, "net stopped: receive buffer of %u bytes",
                  (unsigned)chain.writable_bytes);
        return -EBADMSG;
    }
    /* What the device may only read is not there for receiving. */
    memmove(iov, iov + chain.readable_count,
            chain.writable_count * sizeof(*iov));
    rx->chains[rx->count++] = (struct net_chain){
        .head = chain.head,
        .pieces = (uint16_t)chain.writable_count,
        .bytes = chain.writable_bytes,
    };
    rx->pieces += chain.writable_count;
    rx->bytes += chain.writable_bytes;
    return 1;
}

/*
 * Holds chains until the next frame has room, or as much as it can ever have:
 * without MRG_RXBUF that is one chain (5.1.6.3.2). Returns 1, 0 if the driver
 * has to post more first, or -EBADMSG.
 */
static int make_room(struct net *net)
{
    struct net_rx *rx = &net->rx;
    bool merges = net_has(net, NET_FEATURE(MRG_RXBUF));
    uint64_t wanted =
        merges ? NET_HEADER_BYTES + frame_bytes_max(net) : NET_HEADER_BYTES;
    int found = 1;

    while (found == 1 && rx->bytes < wanted &&
           rx->count < net->dev.queues[NET_RX].size)
        found = hold_chain(net);
    if (found == -EBADMSG)
        return found;
    return rx->bytes >= wanted ||
           (rx->count > 0 &&
            (found == -ENOSPC || rx->count == net->dev.queues[NET_RX].size));
}

/* The first `count` chains are used. */
static void release_chains(struct net_rx *rx, unsigned count)
{
    unsigned pieces = 0;

    for (unsigned i = 0; i < count; i++) {
        pieces += rx->chains[i].pieces;
        rx->bytes -= rx->chains[i].bytes;
    }
    rx->count -= count;
    rx->pieces -= pieces;
    memmove(rx->chains, rx->chains + count, rx->count * sizeof(rx->chains[0]));
    memmove(rx->iov, rx->iov + pieces, rx->pieces * sizeof(rx->iov[0]));
}

/* How many chains `bytes` bytes take. */
static unsigned count_chains(const struct net_rx *rx, uint64_t bytes)
{
    unsigned count = 0;

    for (uint64_t room = 0; room < bytes; count++)
        room += rx->chains[count].bytes;
    return count;
}

/*
 * Gives the chains with a frame of `bytes` bytes to the driver, all but the
 * last full (5.1.6.4.1). The body is there already.
 */
static void give_frame(struct net *net, struct prefix *prefix, uint64_t bytes)
{
    struct net_rx *rx = &net->rx;
    struct pieces pieces = {rx->iov, rx->pieces};
    uint64_t left = NET_HEADER_BYTES + bytes;
    unsigned count = count_chains(rx, left);

    prefix->header.num_buffers = (uint16_t)count;
    (void)pieces_put(&pieces, prefix, sizeof(*prefix));
    for (unsigned i = 0; i < count; i++) {
        uint64_t part = min_u64(left, rx->chains[i].bytes);

        virtq_push(&net->dev.queues[NET_RX], rx->chains[i].head,
                   (uint32_t)part);
        left -= part;
    }
    release_chains(rx, count);
    net->stats.rx_frames++;
    net->stats.rx_bytes += bytes;
}

/* ---- One frame after the other ------------------------------------------ */

/*
 * Describes where a frame of up to `room` bytes goes: its Ethernet header to
 * `prefix`, the rest behind the prefix in the chains, and one byte more, by
 * which a frame is known that is too long. Returns the pieces' number.
 */
static unsigned describe_frame(struct net *net, struct prefix *prefix,
                               uint8_t *spill, uint64_t room)
{
    const struct net_rx *rx = &net->rx;
    uint64_t skip = sizeof(*prefix);
    uint64_t left = room > NET_ETH_BYTES ? room - NET_ETH_BYTES : 0;
    unsigned count = 1; /* the first is the backend's */

    net->iov[count++] = (struct iovec){prefix->eth, NET_ETH_BYTES};
    for (unsigned i = 0; i < rx->pieces && left > 0; i++) {
        uint64_t skipped = min_u64(skip, rx->iov[i].iov_len);
        uint64_t part = min_u64(left, rx->iov[i].iov_len - skipped);

        skip -= skipped;
        left -= part;
        if (part > 0)
            net->iov[count++] =
                (struct iovec){(char *)rx->iov[i].iov_base + skipped, part};
    }
    net->iov[count++] = (struct iovec){spill, 1};
    return count;
}

/*
 * Receives one frame. Returns 1 if it was given to the driver, 0 if there was
 * one that was dropped, -EAGAIN if there is none, or -errno.
 */
static int receive_frame(struct net *net)
{
    struct net_backend *backend = net->backend;
    uint64_t room =
        min_u64(net->rx.bytes - NET_HEADER_BYTES, frame_bytes_max(net));
    struct prefix prefix = {.header = {.num_buffers = 0}};
    uint8_t spill;
    unsigned count = describe_frame(net, &prefix, &spill, room);
    net_header header = {.num_buffers = 0};
    ssize_t bytes = backend->ops->receive(backend, &header, net->iov, count);

    if (bytes < 0) {
        if (bytes != -EAGAIN && bytes != -EINTR)
            net->stats.rx_errors++;
        return (int)bytes;
    }
    net_has_passed(net, NET_RX, (uint64_t)bytes);
    prefix.header = header;
    if (!is_for_driver(net, &prefix, (uint64_t)bytes, room))
        return 0;
    give_frame(net, &prefix, (uint64_t)bytes);
    return 1;
}

/*
 * The driver has to post more. Asks for a kick. Returns whether there is more
 * already.
 */
static bool wait_for_room(struct net *net)
{
    if (net->rx.has_room)
        net->stats.rx_starved++;
    net->rx.has_room = false;
    return vdev_ask_kick(&net->dev, NET_RX, 1);
}

/* Returns 0, -EINTR, or -EBADMSG; `*done` frames are not shown yet. */
static int receive_some(struct net *net, uint32_t *done)
{
    for (unsigned budget = NET_SERVE_FRAMES; budget > 0; budget--) {
        int result = make_room(net);

        if (result < 0)
            return result;
        if (result == 0) {
            if (!wait_for_room(net))
                return net->dev.queues[NET_RX].broken ? -EBADMSG : 0;
            continue;
        }
        net->rx.has_room = true;
        if (!net_is_allowed(net, NET_RX, 0))
            return 0;
        result = receive_frame(net);
        if (result < 0)
            return result == -EINTR ? -EINTR : 0;
        *done += (uint32_t)result;
        if (net_is_batch_full(net, NET_RX, *done)) {
            net_publish(net, NET_RX, *done);
            *done = 0;
        }
    }
    return -EINTR;
}

int net_rx_serve(struct net *net)
{
    uint32_t done = 0;
    int error;

    net->limited_ns[NET_RX] = VDEV_NEVER;
    if (!net->dev.queues[NET_RX].enabled)
        return 0;
    error = net->backend->gone ? 0 : receive_some(net, &done);
    net_publish(net, NET_RX, done);
    /* With room, what the driver posts is found when a frame comes. */
    if (net->rx.has_room || net->backend->gone)
        virtq_suppress_kicks(&net->dev.queues[NET_RX]);
    return error;
}
