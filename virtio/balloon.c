/* SPDX-License-Identifier: MIT */
/* The virtio memory balloon (virtio 1.2, 5.5) with free page reporting. */
#include "virtio/balloon.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "vmm/base/os.h"

/*
 * One serve ends, with -EINTR, after about this much work, so that a guest
 * that names the same memory again and again does not keep the VM from being
 * stopped. Each call of the host counts for its bytes and some more.
 */
#define BALLOON_SERVE_BYTES (UINT64_C(256) << 20)
#define BALLOON_CALL_COST   (UINT64_C(64) << 10)

#define BATCH_PAGES 256u /* page numbers that are copied at once */

/* What the driver may read; the rest comes with features not offered (5.5.4).
 */
#define CONFIG_BYTES \
    (offsetof(struct virtio_balloon_config, actual) + sizeof(__le32))

#define BALLOON_FEATURES                                \
    ((UINT64_C(1) << VIRTIO_BALLOON_F_DEFLATE_ON_OOM) | \
     (UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING))

static struct balloon *balloon_of(struct vdev *dev)
{
    return CONTAINER_OF(dev, struct balloon, dev);
}

/* ---- Giving memory back -------------------------------------------------- */

static void spend(uint64_t *budget, uint64_t cost)
{
    *budget -= min_u64(*budget, cost);
}

/* Drops `bytes` bytes at `start`: whole pages. */
static void drop(struct balloon *balloon, void *start, uint64_t bytes,
                 uint64_t *budget)
{
    int error;

    if (bytes == 0)
        return;
    spend(budget, bytes + BALLOON_CALL_COST);
    error = os_madvise(start, bytes, MADV_DONTNEED);
    if (!error) {
        balloon->freed_bytes += bytes;
        return;
    }
    balloon->refused_pages += bytes / BALLOON_PAGE_BYTES;
    log_guest(&balloon->limit, "balloon: the host keeps what it was given: %s",
              strerror(-error));
}

/* The whole pages in a piece of memory. */
static struct iovec whole_pages(const struct iovec *piece)
{
    uint64_t start = (uintptr_t)piece->iov_base;
    uint64_t end = round_down(start + piece->iov_len, BALLOON_PAGE_BYTES);

    start = round_up(start, BALLOON_PAGE_BYTES);
    if (start >= end)
        return (struct iovec){piece->iov_base, 0};
    return (struct iovec){(void *)(uintptr_t)start, end - start};
}

/* Goes on with a report. Returns 0, or -EINTR if there is more to do. */
static int report(struct balloon *balloon, uint64_t *budget)
{
    struct balloon_chain *chain = &balloon->chain;

    while (chain->reports > 0) {
        struct iovec *piece = chain->piece;
        uint64_t part =
            min_u64(piece->iov_len, round_up(*budget, BALLOON_PAGE_BYTES));

        if (*budget == 0)
            return -EINTR;
        drop(balloon, piece->iov_base, part, budget);
        spend(budget, BALLOON_PAGE_BYTES);
        piece->iov_base = (char *)piece->iov_base + part;
        piece->iov_len -= part;
        if (piece->iov_len == 0) {
            chain->piece++;
            chain->reports--;
        }
    }
    return 0;
}

/*
 * Takes the next page numbers out of the driver's array, at most BATCH_PAGES:
 * the one look at them. Returns how many.
 */
static unsigned take_numbers(struct balloon_chain *chain, __le32 *numbers)
{
    unsigned count = (unsigned)min_u64(chain->pages, BATCH_PAGES);
    size_t bytes = count * sizeof(*numbers);

    for (size_t done = 0; done < bytes;) {
        struct iovec *piece = chain->piece;
        size_t part = min_u64(bytes - done, piece->iov_len);

        memcpy((char *)numbers + done, piece->iov_base, part);
        piece->iov_base = (char *)piece->iov_base + part;
        piece->iov_len -= part;
        if (piece->iov_len == 0)
            chain->piece++;
        done += part;
    }
    __asm__ volatile("" : : "r"(numbers) : "memory");
    chain->pages -= count;
    return count;
}

/* Drops the pages with these numbers, neighbours by one call. */
static void drop_pages(struct balloon *balloon, const __le32 *numbers,
                       unsigned count, uint64_t *budget)
{
    char *start = NULL;
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++) {
        gpa_t at = gpa((uint64_t)numbers[i] << VIRTIO_BALLOON_PFN_SHIFT);
        void *page;

        if (gmem_map(balloon->dev.mem, at, BALLOON_PAGE_BYTES, &page)) {
            balloon->refused_pages++;
            spend(budget, BALLOON_PAGE_BYTES);
            continue;
        }
        if (bytes > 0 && page == start + bytes) {
            bytes += BALLOON_PAGE_BYTES;
            continue;
        }
        drop(balloon, start, bytes, budget);
        start = page;
        bytes = BALLOON_PAGE_BYTES;
    }
    drop(balloon, start, bytes, budget);
}

/* Goes on with an inflation. Returns 0, or -EINTR if there is more to do. */
static int inflate(struct balloon *balloon, uint64_t *budget)
{
    __le32 numbers[BATCH_PAGES] = {0};

    while (balloon->chain.pages > 0) {
        unsigned count;

        if (*budget == 0)
            return -EINTR;
        count = take_numbers(&balloon->chain, numbers);
        drop_pages(balloon, numbers, count, budget);
        balloon->inflated_pages += count;
    }
    return 0;
}

