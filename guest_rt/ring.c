/* SPDX-License-Identifier: MIT */
/* The driver's side of a split virtqueue (virtio 1.2, 2.7). */
#include "ring.h"

#include <errno.h>

void ring_init(struct ring *ring, const struct mf_queue *queue,
               uint64_t features)
{
    *ring = (struct ring){
        .desc = (struct vring_desc *)queue->desc,
        .avail = (struct vring_avail *)queue->avail,
        .used = (struct vring_used *)queue->used,
        .size = (uint16_t)queue->size,
        .free_count = (uint16_t)queue->size,
        .event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1,
    };
    for (uint16_t i = 0; i < ring->size; i++)
        ring->desc[i].next = i + 1;
    ring_refuse_event(ring);
}

int ring_add(struct ring *ring, const struct iovec *iov, unsigned readable,
             unsigned writable)
{
    unsigned count = readable + writable;
    uint16_t head = ring->free_first;
    uint16_t next = head;

    if (count > ring->free_count)
        return -EAGAIN;
    for (unsigned i = 0; i < count; i++) {
        struct vring_desc *desc = &ring->desc[next];

        desc->addr = (uintptr_t)iov[i].iov_base;
        desc->len = (uint32_t)iov[i].iov_len;
        desc->flags = (i + 1 < count ? VRING_DESC_F_NEXT : 0) |
                      (i >= readable ? VRING_DESC_F_WRITE : 0);
        next = desc->next;
    }
    ring->free_first = next;
    ring->free_count -= count;
    ring->avail->ring[ring->added & (ring->size - 1)] = head;
    ring->added++;
    return head;
}

bool ring_publish(struct ring *ring)
{
    uint16_t old = ring->published;

    ring->published = ring->added;
    /* Partner: the device's acquire of avail->idx, in count_available(). */
    __atomic_store_n(&ring->avail->idx, ring->published, __ATOMIC_RELEASE);
    /*
     * The index must be visible before the device's wish is read. Partner: the
     * fence in virtq_set_kick_threshold(), between its wish and its last look.
     */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!ring->event_idx)
        return !(__atomic_load_n(&ring->used->flags, __ATOMIC_RELAXED) &
                 VRING_USED_F_NO_NOTIFY);

    /* avail_event lies behind the used ring. */
    const uint16_t *avail_event =
        (const uint16_t *)&ring->used->ring[ring->size];
    return vring_need_event(__atomic_load_n(avail_event, __ATOMIC_RELAXED),
                            ring->published, old);
}

/* Puts a chain's entries back in front of the free ones. */
static void free_chain(struct ring *ring, uint16_t head)
{
    uint16_t last = head;

    ring->free_count++;
    while (ring->desc[last].flags & VRING_DESC_F_NEXT) {
        last = ring->desc[last].next;
        ring->free_count++;
    }
    ring->desc[last].next = ring->free_first;
    ring->free_first = head;
}

bool ring_has_used(struct ring *ring)
{
    /*
     * The device's cache line is only looked at when all that it was seen to
     * have done is reaped: while it works, that line is not cheap.
     */
    if (ring->used_seen != ring->reaped)
        return true;
    /* Partner: the device's release of used->idx, in virtq_publish(). */
    ring->used_seen = __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE);
    return ring->used_seen != ring->reaped;
}

int ring_reap(struct ring *ring, uint32_t *written)
{
    const struct vring_used_elem *used;

    if (!ring_has_used(ring))
        return -EAGAIN;
    used = &ring->used->ring[ring->reaped & (ring->size - 1)];
    *written = used->len;
    ring->reaped++;
    free_chain(ring, (uint16_t)used->id);
    return (int)used->id;
}

bool ring_want_event(struct ring *ring)
{
    if (ring->event_idx)
        __atomic_store_n(&ring->avail->ring[ring->size], ring->reaped,
                         __ATOMIC_RELAXED);
    else
        __atomic_store_n(&ring->avail->flags, 0, __ATOMIC_RELAXED);
    /* Partner: the fence in virtq_publish(). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return ring_has_used(ring);
}

void ring_refuse_event(struct ring *ring)
{
    if (ring->event_idx) /* the farthest index */
        __atomic_store_n(&ring->avail->ring[ring->size],
                         (uint16_t)(ring->reaped + 0x8000), __ATOMIC_RELAXED);
    else
        __atomic_store_n(&ring->avail->flags, VRING_AVAIL_F_NO_INTERRUPT,
                         __ATOMIC_RELAXED);
}
