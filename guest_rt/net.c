/* SPDX-License-Identifier: MIT */
/* Network cards (virtio 1.2, 5.1): receiving frames, and waiting. */
#include "net.h"

#include <errno.h>
#include <string.h>

#include "hypercall.h"

/* ---- Showing the card what there is -------------------------------------- */

static bool has_unpublished(const struct ring *ring)
{
    return ring->added != ring->published;
}

void nic_show(struct nic *nic)
{
    struct ring *rings = nic->rings;
    bool received = has_unpublished(&rings[NIC_RX]);
    bool sent = has_unpublished(&rings[NIC_TX]);

    if (!received && !sent)
        return;
    received = received && ring_publish(&rings[NIC_RX]);
    sent = sent && ring_publish(&rings[NIC_TX]);
    nic->stats.flushes++;
    nic->stats.kicks += received || sent;
    if (sent)
        device_kick(&nic->device, NIC_TX);
    if (received && (!sent || nic->device.registers))
        device_kick(&nic->device, NIC_RX);
}

/* ---- Buffers ------------------------------------------------------------- */

/* There is room: the ring has at least as many entries as there are buffers. */
static void post_buffer(struct nic *nic, unsigned index)
{
    struct ring *ring = &nic->rings[NIC_RX];
    struct iovec piece = {nic_buffer_start(nic, index), nic->buffer_bytes};

    nic->posted[ring_next_head(ring)] = (uint16_t)index;
    ring_add(ring, &piece, 0, 1);
}

void nic_post_fresh(struct nic *nic, unsigned count)
{
    for (; count > 0 && nic->fresh > 0; count--, nic->fresh--)
        post_buffer(nic, nic->buffer_count - nic->fresh);
}

void nic_give_back(struct nic *nic, struct nic_buffer *frame)
{
    while (frame) {
        struct nic_buffer *next = frame->next;

        post_buffer(nic, (unsigned)(frame - nic->buffers));
        frame = next;
    }
}

/* Takes the next buffer that the card has filled, or NULL. */
static struct nic_buffer *take_buffer(struct nic *nic)
{
    uint32_t written;
    int head = ring_reap(&nic->rings[NIC_RX], &written);
    unsigned index;

    if (head < 0)
        return NULL;
    index = nic->posted[head];
    nic->buffers[index] = (struct nic_buffer){
        .data = nic_buffer_start(nic, index),
        .bytes = written < nic->buffer_bytes ? written : nic->buffer_bytes,
    };
    return &nic->buffers[index];
}

/* Begins a frame with its first buffer. Returns false if it is no frame. */
static bool begin_frame(struct nic *nic, struct nic_buffer *buffer)
{
    struct virtio_net_hdr_v1 header;

    if (buffer->bytes < NIC_HEADER_BYTES + NIC_ETHERNET_BYTES)
        return false;
    memcpy(&header, buffer->data, NIC_HEADER_BYTES);
    buffer->data += NIC_HEADER_BYTES;
    buffer->bytes -= NIC_HEADER_BYTES;
    buffer->offload = (struct nic_offload){
        .flags = header.flags & (NIC_OFFLOAD_CHECKSUM | NIC_OFFLOAD_VALID),
        .gso_type = header.gso_type,
        .header_bytes = header.hdr_len,
        .gso_bytes = header.gso_size,
        .csum_start = header.csum_start,
        .csum_offset = header.csum_offset,
    };
    nic->partial = nic->partial_last = buffer;
    nic->partial_left = 1;
    if (device_has_feature(&nic->device, VIRTIO_NET_F_MRG_RXBUF) &&
        header.num_buffers > 1)
        nic->partial_left = header.num_buffers;
    return true;
}

/* Takes the next frame all of which is there, or NULL (5.1.6.4). */
static struct nic_buffer *take_frame(struct nic *nic)
{
    struct nic_buffer *buffer;

    while ((buffer = take_buffer(nic))) {
        if (nic->partial_left > 0) {
            nic->partial_last->next = buffer;
            nic->partial_last = buffer;
        } else if (!begin_frame(nic, buffer)) {
            nic->stats.errors++;
            nic_give_back(nic, buffer);
            continue;
        }
        nic->partial->frame_bytes += buffer->bytes;
        if (--nic->partial_left == 0) {
            nic->stats.received++;
            nic->stats.received_bytes += nic->partial->frame_bytes;
            return nic->partial;
        }
    }
    return NULL;
}

