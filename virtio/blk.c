/* SPDX-License-Identifier: MIT */
/* The virtio block device (virtio 1.2, 5.2), between a guest and one file. */
#include "virtio/blk.h"

#include <errno.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "vmm/base/os.h"

/*
 * One serve ends, with -EINTR, after about this much work, so that a guest
 * with gigabytes to move does not keep the VM from being stopped. A request
 * counts for its bytes and one page more; what is zeroed or discarded counts
 * as if it were written.
 */
#define BLK_SERVE_BYTES  (UINT64_C(16) << 20)
#define BLK_SHOW_BYTES   (UINT64_C(64) << 10)
#define BLK_REQUEST_COST 4096u
#define BLK_FLUSH_COST   (1u << 20) /* it may take long */

/* Zeroes are written from one page, so many times in one call. */
#define ZERO_BYTES  4096u
#define ZERO_PIECES 64u

#define HEADER_BYTES sizeof(struct virtio_blk_outhdr)
#define STATUS_BYTES 1u

#define FEATURE(name) (UINT64_C(1) << VIRTIO_BLK_F_##name)

/* What the driver may read: up to the fields of secure erase (5.2.4). */
#define CONFIG_BYTES \
    (offsetof(struct virtio_blk_config, write_zeroes_may_unmap) + 4)

static struct blk *blk_of(struct vdev *dev)
{
    return CONTAINER_OF(dev, struct blk, dev);
}

/* ---- Pieces of guest memory --------------------------------------------- */

/* `bytes` bytes of the request's data are done with. */
static void skip_data(struct blk_request *request, uint64_t bytes)
{
    while (bytes > 0) {
        struct iovec *piece = request->iov;
        size_t part = min_u64(bytes, piece->iov_len);

        piece->iov_base = (char *)piece->iov_base + part;
        piece->iov_len -= part;
        bytes -= part;
        if (piece->iov_len == 0)
            request->iov++;
    }
}

/*
 * Takes `bytes` bytes out of the request's data, which has them: the one look
 * at what the driver wrote there. The barrier keeps the compiler from going
 * back to guest memory for it.
 */
static void take_data(struct blk_request *request, void *to, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        size_t part = min_u64(bytes - done, request->iov->iov_len);

        memcpy((char *)to + done, request->iov->iov_base, part);
        skip_data(request, part);
        done += part;
    }
    __asm__ volatile("" : : "r"(to) : "memory");
}

/* ---- What the driver asks for ------------------------------------------- */

static bool is_inside(const struct blk *blk, uint64_t sector, uint64_t count)
{
    return sector <= blk->config.capacity &&
           count <= blk->config.capacity - sector;
}

/* Checks a read or write of `bytes` bytes. Returns its status so far. */
static uint8_t check_transfer(struct blk *blk, uint64_t sector, uint64_t bytes)
{
    if (bytes % BLK_SECTOR_BYTES != 0 ||
        !is_inside(blk, sector, bytes / BLK_SECTOR_BYTES))
        return VIRTIO_BLK_S_IOERR;
    blk->request.offset = sector * BLK_SECTOR_BYTES;
    blk->request.left = bytes;
    return VIRTIO_BLK_S_OK;
}

/* Copies and checks what is to be discarded or zeroed, all before any of it. */
static uint8_t check_ranges(struct blk *blk, uint64_t bytes, uint32_t flags)
{
    struct blk_request *request = &blk->request;
    uint64_t count = bytes / sizeof(request->ranges[0]);

    if (bytes % sizeof(request->ranges[0]) != 0 || count > BLK_RANGES_MAX)
        return VIRTIO_BLK_S_IOERR;
    take_data(request, request->ranges, bytes);
    for (uint64_t i = 0; i < count; i++)
        if (request->ranges[i].flags & ~flags)
            return VIRTIO_BLK_S_UNSUPP;
    for (uint64_t i = 0; i < count; i++)
        if (!is_inside(blk, request->ranges[i].sector,
                       request->ranges[i].num_sectors))
            return VIRTIO_BLK_S_IOERR;
    request->range_count = (unsigned)count;
    return VIRTIO_BLK_S_OK;
}

