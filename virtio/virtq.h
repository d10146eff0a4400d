/* SPDX-License-Identifier: MIT */
/* The device's side of a split virtqueue (virtio 1.2, 2.7). */
#ifndef VIRTIO_VIRTQ_H
#define VIRTIO_VIRTQ_H

/*
 * Life of a queue: virtq_enable() checks the layout once and keeps where the
 * three areas are mapped. Then, for each request, virtq_pop() takes one
 * descriptor chain, the device moves the data, virtq_push() notes it as used,
 * and virtq_publish() shows all pushed chains to the driver at once and says
 * whether the driver wants an event. virtq_reset() ends it.
 *
 * The rings are guest memory and may change at any time. So: indices live in
 * struct virtq and are never read back; a descriptor is copied once, and what
 * was copied is checked and used; a loop ends by its own count. A driver that
 * breaks the ring's rules breaks its queue: it is dead until reset,
 * virtq_pop() says -EBADMSG, and everything else does nothing.
 *
 * A queue belongs to one thread at a time.
 */

#include <linux/virtio_ring.h>
#include <sys/uio.h>

#include "vmm/base/gmem.h"
#include "vmm/base/log.h"

#define VIRTQ_SIZE_MAX 32768u /* virtio 1.2, 2.7 */

/* What virtq_enable() understands of the negotiated features. */
#define VIRTQ_FEATURES                          \
    ((UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX) | \
     (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC))

/* Where the driver, or the transport for it, has put a queue. */
struct virtq_layout {
    gpa_t desc;    /* descriptor table */
    gpa_t avail;   /* available ring: the driver's area */
    gpa_t used;    /* used ring: the device's area */
    uint32_t size; /* entries */
};

/* What went through a queue since the VM began; resets do not count back. */
struct virtq_stats {
    uint64_t chains;     /* given back */
    uint64_t batches;    /* shown to the driver in so many steps */
    uint64_t batch_max;  /* chains in the largest one */
    uint64_t wanted;     /* batches of which the driver wanted to be told */
    uint64_t suppressed; /* batches of which it did not */
};

struct virtq {
    const struct gmem *mem;    /* where buffers are */
    const uint8_t *desc;       /* the descriptor table, in guest memory */
    struct vring_avail *avail; /* the available ring, in guest memory */
    struct vring_used *used;   /* the used ring, in guest memory */
    struct virtq_layout at;    /* the same, as the guest names it */
    uint32_t size;             /* entries, a power of two */
    uint16_t popped;           /* chains taken so far, modulo 2^16 */
    uint16_t pushed;           /* chains given back */
    uint16_t published;        /* of these, shown to the driver */
    bool event_idx;            /* VIRTIO_RING_F_EVENT_IDX negotiated */
    bool indirect;             /* VIRTIO_RING_F_INDIRECT_DESC negotiated */
    bool enabled;              /* between virtq_enable() and virtq_reset() */
    bool broken;               /* the driver broke the rules */
    struct log_limit limit;    /* for saying so; survives resets */
    struct virtq_stats stats;  /* survive resets */
};

/*
 * One request. The caller sets `iov`, `iov_max` and `marks`; virtq_pop() fills
 * the rest. The pieces that the device reads come first in `iov`, those that it
 * writes follow. They are mapped guest memory: valid as long as the VM's
 * memory, and changing at any time.
 */
struct virtq_chain {
    struct iovec *iov;       /* the caller's array */
    unsigned iov_max;        /* its entries; virtq.size are always enough */
    unsigned readable_count; /* iov[0] ... */
    unsigned writable_count; /* iov[readable_count] ... */
    uint64_t readable_bytes; /* at most 2^32 together with ... */
    uint64_t writable_bytes; /* ... these */
    uint16_t head;           /* names the chain in virtq_push() */
    bool marks; /* the caller tells gmem_mark() what it has written, else all
                   that it may write counts */
};

/* Sizes of a queue's areas in bytes, the event index at their end included. */
static inline size_t virtq_desc_bytes(uint32_t size)
{
    return sizeof(struct vring_desc) * size;
}

static inline size_t virtq_avail_bytes(uint32_t size)
{
    return sizeof(struct vring_avail) + sizeof(uint16_t) * (size + 1);
}

static inline size_t virtq_used_bytes(uint32_t size)
{
    return sizeof(struct vring_used) + sizeof(struct vring_used_elem) * size +
           sizeof(uint16_t);
}

/*
 * Starts a queue that is reset (or all zero) at the given layout (2.7.1 to
 * 2.7.8), with the ring features in `features`. Returns 0, -EINVAL if the size
 * is not a power of two up to VIRTQ_SIZE_MAX or an area is misaligned, or
 * -EFAULT if one is not wholly inside `mem`. `mem` outlives the queue.
 */
MUST_CHECK int virtq_enable(struct virtq *q, const struct gmem *mem,
                            const struct virtq_layout *layout,
                            uint64_t features);

/* Back to not enabled; chains that were popped are forgotten. */
void virtq_reset(struct virtq *q);

/*
 * A queue that was just enabled goes on where another one was, which had given
 * back and shown `position` chains, modulo 2^16. What that one had popped and
 * not given back is available again.
 */
void virtq_resume(struct virtq *q, uint16_t position);

/*
 * Takes the next available chain (2.7.5, 2.7.13). Returns 1 with `*chain`
 * filled, 0 if there is none (or the queue is not enabled), -ENOSPC if it has
 * more pieces than iov_max (it stays available), or -EBADMSG if the queue is
 * broken. Zero-length descriptors are legal and yield no piece; their address
 * is not looked at.
 */
MUST_CHECK int virtq_pop(struct virtq *q, struct virtq_chain *chain);

/*
 * Makes the chain that was popped last available again. Only for a chain that
 * has not been pushed, with no other pop in between.
 */
void virtq_unpop(struct virtq *q);

/* Returns whether virtq_pop() would find something (broken queues: no). */
bool virtq_has_chain(struct virtq *q);

/*
 * Notes a popped chain as used, with `written` bytes written to its writable
 * pieces (2.7.8). Chains may come back in any order, each exactly once. The
 * driver sees nothing before virtq_publish().
 */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written);

/*
 * Shows all pushed chains to the driver. Returns whether the driver is to be
 * notified (2.7.7.2): at least one of them was asked for.
 */
MUST_CHECK bool virtq_publish(struct virtq *q);

/*
 * Returns whether the driver wants to be notified of what was published after
 * the used index was `since` (2.7.7.2), as it wishes now: for a device that
 * has put a notification off.
 */
bool virtq_wants_event(const struct virtq *q, uint16_t since);

/*
 * Asks the driver to kick when it has made `chains` chains available that the
 * device has not popped: 1 for the next one, the queue's size for only when
 * the ring is full. Without EVENT_IDX the driver then always kicks, whatever
 * the number. Returns whether that many are available by now: then the driver
 * may not have seen the wish, and the device goes on as if kicked.
 */
bool virtq_set_kick_threshold(struct virtq *q, uint32_t chains);

/*
 * Asks the driver not to kick at all: the device looks by itself. A driver may
 * do it anyway (2.7.10), and without another call here does so once in 2^16
 * chains. Ends with the next virtq_set_kick_threshold().
 */
void virtq_suppress_kicks(struct virtq *q);

#endif