/* ---- One chain after the other ------------------------------------------- */

/* Notes what is to be done about the chain that was popped from `queue`. */
static void start_chain(struct balloon *balloon, unsigned queue,
                        const struct virtq_chain *popped)
{
    struct balloon_chain *chain = &balloon->chain;
    uint64_t pages = popped->readable_bytes / sizeof(__le32);

    *chain = (struct balloon_chain){queue, popped->head, balloon->iov, 0, 0};
    balloon->busy = true;
    if (queue == BALLOON_INFLATE) {
        chain->pages = pages;
    } else if (queue == BALLOON_DEFLATE) {
        balloon->deflated_pages += pages; /* and that is all */
    } else {
        chain->piece += popped->readable_count;
        chain->reports = popped->writable_count;
        balloon->reports++;
        balloon->reported_bytes += popped->writable_bytes;
        for (unsigned i = 0; i < chain->reports; i++)
            chain->piece[i] = whole_pages(&chain->piece[i]);
    }
}

/* Goes on with the chain. Returns 0, or -EINTR if it is not finished. */
static int run_chain(struct balloon *balloon, uint64_t *budget)
{
    const struct balloon_chain *chain = &balloon->chain;
    int error = chain->queue == BALLOON_INFLATE ? inflate(balloon, budget)
                                                : report(balloon, budget);

    if (error)
        return error;
    virtq_push(&balloon->dev.queues[chain->queue], chain->head, 0);
    balloon->busy = false;
    spend(budget, BALLOON_PAGE_BYTES);
    return 0;
}

/* Returns 0, -EINTR if there is more to do, or -EBADMSG. */
static int serve_queue(struct balloon *balloon, unsigned index,
                       uint64_t *budget)
{
    struct virtq *q = &balloon->dev.queues[index];

    while (*budget > 0) {
        struct virtq_chain chain = {
            .iov = balloon->iov,
            .iov_max = BALLOON_REPORT_MAX,
        };
        int found = virtq_pop(q, &chain);

        if (found < 0)
            return found;
        if (found == 0) {
            if (!vdev_ask_kick(&balloon->dev, index, 1))
                return q->broken ? -EBADMSG : 0;
            spend(budget, BALLOON_PAGE_BYTES);
            continue;
        }
        start_chain(balloon, index, &chain);
        if (run_chain(balloon, budget))
            break;
    }
    return -EINTR;
}

static int balloon_serve(struct vdev *dev)
{
    static const uint8_t queues[] = {BALLOON_INFLATE, BALLOON_DEFLATE,
                                     BALLOON_REPORT_PACKED, BALLOON_REPORT};
    struct balloon *balloon = balloon_of(dev);
    uint64_t budget = BALLOON_SERVE_BYTES;
    int error = balloon->busy ? run_chain(balloon, &budget) : 0;

    for (unsigned i = 0; i < ARRAY_SIZE(queues); i++) {
        if (!error)
            error = serve_queue(balloon, queues[i], &budget);
        vdev_publish(dev, queues[i]);
    }
    return error;
}

static void balloon_reset(struct vdev *dev)
{
    struct balloon *balloon = balloon_of(dev);

    balloon->busy = false;
    balloon->config.actual = 0; /* whoever comes next has given nothing */
}

/* Only `actual` is the driver's to write (5.5.6). */
static void balloon_write_config(struct vdev *dev, uint64_t offset,
                                 const void *from, size_t bytes)
{
    struct balloon *balloon = balloon_of(dev);
    const uint64_t first = offsetof(struct virtio_balloon_config, actual);

    for (size_t i = 0; i < bytes; i++) {
        uint64_t at = offset + i;

        if (at >= first && at - first < sizeof(balloon->config.actual))
            ((uint8_t *)&balloon->config.actual)[at - first] =
                ((const uint8_t *)from)[i];
    }
}

static size_t balloon_save(const struct vdev *dev, void *to)
{
    const struct balloon *balloon = CONTAINER_OF(dev, struct balloon, dev);

    memcpy(to, &balloon->config.actual, sizeof(balloon->config.actual));
    return sizeof(balloon->config.actual);
}

static int balloon_load(struct vdev *dev, const void *from, size_t bytes)
{
    struct balloon *balloon = balloon_of(dev);

    if (bytes != sizeof(balloon->config.actual))
        return -EINVAL;
    memcpy(&balloon->config.actual, from, bytes);
    return 0;
}

static const struct vdev_class balloon_class = {
    .name = "balloon",
    .type = VIRTIO_ID_BALLOON,
    .queue_count = BALLOON_QUEUES,
    .config_bytes = CONFIG_BYTES,
    .serve = balloon_serve,
    .reset = balloon_reset,
    .write_config = balloon_write_config,
    .save = balloon_save,
    .load = balloon_load,
};

void balloon_init(struct balloon *balloon)
{
    *balloon = (struct balloon){.busy = false};
    balloon->dev.queue_size_max[BALLOON_INFLATE] = BALLOON_CHAINS;
    balloon->dev.queue_size_max[BALLOON_DEFLATE] = BALLOON_CHAINS;
    balloon->dev.queue_size_max[BALLOON_REPORT_PACKED] = BALLOON_REPORT_MAX;
    balloon->dev.queue_size_max[BALLOON_REPORT] = BALLOON_REPORT_MAX;
    vdev_init(&balloon->dev, &balloon_class, BALLOON_FEATURES,
              &balloon->config);
}
