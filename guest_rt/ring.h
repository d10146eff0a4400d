/* SPDX-License-Identifier: MIT */
/* The driver's side of a split virtqueue (virtio 1.2, 2.7). */
#ifndef GUEST_RT_RING_H
#define GUEST_RT_RING_H

/*
 * The monitor has placed and enabled the queue; ring_init() takes it over.
 * Then: ring_add() describes a request, ring_publish() makes all added ones
 * available and says whether the device wants a kick, ring_reap() returns
 * completed ones. Unlike the device, which distrusts the driver, this side
 * trusts the monitor. A ring belongs to one thread at a time.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include <linux/virtio_ring.h>
#include <mayfly/abi.h>

struct ring {
    struct vring_desc *desc;   /* free entries are chained through next */
    struct vring_avail *avail; /* written here, read by the device */
    struct vring_used *used;   /* written by the device, read here */
    uint16_t size;             /* entries */
    uint16_t free_first;       /* head of the free entries, if any */
    uint16_t free_count;       /* free entries */
    uint16_t added;            /* chains added, modulo 2^16 */
    uint16_t published;        /* of these, shown to the device */
    uint16_t reaped;           /* of these, returned */
    uint16_t used_seen;        /* used->idx when it was looked at last */
    bool event_idx;            /* VIRTIO_RING_F_EVENT_IDX negotiated */
};

/* Takes over `queue`, whose device has negotiated `features`. */
void ring_init(struct ring *ring, const struct mf_queue *queue,
               uint64_t features);

/* Returns how many chains are added and not reaped. */
static inline unsigned ring_in_flight(const struct ring *ring)
{
    return (uint16_t)(ring->added - ring->reaped);
}

/* Returns the head that the next chain to be added gets, if there is room. */
static inline uint16_t ring_next_head(const struct ring *ring)
{
    return ring->free_first;
}

/*
 * Adds one chain of `readable` buffers for the device to read and then
 * `writable` ones for it to write, all non-empty, below 4 GiB each and at
 * least one. The buffers are the device's until the chain is reaped. Returns
 * the chain's head, or -EAGAIN if there are not as many entries free.
 */
int ring_add(struct ring *ring, const struct iovec *iov, unsigned readable,
             unsigned writable);

/* Shows all added chains to the device. Returns whether it wants a kick. */
bool ring_publish(struct ring *ring);

/* Returns whether ring_reap() would find a chain. */
bool ring_has_used(struct ring *ring);

/*
 * Returns the head of the next chain that the device has used, with the bytes
 * it wrote in `*written`, or -EAGAIN if there is none.
 */
int ring_reap(struct ring *ring, uint32_t *written);

/*
 * Asks for an event when the next chain is used. Returns whether one is used
 * already: then there may be no event for it. Without this call there is none
 * (with EVENT_IDX: one in 2^16 chains).
 */
bool ring_want_event(struct ring *ring);

/*
 * Undoes ring_want_event(), for a driver that goes on looking by itself: there
 * is no event, but for one that the device has decided on already.
 */
void ring_refuse_event(struct ring *ring);

#endif
