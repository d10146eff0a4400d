/* SPDX-License-Identifier: MIT */
/* Network cards (virtio 1.2, 5.1): sending frames. */
#include "net.h"

#include <errno.h>
#include <string.h>

/* The most before the card cuts it into segments. */
#define FRAME_MAX (NIC_ETHERNET_BYTES + 65535u)

void nic_reclaim(struct nic *nic)
{
    uint32_t unused;
    int head;

    while ((head = ring_reap(&nic->rings[NIC_TX], &unused)) >= 0) {
        struct nic_slot slot = nic->slots[head];

        nic->stats.sent++;
        if (slot.frame) {
            nic->forwards--;
            nic_give_back(nic, slot.frame);
        } else if (slot.cookie && nic->sent) {
            nic->sent(slot.cookie);
        }
    }
}

/* Whether the card does this to a frame (5.1.6.2.1). Returns 0 or -errno. */
static int check_offload(const struct nic *nic,
                         const struct nic_offload *offload)
{
    if (offload->flags & NIC_OFFLOAD_CHECKSUM &&
        !nic_can(nic, NIC_CAN_CHECKSUM_OUT))
        return -EOPNOTSUPP;
    if (offload->gso_type & NIC_GSO_ECN &&
        !device_has_feature(&nic->device, VIRTIO_NET_F_HOST_ECN))
        return -EOPNOTSUPP;
    switch (offload->gso_type & ~NIC_GSO_ECN) {
    case NIC_GSO_NONE:
        return offload->gso_type == NIC_GSO_NONE ? 0 : -EINVAL;
    case NIC_GSO_TCP4:
        if (!nic_can(nic, NIC_CAN_TSO4_OUT))
            return -EOPNOTSUPP;
        break;
    case NIC_GSO_TCP6:
        if (!nic_can(nic, NIC_CAN_TSO6_OUT))
            return -EOPNOTSUPP;
        break;
    default:
        return -EOPNOTSUPP;
    }
    if (!(offload->flags & NIC_OFFLOAD_CHECKSUM) || offload->gso_bytes == 0)
        return -EINVAL;
    return 0;
}

/* Checks a whole frame of `bytes` bytes. Returns 0 or -errno. */
static int check_frame(const struct nic *nic, uint64_t bytes,
                       const struct nic_offload *offload)
{
    bool large = offload && offload->gso_type != NIC_GSO_NONE;

    if (bytes < NIC_ETHERNET_BYTES)
        return -EINVAL;
    if (bytes > (large ? FRAME_MAX : nic->mtu + NIC_ETHERNET_BYTES))
        return -EMSGSIZE;
    return offload ? check_offload(nic, offload) : 0;
}

static struct virtio_net_hdr_v1 make_header(const struct nic_offload *offload)
{
    /* A driver sets neither num_buffers nor DATA_VALID (5.1.6.2.1). */
    return (struct virtio_net_hdr_v1){
        .flags = offload->flags & NIC_OFFLOAD_CHECKSUM,
        .gso_type = offload->gso_type,
        .hdr_len = offload->header_bytes,
        .gso_size = offload->gso_bytes,
        .csum_start = offload->csum_start,
        .csum_offset = offload->csum_offset,
    };
}

/* Makes room for a chain of `count` buffers. Returns 0 or -errno. */
static int make_room(struct nic *nic, unsigned count)
{
    if (nic->rings[NIC_TX].free_count < count)
        nic_reclaim(nic);
    if (nic->rings[NIC_TX].free_count >= count)
        return 0;
    return count > nic->rings[NIC_TX].size ? -EINVAL : -EAGAIN;
}

/* Adds a chain for which there is room. */
static void add_chain(struct nic *nic, const struct iovec *chain,
                      unsigned count, struct nic_slot slot)
{
    nic->slots[ring_next_head(&nic->rings[NIC_TX])] = slot;
    ring_add(&nic->rings[NIC_TX], chain, count, 0);
}

