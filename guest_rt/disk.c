/* SPDX-License-Identifier: MIT */
/* Disks over virtio block devices (virtio 1.2, 5.2): requests. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <mayfly/disk.h>

#include "device.h"
#include "disk_private.h"

#define DISKS_MAX MF_DEVICES_MAX

/* Buffers of one chain, its header and status among them. */
#define PIECES_MAX 16u

/* Bytes of one buffer. */
#define PIECE_BYTES_MAX (1u << 20)

#define FEATURE(name) (UINT64_C(1) << VIRTIO_BLK_F_##name)
#define WANTED                                                                \
    (FEATURE(SIZE_MAX) | FEATURE(SEG_MAX) | FEATURE(RO) | FEATURE(BLK_SIZE) | \
     FEATURE(FLUSH) | FEATURE(DISCARD) | FEATURE(WRITE_ZEROES))

/* The device reads and writes these, as the standard lays them out. */
_Static_assert(sizeof(((struct disk_request *)0)->header) ==
                   sizeof(struct virtio_blk_outhdr),
               "header");
_Static_assert(sizeof(((struct disk_request *)0)->range) ==
                   sizeof(struct virtio_blk_discard_write_zeroes),
               "range");

static struct disk disks[DISKS_MAX] __attribute__((section(".lbss")));

/* ---- Opening ------------------------------------------------------------ */

/* A 32-bit field of the configuration space, or `otherwise`. */
static uint32_t read_u32(const struct disk *disk, unsigned feature,
                         unsigned offset, uint32_t otherwise)
{
    uint32_t value;

    if (!device_has_feature(&disk->device, feature))
        return otherwise;
    device_read_config(&disk->device, offset, &value, sizeof(value));
    return value;
}

#define READ_U32(disk, feature, field, otherwise) \
    read_u32(disk, VIRTIO_BLK_F_##feature,        \
             offsetof(struct virtio_blk_config, field), otherwise)

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* What the disk is, and the device's limits for one request (5.2.4). */
static void read_config(struct disk *disk)
{
    uint32_t pieces = READ_U32(disk, SEG_MAX, seg_max, 1);
    uint32_t bytes = READ_U32(disk, SIZE_MAX, size_max, PIECE_BYTES_MAX);

    device_read_config(&disk->device,
                       offsetof(struct virtio_blk_config, capacity),
                       &disk->sectors, sizeof(disk->sectors));
    disk->block_bytes = READ_U32(disk, BLK_SIZE, blk_size, DISK_SECTOR_BYTES);
    disk->discard_max = READ_U32(disk, DISCARD, max_discard_sectors, 0);
    disk->zeroes_max =
        READ_U32(disk, WRITE_ZEROES, max_write_zeroes_sectors, 0);

    /* A device that sends nonsense gets a sector at a time. */
    bytes = min_u32(bytes, PIECE_BYTES_MAX) & ~(DISK_SECTOR_BYTES - 1);
    disk->piece_bytes = bytes ? bytes : DISK_SECTOR_BYTES;
    pieces = min_u32(pieces, min_u32(disk->ring.size, PIECES_MAX) - 2);
    disk->part_max =
        (pieces ? pieces : 1) * (disk->piece_bytes / DISK_SECTOR_BYTES);
}

int disk_get(unsigned index, struct disk **found)
{
    struct disk *disk;
    int error;

    if (index >= DISKS_MAX)
        return -ENODEV;
    disk = *found = &disks[index];
    if (disk->device.entry)
        return disk->broken ? -EIO : 0;
    error = device_open(&disk->device, VIRTIO_ID_BLOCK, index, WANTED,
                        &disk->ring, 1);
    if (!error && disk->ring.size < 3)
        error = -EIO; /* a request has no room in it */
    if (!error)
        read_config(disk);
    else if (disk->device.entry)
        disk->broken = true; /* it is there, and of no use */
    return error;
}

/* ---- Requests ----------------------------------------------------------- */

/* What the device calls it, by enum disk_op. */
static const uint32_t types[] = {
    [DISK_READ] = VIRTIO_BLK_T_IN,
    [DISK_WRITE] = VIRTIO_BLK_T_OUT,
    [DISK_FLUSH] = VIRTIO_BLK_T_FLUSH,
    [DISK_DISCARD] = VIRTIO_BLK_T_DISCARD,
    [DISK_WRITE_ZEROES] = VIRTIO_BLK_T_WRITE_ZEROES,
    [DISK_WRITE_ZEROES_UNMAP] = VIRTIO_BLK_T_WRITE_ZEROES,
    [GET_ID] = VIRTIO_BLK_T_GET_ID,
};

static int error_from_status(uint8_t status)
{
    switch (status) {
    case VIRTIO_BLK_S_OK:
        return 0;
    case VIRTIO_BLK_S_UNSUPP:
        return -EOPNOTSUPP;
    default:
        return -EIO;
    }
}

