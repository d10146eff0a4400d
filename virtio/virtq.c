/* SPDX-License-Identifier: MIT */
/* The device's side of a split virtqueue (virtio 1.2, 2.7). */
#include "virtio/virtq.h"

#include <errno.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "ring fields are little-endian and accessed as they are");

#define CHAIN_BYTES_MAX (UINT64_C(1) << 32) /* virtio 1.2, 2.7.5.2 */

/* A descriptor table: the queue's own, or an indirect one. */
struct table {
    const uint8_t *entries;
    uint32_t count;
    bool indirect;
};

/* The driver's rings cannot be trusted any more. Returns -EBADMSG. */
static int mark_broken(struct virtq *q, const char *why, uint64_t value)
{
    q->broken = true;
    log_guest(&q->limit, "virtqueue stopped: %s (%llu)", why,
              (unsigned long long)value);
    return -EBADMSG;
}

static int map_area(const struct gmem *mem, gpa_t at, size_t bytes,
                    uint64_t align, void **host)
{
    if (at.raw % align != 0)
        return -EINVAL;
    return gmem_map(mem, at, bytes, host);
}

int virtq_enable(struct virtq *q, const struct gmem *mem,
                 const struct virtq_layout *layout, uint64_t features)
{
    uint32_t size = layout->size;
    void *desc, *avail, *used;
    int error;

    if (!is_power_of_2(size) || size > VIRTQ_SIZE_MAX)
        return -EINVAL;
    error = map_area(mem, layout->desc, virtq_desc_bytes(size),
                     VRING_DESC_ALIGN_SIZE, &desc);
    if (error)
        return error;
    error = map_area(mem, layout->avail, virtq_avail_bytes(size),
                     VRING_AVAIL_ALIGN_SIZE, &avail);
    if (error)
        return error;
    error = map_area(mem, layout->used, virtq_used_bytes(size),
                     VRING_USED_ALIGN_SIZE, &used);
    if (error)
        return error;

    *q = (struct virtq){
        .mem = mem,
        .desc = desc,
        .avail = avail,
        .used = used,
        .at = *layout,
        .size = size,
        .event_idx = features & (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX),
        .indirect = features & (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC),
        .enabled = true,
        .limit = q->limit,
        .stats = q->stats,
    };
    return 0;
}

void virtq_reset(struct virtq *q)
{
    *q = (struct virtq){.limit = q->limit, .stats = q->stats};
}

void virtq_resume(struct virtq *q, uint16_t position)
{
    q->popped = q->pushed = q->published = position;
}

/*
 * Stores in `*count` how many chains wait. What the device has not shown as
 * used still occupies descriptors, so a driver that is ahead of that by more
 * than the queue's size has published an index that cannot be.
 */
static int count_available(struct virtq *q, uint16_t *count)
{
    /* Partner: the driver's release of avail->idx, in ring_publish(). */
    uint16_t idx = __atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE);

    if ((uint16_t)(idx - q->published) > q->size ||
        (uint16_t)(idx - q->published) < (uint16_t)(q->popped - q->published))
        return mark_broken(q, "impossible available index", idx);
    *count = idx - q->popped;
    return 0;
}

/*
 * The one look at a descriptor. The barrier keeps the compiler from going back
 * to guest memory for a field that it could as well keep.
 */
static struct vring_desc copy_desc(const struct table *table, uint32_t index)
{
    struct vring_desc desc;

    memcpy(&desc, table->entries + sizeof(desc) * (size_t)index, sizeof(desc));
    __asm__ volatile("" : "+m"(desc) : : "memory");
    return desc;
}

/* Goes from a chain's last direct descriptor to its indirect table. */
static int enter_indirect(struct virtq *q, const struct vring_desc *desc,
                          struct table *table)
{
    void *entries;

    if (!q->indirect)
        return mark_broken(q, "indirect descriptor, not negotiated",
                           desc->addr);
    if (table->indirect)
        return mark_broken(q, "indirect descriptor in an indirect table",
                           desc->addr);
    if (desc->flags & VRING_DESC_F_NEXT)
        return mark_broken(q, "indirect descriptor with a next one",
                           desc->next);
    if (desc->len == 0 || desc->len % sizeof(struct vring_desc) != 0)
        return mark_broken(q, "impossible length of an indirect table",
                           desc->len);
    if (gmem_map(q->mem, gpa(desc->addr), desc->len, &entries))
        return mark_broken(q, "indirect table outside memory", desc->addr);
    *table = (struct table){
        .entries = entries,
        .count = desc->len / sizeof(struct vring_desc),
        .indirect = true,
    };
    return 0;
}

static int map_buffer(const struct virtq *q, const struct vring_desc *desc,
                      bool marks, void **host)
{
    gpa_t at = gpa(desc->addr);

    return marks ? gmem_find(q->mem, at, desc->len, host)
                 : gmem_map(q->mem, at, desc->len, host);
}

/* Adds one buffer to the chain. */
static int add_buffer(struct virtq *q, const struct vring_desc *desc,
                      struct virtq_chain *chain)
{
    unsigned count = chain->readable_count + chain->writable_count;
    bool writable = desc->flags & VRING_DESC_F_WRITE;
    void *host;

    if (desc->len == 0)
        return 0;
    if (chain->readable_bytes + chain->writable_bytes + desc->len >
        CHAIN_BYTES_MAX)
        return mark_broken(q, "chain of more than 4 GiB", desc->len);
    if (map_buffer(q, desc, chain->marks, &host))
        return mark_broken(q, "buffer outside memory", desc->addr);
    if (count == chain->iov_max)
        return -ENOSPC;
    chain->iov[count] = (struct iovec){host, desc->len};
    if (writable) {
        chain->writable_count++;
        chain->writable_bytes += desc->len;
    } else {
        chain->readable_count++;
        chain->readable_bytes += desc->len;
    }
    return 0;
}