/* Adds up and checks the caller's pieces. Returns 0 or -errno. */
static int check_pieces(const struct iovec *pieces, unsigned count,
                        uint64_t *bytes)
{
    if (count == 0 || count > NIC_PIECES_MAX)
        return -EINVAL;
    *bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].iov_len == 0)
            return -EINVAL;
        if (!device_can_reach((uintptr_t)pieces[i].iov_base, pieces[i].iov_len))
            return -EFAULT;
        *bytes += pieces[i].iov_len;
    }
    return 0;
}

int nic_send(unsigned index, const struct iovec *pieces, unsigned count,
             const struct nic_offload *offload, void *cookie)
{
    struct iovec chain[NIC_PIECES_MAX + 1];
    struct nic *nic = nic_get(index);
    uint64_t bytes;
    int error;

    if (!nic)
        return -ENODEV;
    error = check_pieces(pieces, count, &bytes);
    if (!error)
        error = check_frame(nic, bytes, offload);
    if (!error)
        error = make_room(nic, count + 1);
    if (error)
        return error;
    chain[0] = (struct iovec){&nic->plain, NIC_HEADER_BYTES};
    if (offload) {
        unsigned head = ring_next_head(&nic->rings[NIC_TX]);

        nic->headers[head] = make_header(offload);
        chain[0].iov_base = &nic->headers[head];
    }
    memcpy(&chain[1], pieces, count * sizeof(*pieces));
    add_chain(nic, chain, count + 1, (struct nic_slot){.cookie = cookie});
    return 0;
}

/* Whether the buffer is one of ours and data is where it may be. */
static bool is_in_place(const struct nic *nic, const struct nic_buffer *buffer,
                        size_t front)
{
    const unsigned char *start =
        nic_buffer_start(nic, (unsigned)(buffer - nic->buffers));

    return buffer->bytes > 0 && buffer->data >= start + front &&
           buffer->data <= start + nic->buffer_bytes &&
           buffer->bytes <= (size_t)(start + nic->buffer_bytes - buffer->data);
}

int nic_forward(unsigned index, struct nic_buffer *frame)
{
    struct iovec chain[NIC_PIECES_MAX];
    struct nic *nic = nic_get(index);
    struct virtio_net_hdr_v1 header;
    uint64_t bytes = 0;
    unsigned count = 0;
    int error;

    if (!nic)
        return -ENODEV;
    for (struct nic_buffer *buffer = frame; buffer; buffer = buffer->next) {
        if (count == NIC_PIECES_MAX ||
            !is_in_place(nic, buffer, count == 0 ? NIC_HEADER_BYTES : 0))
            return -EINVAL;
        chain[count++] = (struct iovec){buffer->data, buffer->bytes};
        bytes += buffer->bytes;
    }
    error = check_frame(nic, bytes, &frame->offload);
    if (!error)
        error = make_room(nic, count);
    if (error)
        return error;
    /* The header goes where the card had put its own: one buffer for both. */
    chain[0].iov_base = frame->data - NIC_HEADER_BYTES;
    chain[0].iov_len += NIC_HEADER_BYTES;
    header = make_header(&frame->offload);
    memcpy(chain[0].iov_base, &header, NIC_HEADER_BYTES);
    add_chain(nic, chain, count, (struct nic_slot){.frame = frame});
    nic->forwards++;
    return 0;
}

int nic_on_sent(unsigned index, nic_sent *sent)
{
    struct nic *nic = nic_get(index);

    if (!nic)
        return -ENODEV;
    nic->sent = sent;
    return 0;
}

long nic_flush(unsigned index)
{
    struct nic *nic = nic_get(index);

    if (!nic)
        return -ENODEV;
    nic_reclaim(nic);
    nic_show(nic);
    return ring_in_flight(&nic->rings[NIC_TX]);
}

int nic_wait_room(unsigned index, unsigned most)
{
    struct nic *nic = nic_get(index);

    if (!nic)
        return -ENODEV;
    while (nic_flush(index) > (long)most) {
        int error = nic_wait_for(nic, &nic->rings[NIC_TX]);

        if (error)
            return error;
    }
    return 0;
}