/* Whether its sectors are moved from or to a buffer. */
static bool moves_data(const struct disk_request *request)
{
    return request->op == DISK_READ || request->op == DISK_WRITE;
}

/* Sectors of such a request that fit in one chain; 0: it has no sectors. */
static uint32_t most_of(const struct disk *disk, enum disk_op op)
{
    switch (op) {
    case DISK_READ:
    case DISK_WRITE:
        return disk->part_max;
    case DISK_DISCARD:
        return disk->discard_max;
    case DISK_WRITE_ZEROES:
    case DISK_WRITE_ZEROES_UNMAP:
        return disk->zeroes_max;
    default:
        return 0;
    }
}

static bool has_sectors(const struct disk *disk, uint64_t sector,
                        uint64_t count)
{
    return sector <= disk->sectors && count <= disk->sectors - sector;
}

/*
 * Pieces go into one chain: as many and as large ones as that takes, and as
 * many sectors as the request says.
 */
static int check_pieces(const struct disk *disk,
                        const struct disk_request *request)
{
    uint64_t bytes = 0;

    if (request->piece_count >
        disk->part_max / (disk->piece_bytes / DISK_SECTOR_BYTES))
        return -EINVAL;
    for (unsigned i = 0; i < request->piece_count; i++) {
        const struct iovec *piece = &request->pieces[i];

        if (piece->iov_len > disk->piece_bytes)
            return -EINVAL;
        if (!device_can_reach((uintptr_t)piece->iov_base, piece->iov_len))
            return -EFAULT;
        bytes += piece->iov_len;
    }
    return bytes == request->sectors * DISK_SECTOR_BYTES ? 0 : -EINVAL;
}

/* Checks what can be known before the device sees it. Returns 0 or -errno. */
static int check_request(const struct disk *disk,
                         const struct disk_request *request)
{
    uintptr_t buffer = (uintptr_t)request->buffer;

    if (request->op == DISK_FLUSH || request->op == GET_ID)
        return 0;
    if (request->op != DISK_READ &&
        device_has_feature(&disk->device, VIRTIO_BLK_F_RO))
        return -EROFS;
    if (!most_of(disk, request->op))
        return -EOPNOTSUPP;
    if (!has_sectors(disk, request->sector, request->sectors))
        return -EINVAL;
    if (moves_data(request) && request->pieces)
        return check_pieces(disk, request);
    if (moves_data(request) && request->sectors > 0 &&
        (request->sectors > UINT64_MAX / DISK_SECTOR_BYTES ||
         !device_can_reach(buffer, request->sectors * DISK_SECTOR_BYTES)))
        return -EFAULT;
    return 0;
}

/* Cuts `bytes` bytes into pieces. Returns how many. */
static unsigned cut_data(const struct disk *disk, char *data, uint32_t bytes,
                         struct iovec *pieces)
{
    unsigned count = 0;

    while (bytes > 0) {
        uint32_t part = min_u32(bytes, disk->piece_bytes);

        pieces[count++] = (struct iovec){data, part};
        data += part;
        bytes -= part;
    }
    return count;
}

/* The data of the request's current part. Returns its pieces. */
static unsigned describe_data(const struct disk *disk,
                              struct disk_request *request,
                              struct iovec *pieces)
{
    char *buffer = request->buffer;

    switch ((unsigned)request->op) {
    case DISK_READ:
    case DISK_WRITE:
        if (request->pieces) {
            memcpy(pieces, request->pieces,
                   request->piece_count * sizeof(pieces[0]));
            return request->piece_count;
        }
        return cut_data(disk, buffer + request->done * DISK_SECTOR_BYTES,
                        request->part * DISK_SECTOR_BYTES, pieces);
    case DISK_FLUSH:
        return 0;
    case GET_ID:
        pieces[0] = (struct iovec){buffer, DISK_ID_BYTES};
        return 1;
    default:
        request->range.sector = request->sector + request->done;
        request->range.sectors = request->part;
        request->range.flags = request->op == DISK_WRITE_ZEROES_UNMAP
                                   ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP
                                   : 0;
        pieces[0] = (struct iovec){&request->range, sizeof(request->range)};
        return 1;
    }
}

/*
 * Adds the next part of a request to the ring (5.2.6): the header, data that
 * the device reads or writes, the status. Returns 0, or -EAGAIN if there is no
 * room.
 */