/*
 * Takes up to `max` frames. Where they come quickly, more buffers are used. The
 * card may keep half of the first ones for a frame of 64 KiB to come.
 */
static long take_frames(struct nic *nic, struct nic_buffer **frames,
                        unsigned max)
{
    unsigned count = 0;

    while (count < max && (frames[count] = take_frame(nic)))
        count++;
    if (nic->fresh > 0) {
        unsigned had = nic->buffer_count - nic->fresh;

        if (ring_in_flight(&nic->rings[NIC_RX]) < had - had / 4) {
            nic_post_fresh(nic, had);
            nic_show(nic);
        }
    }
    return count;
}

/* ---- Waiting ------------------------------------------------------------- */

int nic_wait_for(struct nic *nic, struct ring *ring)
{
    int error = poll_ring(&nic->poll, &nic->device, ring);

    /* The event that was cleared may have been for the program's handler. */
    if (nic->armed && ring_has_used(&nic->rings[NIC_RX]))
        __atomic_fetch_or(&mf_boot_page()->events, device_event(&nic->device),
                          __ATOMIC_ACQ_REL);
    return error;
}

/*
 * Whether the card may soon have no buffer left to receive into, because frames
 * that are being sent are in them.
 */
static bool needs_buffers(const struct nic *nic)
{
    unsigned had = nic->buffer_count - nic->fresh;

    return nic->forwards > 0 &&
           ring_in_flight(&nic->rings[NIC_RX]) < had - had / 4;
}

static bool is_ready(void *context)
{
    struct nic *nic = context;

    return ring_has_used(&nic->rings[NIC_RX]) ||
           (needs_buffers(nic) && ring_has_used(&nic->rings[NIC_TX]));
}

static bool has_news(const struct nic *nic)
{
    return device_is_broken(&nic->device) || nic_read_link(nic) != nic->linked;
}

/* Asks for events. Returns whether there is a reason not to sleep. */
static bool arm(void *context)
{
    struct nic *nic = context;
    bool found;

    nic->asked = true;
    nic->armed = false;
    found = needs_buffers(nic) && ring_want_event(&nic->rings[NIC_TX]);
    found = ring_want_event(&nic->rings[NIC_RX]) || found || has_news(nic);
    nic->stats.waits += !found;
    return found;
}

/* Waits for frames. Returns 1 to look for them, or as nic_receive() does. */
static int wait_for_frames(struct nic *nic, uint64_t deadline_ns)
{
    nic->asked = false;
    if (!poll_wait(&nic->poll, device_event(&nic->device), is_ready, arm, nic,
                   deadline_ns)) {
        nic->stats.waits--; /* the last look was not followed by a sleep */
        deadline_ns = 0;
    }
    if (nic->asked) {
        ring_refuse_event(&nic->rings[NIC_RX]);
        ring_refuse_event(&nic->rings[NIC_TX]);
    }
    if (is_ready(nic))
        return 1;
    if (device_is_broken(&nic->device))
        return -EIO;
    if (nic_read_link(nic) != nic->linked) {
        nic->linked = !nic->linked;
        return 0;
    }
    return deadline_ns > 0;
}

long nic_receive(unsigned index, struct nic_buffer **frames, unsigned max,
                 uint64_t deadline_ns)
{
    struct nic *nic = nic_get(index);

    if (!nic)
        return -ENODEV;
    for (;;) {
        long count = take_frames(nic, frames, max);
        int answer;

        if (count > 0 || max == 0)
            return count;
        nic_reclaim(nic);
        nic_show(nic);
        if (deadline_ns == 0)
            return device_is_broken(&nic->device) ? -EIO : 0;
        answer = wait_for_frames(nic, deadline_ns);
        if (answer <= 0)
            return answer;
    }
}

int nic_release(unsigned index, struct nic_buffer **frames, unsigned count)
{
    struct nic *nic = nic_get(index);

    if (!nic)
        return -ENODEV;
    for (unsigned i = 0; i < count; i++)
        nic_give_back(nic, frames[i]);
    return 0;
}

int nic_arm(unsigned index)
{
    struct nic *nic = nic_get(index);

    if (!nic)
        return -ENODEV;
    nic->armed = true;
    nic_reclaim(nic);
    nic_show(nic);
    bool found = needs_buffers(nic) && ring_want_event(&nic->rings[NIC_TX]);

    return ring_want_event(&nic->rings[NIC_RX]) || found;
}

uint64_t nic_event(unsigned index)
{
    struct nic *nic = nic_get(index);

    return nic ? device_event(&nic->device) : 0;
}