/*
 * Checks the request, of whose data `out_bytes` bytes are the driver's and
 * request->in_bytes the device's. Returns VIRTIO_BLK_S_OK if it is to be run,
 * or the status that it ends with.
 */
static uint8_t check_request(struct blk *blk, uint64_t sector,
                             uint64_t out_bytes)
{
    const struct blk_request *request = &blk->request;

    switch (request->type) {
    case VIRTIO_BLK_T_IN:
        if (out_bytes > 0)
            return VIRTIO_BLK_S_IOERR;
        return check_transfer(blk, sector, request->in_bytes);
    case VIRTIO_BLK_T_OUT:
        if (blk->read_only || request->in_bytes > 0)
            return VIRTIO_BLK_S_IOERR;
        return check_transfer(blk, sector, out_bytes);
    case VIRTIO_BLK_T_FLUSH:
        return VIRTIO_BLK_S_OK;
    case VIRTIO_BLK_T_GET_ID:
        if (out_bytes > 0 || request->in_bytes != VIRTIO_BLK_ID_BYTES)
            return VIRTIO_BLK_S_IOERR;
        return VIRTIO_BLK_S_OK;
    case VIRTIO_BLK_T_DISCARD:
        if (blk->read_only || request->in_bytes > 0)
            return VIRTIO_BLK_S_IOERR;
        if (!(blk->dev.features & FEATURE(DISCARD)))
            return VIRTIO_BLK_S_UNSUPP;
        return check_ranges(blk, out_bytes, 0);
    case VIRTIO_BLK_T_WRITE_ZEROES:
        if (blk->read_only || request->in_bytes > 0)
            return VIRTIO_BLK_S_IOERR;
        if (!(blk->dev.features & FEATURE(WRITE_ZEROES)))
            return VIRTIO_BLK_S_UNSUPP;
        return check_ranges(blk, out_bytes, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
    default:
        return VIRTIO_BLK_S_UNSUPP;
    }
}

/* ---- What is done about it ---------------------------------------------- */

static void spend(uint64_t *budget, uint64_t bytes)
{
    *budget -= min_u64(*budget, bytes);
}

/* `bytes` bytes are moved or zeroed. */
static void advance(struct blk_request *request, uint64_t bytes,
                    uint64_t *budget)
{
    request->offset += bytes;
    request->left -= bytes;
    spend(budget, bytes);
}

/* Moves up to `bytes` bytes by one call. Returns how many, or -errno. */
static ssize_t move_some(struct blk *blk, uint64_t bytes)
{
    struct blk_request *request = &blk->request;
    struct iovec *last = request->iov;
    uint64_t there = last->iov_len;
    ssize_t moved;

    while (there < bytes)
        there += (++last)->iov_len;
    last->iov_len -= there - bytes;
    moved = (request->type == VIRTIO_BLK_T_IN ? os_preadv : os_pwritev)(
        blk->fd, request->iov, (int)(last - request->iov) + 1,
        (off_t)request->offset);
    last->iov_len += there - bytes;
    return moved;
}

/* Reads or writes. Returns 0, -EINTR if there is more to do, or -errno. */
static int transfer(struct blk *blk, uint64_t *budget)
{
    struct blk_request *request = &blk->request;

    while (request->left > 0) {
        if (*budget == 0)
            return -EINTR;
        ssize_t moved = move_some(blk, min_u64(request->left, *budget));
        if (moved < 0)
            return (int)moved;
        if (moved == 0)
            return -EIO; /* the file has become smaller */
        skip_data(request, (uint64_t)moved);
        advance(request, (uint64_t)moved, budget);
        if (request->type == VIRTIO_BLK_T_IN) {
            request->in_written += (uint64_t)moved;
            blk->read_bytes += (uint64_t)moved;
        } else {
            blk->written_bytes += (uint64_t)moved;
        }
    }
    return 0;
}

static ssize_t write_zeroes(int fd, uint64_t offset, uint64_t bytes)
{
    static _Alignas(ZERO_BYTES) uint8_t zeroes[ZERO_BYTES]; /* never written */
    struct iovec iov[ZERO_PIECES];
    int count = 0;
    ssize_t written;

    for (; bytes > 0 && count < (int)ZERO_PIECES; count++) {
        iov[count] = (struct iovec){zeroes, min_u64(bytes, ZERO_BYTES)};
        bytes -= iov[count].iov_len;
    }
    written = os_pwritev(fd, iov, count, (off_t)offset);
    return written == 0 ? -EIO : written;
}

/*
 * Discards or zeroes up to `bytes` bytes of the current range. Where the file
 * cannot, zeroes are written, and nothing is discarded: that is only a hint.
 * Returns how many bytes are done, or -errno.
 */
static ssize_t erase_some(struct blk *blk, uint64_t bytes)
{
    const struct blk_request *request = &blk->request;
    bool discard = request->type == VIRTIO_BLK_T_DISCARD;
    bool unmap = discard || (request->ranges[request->range_next - 1].flags &
                             VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
    int mode = unmap ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
    int error = os_fallocate(blk->fd, mode | FALLOC_FL_KEEP_SIZE,
                             (off_t)request->offset, (off_t)bytes);
    ssize_t written;

    if (error == 0)
        return (ssize_t)bytes;
    if (error != -EOPNOTSUPP && error != -EINVAL)
        return error;
    if (discard)
        return (ssize_t)bytes;
    written = write_zeroes(blk->fd, request->offset, bytes);
    if (written > 0)
        limit_charge(&blk->rate, (uint64_t)written);
    return written;
}

/* Discards or zeroes. Returns 0, -EINTR if there is more to do, or -errno. */
static int erase(struct blk *blk, uint64_t *budget)
{
    struct blk_request *request = &blk->request;

    for (;;) {
        if (request->left > 0) {
            if (*budget == 0)
                return -EINTR;
            ssize_t done = erase_some(blk, min_u64(request->left, *budget));
            if (done < 0)
                return (int)done;
            advance(request, (uint64_t)done, budget);
        } else if (request->range_next < request->range_count) {
            const struct virtio_blk_discard_write_zeroes *range =
                &request->ranges[request->range_next++];

            request->offset = range->sector * BLK_SECTOR_BYTES;
            request->left = (uint64_t)range->num_sectors * BLK_SECTOR_BYTES;
        } else {
            return 0;
        }
    }
}

static int flush(struct blk *blk)
{
    int error = os_fdatasync(blk->fd);

    if (!error)
        blk->flushes++;
    return error;
}

static void give_id(struct blk *blk)
{
    struct blk_request *request = &blk->request;

    for (size_t done = 0; done < sizeof(blk->id);) {
        size_t part = min_u64(sizeof(blk->id) - done, request->iov->iov_len);

        memcpy(request->iov->iov_base, blk->id + done, part);
        skip_data(request, part);
        done += part;
    }
    request->in_written = sizeof(blk->id);
}

/* Returns 0, -EINTR to go on later, or what the host refused. */
static int execute(struct blk *blk, uint64_t *budget)
{
    int error;

    switch (blk->request.type) {
    case VIRTIO_BLK_T_IN:
        return transfer(blk, budget);
    case VIRTIO_BLK_T_FLUSH:
        spend(budget, BLK_FLUSH_COST);
        return flush(blk);
    case VIRTIO_BLK_T_GET_ID:
        give_id(blk);
        return 0;
    case VIRTIO_BLK_T_OUT:
        error = transfer(blk, budget);
        break;
    default: /* check_request() let nothing else pass */
        error = erase(blk, budget);
        break;
    }
    if (error || (blk->dev.features & FEATURE(FLUSH)))
        return error;
    return flush(blk);
}

/* ---- One request after the other ---------------------------------------- */

/*
 * Gives the chain back. The used length is what is written from the chain's
 * first writable byte on without a gap (2.7.8.2), so it counts the status byte
 * only if all data before it is there.
 */
static void finish_request(struct blk *blk, uint8_t status)
{
    const struct blk_request *request = &blk->request;
    uint64_t written = request->in_written;

    if (written == request->in_bytes)
        written++;
    *request->status = status;
    virtq_push(&blk->dev.queues[0], request->head, (uint32_t)written);
    blk->busy = false;
    blk->requests++;
    if (status != VIRTIO_BLK_S_OK)
        blk->errors++;
}

/*
 * Whether the request in `chain` has to wait for the rate limit. Only its data
 * counts, neither header nor status.
 */
static bool is_too_early(struct blk *blk, const struct virtq_chain *chain)
{
    uint64_t header = min_u64(chain->readable_bytes, HEADER_BYTES);
    uint64_t bytes =
        chain->readable_bytes - header + chain->writable_bytes - STATUS_BYTES;
    uint64_t wake_ns;

    if (!limit_is_set(&blk->rate))
        return false;
    wake_ns = limit_take(&blk->rate, os_now_ns(), bytes);
    if (wake_ns == 0)
        return false;
    blk->dev.wake_ns = wake_ns;
    blk->delayed++;
    return true;
}

/* Begins the request in `chain`; if it is not refused, blk->busy is set. */
static void start_request(struct blk *blk, const struct virtq_chain *chain)
{
    struct blk_request *request = &blk->request;
    struct virtio_blk_outhdr header;
    struct iovec *last;
    uint8_t status = VIRTIO_BLK_S_IOERR;

    *request = (struct blk_request){
        .head = chain->head,
        .iov = blk->iov,
        .in_bytes = chain->writable_bytes - STATUS_BYTES,
    };
    /* The last writable byte is the status, wherever the driver cut (2.7.4). */
    last = &blk->iov[chain->readable_count + chain->writable_count - 1];
    last->iov_len--;
    request->status = (uint8_t *)last->iov_base + last->iov_len;
    if (chain->readable_bytes >= HEADER_BYTES) {
        take_data(request, &header, sizeof(header));
        request->type = header.type;
        status = check_request(blk, header.sector,
                               chain->readable_bytes - HEADER_BYTES);
    }
    if (status == VIRTIO_BLK_S_OK)
        blk->busy = true;
    else
        finish_request(blk, status);
}

/*
 * Pops a request and begins it. Returns 1, 0 if there is none, -EAGAIN if it
 * is not yet its time, or -EBADMSG.
 */
static int begin_request(struct blk *blk)
{
    struct virtq *q = &blk->dev.queues[0];
    struct virtq_chain chain = {.iov = blk->iov, .iov_max = BLK_QUEUE_MAX};
    int found = virtq_pop(q, &chain);

    if (found <= 0)
        return found;
    if (chain.writable_bytes == 0) {
        log_guest(&blk->limit, "disk stopped: request without a status byte");
        return -EBADMSG;
    }
    if (is_too_early(blk, &chain)) {
        virtq_unpop(q);
        return -EAGAIN;
    }
    start_request(blk, &chain);
    return 1;
}

/* Goes on with the request. Returns 0, or -EINTR if it is not finished. */
static int run_request(struct blk *blk, uint64_t *budget)
{
    int error = execute(blk, budget);

    if (error == -EINTR)
        return error;
    if (error)
        log_guest(&blk->limit,
                  "disk: request of type %u failed at byte %llu: %s",
                  blk->request.type, (unsigned long long)blk->request.offset,
                  strerror(-error));
    finish_request(blk, error ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
    return 0;
}

/*
 * Shows what is done once that is much: a driver on another processor can go on
 * with it meanwhile.
 */
static void show_much(struct blk *blk, uint64_t *shown, uint64_t budget)
{
    if (*shown - budget < BLK_SHOW_BYTES)
        return;
    *shown = budget;
    vdev_publish(&blk->dev, 0);
}

static int serve_some(struct blk *blk)
{
    struct virtq *q = &blk->dev.queues[0];
    uint64_t shown = BLK_SERVE_BYTES; /* what the budget was then */

    for (uint64_t budget = BLK_SERVE_BYTES; budget > 0;
         spend(&budget, BLK_REQUEST_COST)) {
        show_much(blk, &shown, budget);
        int found = blk->busy ? 1 : begin_request(blk);

        if (found == -EAGAIN) {
            virtq_suppress_kicks(q); /* time wakes it up, nothing else */
            return 0;
        }
        if (found < 0)
            return found;
        if (found == 0 && !vdev_ask_kick(&blk->dev, 0, 1))
            return q->broken ? -EBADMSG : 0;
        if (blk->busy && run_request(blk, &budget) == -EINTR)
            return -EINTR;
    }
    return -EINTR;
}

static int blk_serve(struct vdev *dev)
{
    int error;

    if (vdev_is_waiting(dev))
        return 0;
    error = serve_some(blk_of(dev));
    vdev_publish(dev, 0);
    return error;
}

static void blk_reset(struct vdev *dev)
{
    blk_of(dev)->busy = false;
}

/* A driver that goes on knows the disk's size. */
static size_t blk_save(const struct vdev *dev, void *to)
{
    const struct blk *blk = CONTAINER_OF(dev, struct blk, dev);

    memcpy(to, &blk->config.capacity, sizeof(blk->config.capacity));
    return sizeof(blk->config.capacity);
}

static int blk_load(struct vdev *dev, const void *from, size_t bytes)
{
    const __le64 capacity = blk_of(dev)->config.capacity;

    return bytes == sizeof(capacity) && memcmp(from, &capacity, bytes) == 0
               ? 0
               : -EINVAL;
}

static const struct vdev_class blk_class = {
    .name = "disk",
    .type = VIRTIO_ID_BLOCK,
    .queue_count = 1,
    .config_bytes = CONFIG_BYTES,
    .threaded = true,
    .serve = blk_serve,
    .save = blk_save,
    .load = blk_load,
    .reset = blk_reset,
};

/* ---- Setting up --------------------------------------------------------- */

/* Finds out how large the disk is, and its blocks. Returns 0 or -errno. */
static int measure(int fd, uint64_t *bytes, uint32_t *block_bytes)
{
    struct stat status;
    int error = os_fstat(fd, &status);

    if (error)
        return error;
    *bytes = (uint64_t)status.st_size;
    *block_bytes = BLK_SECTOR_BYTES;
    if (S_ISREG(status.st_mode))
        return 0;
    if (!S_ISBLK(status.st_mode))
        return -EINVAL;
    error = os_ioctl(fd, BLKGETSIZE64, (uintptr_t)bytes);
    return error ? error : os_ioctl(fd, BLKSSZGET, (uintptr_t)block_bytes);
}

int blk_init(struct blk *blk, const struct blk_options *options)
{
    uint32_t size = options->queue_size ? options->queue_size : BLK_QUEUE_MAX;
    const char *id = options->id ? options->id : "";
    uint64_t features = FEATURE(SIZE_MAX) | FEATURE(SEG_MAX) |
                        FEATURE(BLK_SIZE) | FEATURE(FLUSH);
    uint64_t bytes;
    uint32_t block_bytes;
    int error;

    if (!is_power_of_2(size) || size < 4 || size > BLK_QUEUE_MAX)
        return -EINVAL;
    if (strlen(id) > sizeof(blk->id))
        return -ENAMETOOLONG;
    error = measure(options->fd, &bytes, &block_bytes);
    if (error)
        return error;

    *blk = (struct blk){.fd = options->fd, .read_only = options->read_only};
    limit_init(&blk->rate, options->rate);
    memcpy(blk->id, id, strlen(id));
    blk->config = (struct virtio_blk_config){
        .capacity = bytes / BLK_SECTOR_BYTES,
        .size_max = BLK_SEGMENT_MAX,
        .seg_max = size - 2, /* beside the header and the status */
        .blk_size = block_bytes,
    };
    if (options->read_only) {
        features |= FEATURE(RO);
    } else {
        features |= FEATURE(DISCARD) | FEATURE(WRITE_ZEROES);
        blk->config.max_discard_sectors = UINT32_MAX;
        blk->config.max_discard_seg = BLK_RANGES_MAX;
        blk->config.discard_sector_alignment = block_bytes / BLK_SECTOR_BYTES;
        blk->config.max_write_zeroes_sectors = UINT32_MAX;
        blk->config.max_write_zeroes_seg = BLK_RANGES_MAX;
        blk->config.write_zeroes_may_unmap = 1;
    }
    blk->dev.queue_size_max[0] = size;
    vdev_init(&blk->dev, &blk_class, features, &blk->config);
    return 0;
}