static int add_part(struct disk *disk, struct disk_request *request)
{
    bool device_writes = request->op == DISK_READ || request->op == GET_ID;
    uint64_t left = request->sectors - request->done;
    uint32_t most = most_of(disk, request->op);
    struct iovec pieces[PIECES_MAX];
    unsigned data;
    int head;

    request->part = left < most ? (uint32_t)left : most;
    request->header.type = types[request->op];
    request->header.reserved = 0;
    request->header.sector =
        moves_data(request) ? request->sector + request->done : 0;
    request->status = 0xff;
    pieces[0] = (struct iovec){&request->header, sizeof(request->header)};
    data = describe_data(disk, request, pieces + 1);
    pieces[data + 1] = (struct iovec){&request->status, 1};

    head = device_writes ? ring_add(&disk->ring, pieces, 1, data + 1)
                         : ring_add(&disk->ring, pieces, data + 1, 1);
    if (head < 0)
        return head;
    /*
     * The device may begin, if it is looking. If it is not, it is told later,
     * of all that has come together by then.
     */
    if (ring_publish(&disk->ring))
        disk->kick_owed = true;
    return 0;
}

static void give_to_owner(struct disk *disk, struct disk_request *request)
{
    if (request->owner == OF_PROGRAM)
        list_add(&disk->ended, request);
    else
        request->owner = OF_CALL_ENDED;
}

static void end_request(struct disk *disk, struct disk_request *request,
                        int error)
{
    request->error = error;
    list_remove(&disk->in_flight, request);
    give_to_owner(disk, request);
}

/* The request whose header is the first piece of this chain. */
static struct disk_request *request_of(const struct disk *disk, int head)
{
    return (struct disk_request *)(disk->ring.desc[head].addr -
                                   offsetof(struct disk_request, header));
}

/* Takes back one chain, and lets its request go on with the next part. */
static void reap_part(struct disk *disk, int head)
{
    struct disk_request *request = request_of(disk, head);
    int error = error_from_status(request->status);

    request->done += request->part;
    if (!error && request->part > 0 && request->done < request->sectors) {
        /* What came back has left room for as many pieces: it fits. */
        error = add_part(disk, request);
        if (!error)
            return;
    }
    end_request(disk, request, error);
}

static void reap_all(struct disk *disk)
{
    uint32_t written;
    int head;

    while ((head = ring_reap(&disk->ring, &written)) >= 0)
        reap_part(disk, head);
}

/* ---- The device's turn -------------------------------------------------- */

static void kick(struct disk *disk)
{
    if (!disk->kick_owed)
        return;
    disk->kick_owed = false;
    device_kick(&disk->device, 0);
}

/* The device has given up: nothing in flight comes back any more. */
static void give_up(struct disk *disk)
{
    disk->broken = true;
    while (disk->in_flight.first)
        end_request(disk, disk->in_flight.first, -EIO);
}

void disk_step(struct disk *disk)
{
    if (disk->kick_owed) {
        kick(disk);
    } else if (poll_ring(&disk->poll, &disk->device, &disk->ring)) {
        give_up(disk);
        return;
    }
    reap_all(disk);
}

/* ---- What programs call: several at a time ------------------------------ */

/* Whether there is nothing to ask the device for. */
static bool is_empty(const struct disk *disk,
                     const struct disk_request *request)
{
    /* Without the feature the device writes through. */
    if (request->op == DISK_FLUSH)
        return !device_has_feature(&disk->device, VIRTIO_BLK_F_FLUSH);
    return request->op != GET_ID && request->sectors == 0;
}

int disk_begin(struct disk *disk, struct disk_request *request)
{
    int error = check_request(disk, request);

    if (error)
        return error;
    request->error = 0;
    request->done = 0;
    if (is_empty(disk, request)) {
        give_to_owner(disk, request);
        return 0;
    }
    error = add_part(disk, request);
    if (!error)
        list_add(&disk->in_flight, request);
    return error;
}

int disk_submit(unsigned index, struct disk_request *request)
{
    struct disk *disk;
    int error;

    mf_lock();
    error = disk_get(index, &disk);
    if (!error && (unsigned)request->op > DISK_WRITE_ZEROES_UNMAP)
        error = -EINVAL;
    request->owner = OF_PROGRAM;
    if (!error)
        error = disk_begin(disk, request);
    mf_unlock();
    return error;
}

int disk_kick(unsigned index)
{
    struct disk *disk;
    int error;

    mf_lock();
    error = disk_get(index, &disk);
    if (!error)
        kick(disk);
    mf_unlock();
    return error;
}

/* Lets requests end; if `wait` is not set, without a wait. */
static void find_ended(struct disk *disk, bool wait)
{
    reap_all(disk);
    while (!disk->ended.first && disk->in_flight.first) {
        if (wait || disk->kick_owed) {
            disk_step(disk);
            continue;
        }
        if (device_is_broken(&disk->device)) {
            reap_all(disk); /* what it did before */
            give_up(disk);
        }
        return;
    }
}

struct disk_request *disk_complete(unsigned index, bool wait)
{
    struct disk_request *request = NULL;
    struct disk *disk;

    mf_lock();
    if (disk_get(index, &disk) != -ENODEV) {
        if (!disk->ended.first)
            find_ended(disk, wait);
        request = disk->ended.first;
    }
    if (request)
        list_remove(&disk->ended, request);
    mf_unlock();
    return request;
}