/*
 * The one chain walker. A chain has at most as many descriptors as the queue
 * (2.7.5.3.1), in its table and in an indirect one together, so a loop is
 * found by counting.
 */
static int walk_chain(struct virtq *q, struct virtq_chain *chain)
{
    struct table table = {.entries = q->desc, .count = q->size};
    uint32_t index = chain->head;
    bool seen_writable = false;

    for (uint32_t left = q->size; left > 0; left--) {
        if (index >= table.count)
            return mark_broken(q, "descriptor outside its table", index);

        struct vring_desc desc = copy_desc(&table, index);
        int error;

        if (desc.flags & VRING_DESC_F_INDIRECT) {
            error = enter_indirect(q, &desc, &table);
            if (error)
                return error;
            index = 0;
            left++; /* happens once a chain: the pointer is no buffer */
            continue;
        }
        if (seen_writable && !(desc.flags & VRING_DESC_F_WRITE))
            return mark_broken(q, "readable buffer after a writable one",
                               index);
        seen_writable = desc.flags & VRING_DESC_F_WRITE;
        error = add_buffer(q, &desc, chain);
        if (error)
            return error;
        if (!(desc.flags & VRING_DESC_F_NEXT))
            return 0;
        index = desc.next;
    }
    return mark_broken(q, "chain longer than the queue", chain->head);
}

int virtq_pop(struct virtq *q, struct virtq_chain *chain)
{
    uint16_t available;
    int error;

    if (!q->enabled)
        return 0;
    if (q->broken)
        return -EBADMSG;
    error = count_available(q, &available);
    if (error || available == 0)
        return error;

    chain->readable_count = chain->writable_count = 0;
    chain->readable_bytes = chain->writable_bytes = 0;
    chain->head = __atomic_load_n(&q->avail->ring[q->popped & (q->size - 1)],
                                  __ATOMIC_RELAXED);
    error = walk_chain(q, chain);
    if (error)
        return error;
    q->popped++;
    return 1;
}

void virtq_unpop(struct virtq *q)
{
    if (q->enabled)
        q->popped--;
}

bool virtq_has_chain(struct virtq *q)
{
    uint16_t available;

    return q->enabled && !q->broken && count_available(q, &available) == 0 &&
           available > 0;
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t written)
{
    if (!q->enabled || q->broken)
        return;

    struct vring_used_elem *used = &q->used->ring[q->pushed & (q->size - 1)];

    __atomic_store_n(&used->id, head, __ATOMIC_RELAXED);
    __atomic_store_n(&used->len, written, __ATOMIC_RELAXED);
    q->pushed++;
}

bool virtq_wants_event(const struct virtq *q, uint16_t since)
{
    if (!q->enabled || q->broken)
        return false;
    if (!q->event_idx)
        return !(__atomic_load_n(&q->avail->flags, __ATOMIC_RELAXED) &
                 VRING_AVAIL_F_NO_INTERRUPT);
    return vring_need_event(
        __atomic_load_n(&q->avail->ring[q->size], __ATOMIC_RELAXED),
        q->published, since);
}

static void count_batch(struct virtq *q, uint16_t chains, bool wanted)
{
    struct virtq_stats *stats = &q->stats;

    stats->chains += chains;
    stats->batches++;
    stats->batch_max = max_u64(stats->batch_max, chains);
    if (wanted)
        stats->wanted++;
    else
        stats->suppressed++;
}

bool virtq_publish(struct virtq *q)
{
    uint16_t old = q->published;

    if (!q->enabled || q->broken || q->pushed == old)
        return false;
    q->published = q->pushed;
    /* Partner: the driver's acquire of used->idx, in ring_reap(). */
    __atomic_store_n(&q->used->idx, q->published, __ATOMIC_RELEASE);
    /*
     * The index must be visible before the wish is read. Partner: the fence in
     * the driver's ring_want_event(), between its wish and its last look.
     */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    bool wanted = virtq_wants_event(q, old);
    count_batch(q, (uint16_t)(q->published - old), wanted);
    return wanted;
}

/* The driver is to kick when it passes this available index (2.7.10). */
static void set_avail_event(struct virtq *q, uint16_t index)
{
    /* avail_event lies behind the used ring (2.7.8). */
    uint16_t *avail_event = (uint16_t *)&q->used->ring[q->size];

    __atomic_store_n(avail_event, index, __ATOMIC_RELAXED);
}

bool virtq_set_kick_threshold(struct virtq *q, uint32_t chains)
{
    uint16_t available;

    if (!q->enabled || q->broken)
        return false;
    if (q->event_idx)
        set_avail_event(q, (uint16_t)(q->popped + chains - 1));
    else
        __atomic_store_n(&q->used->flags, 0, __ATOMIC_RELAXED);
    /* Partner: the fence in the driver's ring_publish(). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return count_available(q, &available) == 0 && available >= chains;
}

void virtq_suppress_kicks(struct virtq *q)
{
    if (!q->enabled || q->broken)
        return;
    /* An index that is far from both sides of the driver's. */
    if (q->event_idx)
        set_avail_event(q, (uint16_t)(q->popped + 0x8000));
    else
        __atomic_store_n(&q->used->flags, VRING_USED_F_NO_NOTIFY,
                         __ATOMIC_RELAXED);
}
