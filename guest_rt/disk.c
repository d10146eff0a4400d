/* SPDX-License-Identifier: MIT */
/* Disks over virtio block devices (virtio 1.2, 5.2). */
#include <errno.h>
#include <string.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <mayfly/disk.h>

#include "device.h"
#include "hypercall.h"
#include "ring.h"

#define DISKS_MAX MF_DEVICES_MAX

/* Buffers of one request, its header and status among them. */
#define PIECES_MAX 16u

/* Bytes of one buffer. */
#define PIECE_BYTES_MAX (1u << 20)

/* How often to look for an answer before going to sleep: some 20 us. */
#define LOOKS 500

struct disk {
    struct ring ring;
    const struct mf_device *device; /* NULL: not looked for yet */
    uint64_t sectors;
    uint32_t piece_bytes; /* of one buffer at most, a multiple of a sector */
    uint32_t pieces;      /* data buffers in one request at most */
};

/* What the device reads and writes beside the data: one request at a time. */
struct words {
    struct virtio_blk_outhdr header;
    struct virtio_blk_discard_write_zeroes range;
    char id[DISK_ID_BYTES];
    uint8_t status;
};

static struct disk disks[DISKS_MAX];
static struct words words __attribute__((section(".lbss")));

/* ---- Finding ---------------------------------------------------------- */

/* Disk number `index` in the table, or NULL. */
static const struct mf_device *find_disk(unsigned index)
{
    uint32_t count = mf_boot_page()->device_count;

    for (uint32_t i = 0; i < count; i++)
        if (device_entry(i)->type == VIRTIO_ID_BLOCK && index-- == 0)
            return device_entry(i);
    return NULL;
}

static const struct virtio_blk_config *config_of(const struct mf_device *device)
{
    return (const struct virtio_blk_config *)device->config;
}

static bool has_feature(const struct disk *disk, unsigned bit)
{
    return disk->device->features >> bit & 1;
}

/* The device's limits for one request (5.2.4). */
static void read_limits(struct disk *disk)
{
    const struct virtio_blk_config *config = config_of(disk->device);

    disk->sectors = config->capacity;
    disk->piece_bytes = PIECE_BYTES_MAX;
    if (has_feature(disk, VIRTIO_BLK_F_SIZE_MAX) &&
        config->size_max < PIECE_BYTES_MAX)
        disk->piece_bytes = config->size_max & ~(DISK_SECTOR_BYTES - 1);
    disk->pieces =
        has_feature(disk, VIRTIO_BLK_F_SEG_MAX) ? config->seg_max : 1;
    if (disk->pieces > PIECES_MAX - 2)
        disk->pieces = PIECES_MAX - 2;
}

/* Returns the disk, ready for requests, or NULL if there is none. */
static struct disk *get_disk(unsigned index)
{
    struct disk *disk;

    if (index >= DISKS_MAX)
        return NULL;
    disk = &disks[index];
    if (disk->device)
        return disk;
    disk->device = find_disk(index);
    if (!disk->device)
        return NULL;
    ring_init(&disk->ring, device_queue(disk->device, 0),
              disk->device->features);
    read_limits(disk);
    return disk;
}

/* ---- Requests --------------------------------------------------------- */

/* Waits for the one request that is in flight. */
static void wait_for_answer(struct disk *disk)
{
    uint64_t *events = &mf_boot_page()->events;
    uint64_t event = UINT64_C(1) << disk->device->event;
    uint32_t written;

    for (unsigned i = 0; i < LOOKS; i++) {
        if (ring_reap(&disk->ring, &written) >= 0)
            return;
        __builtin_ia32_pause();
    }
    ring_want_event(&disk->ring);
    for (;;) {
        /*
         * Clear, then look, then wait on what the word was: an event that
         * comes after the look changes the word. Partner: event_raise().
         */
        uint64_t seen = __atomic_and_fetch(events, ~event, __ATOMIC_ACQ_REL);

        if (ring_reap(&disk->ring, &written) >= 0)
            return;
        mf_hypercall(MF_HC_WAIT, seen, MF_WAIT_FOREVER);
    }
}

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

/*
 * Does one request (5.2.6): the header, then data that the device reads, or
 * writes if `writable`, then the status. Returns 0 or -errno.
 */
static int do_request(struct disk *disk, uint32_t type, uint64_t sector,
                      void *data, uint32_t bytes, bool writable)
{
    struct iovec pieces[PIECES_MAX];
    unsigned count = 0;

    words.header = (struct virtio_blk_outhdr){.type = type, .sector = sector};
    words.status = 0xff;
    pieces[count++] = (struct iovec){&words.header, sizeof(words.header)};
    for (uint32_t done = 0; done < bytes; done += disk->piece_bytes) {
        uint32_t left = bytes - done;

        pieces[count++] = (struct iovec){
            (char *)data + done,
            left < disk->piece_bytes ? left : disk->piece_bytes,
        };
    }
    pieces[count++] = (struct iovec){&words.status, sizeof(words.status)};

    unsigned readable = writable ? 1 : count - 1;
    /* Nothing else is in flight: there is room. */
    ring_add(&disk->ring, pieces, readable, count - readable);
    if (ring_publish(&disk->ring))
        mf_hypercall(MF_HC_KICK, UINT64_C(1) << disk->device->doorbell, 0);
    wait_for_answer(disk);
    return error_from_status(words.status);
}

static bool has_sectors(const struct disk *disk, uint64_t sector,
                        uint64_t count)
{
    return sector <= disk->sectors && count <= disk->sectors - sector;
}

/* Reads or writes, in as many requests as it takes. */
static long move_sectors(struct disk *disk, uint32_t type, uint64_t sector,
                         void *buffer, long count)
{
    uint64_t most = (uint64_t)disk->pieces * disk->piece_bytes;
    uint64_t left;

    if (count < 0 || !has_sectors(disk, sector, (uint64_t)count))
        return -EINVAL;
    left = (uint64_t)count * DISK_SECTOR_BYTES;
    if (left > 0 && !device_can_reach((uintptr_t)buffer, left))
        return -EFAULT;
    while (left > 0) {
        uint32_t bytes = (uint32_t)(left < most ? left : most);
        int error = do_request(disk, type, sector, buffer, bytes,
                               type == VIRTIO_BLK_T_IN);

        if (error)
            return error;
        sector += bytes / DISK_SECTOR_BYTES;
        buffer = (char *)buffer + bytes;
        left -= bytes;
    }
    return count;
}

/* ---- What programs call ------------------------------------------------ */

int disk_count(void)
{
    unsigned count = 0;

    while (count < DISKS_MAX && find_disk(count))
        count++;
    return (int)count;
}

int disk_open(unsigned index, struct disk_info *info)
{
    struct disk *disk = get_disk(index);
    int error;

    if (!disk)
        return -ENODEV;
    *info = (struct disk_info){
        .sectors = disk->sectors,
        .block_bytes = has_feature(disk, VIRTIO_BLK_F_BLK_SIZE)
                           ? config_of(disk->device)->blk_size
                           : DISK_SECTOR_BYTES,
        .read_only = has_feature(disk, VIRTIO_BLK_F_RO),
        .can_discard = has_feature(disk, VIRTIO_BLK_F_DISCARD),
    };
    error =
        do_request(disk, VIRTIO_BLK_T_GET_ID, 0, words.id, DISK_ID_BYTES, true);
    if (!error)
        memcpy(info->id, words.id, DISK_ID_BYTES);
    return error;
}

long disk_read(unsigned index, uint64_t sector, void *buffer, long sectors)
{
    struct disk *disk = get_disk(index);

    if (!disk)
        return -ENODEV;
    return move_sectors(disk, VIRTIO_BLK_T_IN, sector, buffer, sectors);
}

long disk_write(unsigned index, uint64_t sector, const void *buffer,
                long sectors)
{
    struct disk *disk = get_disk(index);

    if (!disk)
        return -ENODEV;
    if (has_feature(disk, VIRTIO_BLK_F_RO))
        return -EROFS;
    return move_sectors(disk, VIRTIO_BLK_T_OUT, sector,
                        (void *)(uintptr_t)buffer, sectors);
}

int disk_flush(unsigned index)
{
    struct disk *disk = get_disk(index);

    if (!disk)
        return -ENODEV;
    /* Without the feature the device writes through. */
    if (!has_feature(disk, VIRTIO_BLK_F_FLUSH))
        return 0;
    return do_request(disk, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, false);
}

int disk_discard(unsigned index, uint64_t sector, uint64_t sectors)
{
    struct disk *disk = get_disk(index);
    int error = 0;

    if (!disk)
        return -ENODEV;
    if (has_feature(disk, VIRTIO_BLK_F_RO))
        return -EROFS;
    if (!has_feature(disk, VIRTIO_BLK_F_DISCARD))
        return -EOPNOTSUPP;
    if (!has_sectors(disk, sector, sectors))
        return -EINVAL;
    while (sectors > 0 && !error) {
        uint32_t most = config_of(disk->device)->max_discard_sectors;
        uint32_t part = sectors < most ? (uint32_t)sectors : most;

        words.range = (struct virtio_blk_discard_write_zeroes){
            .sector = sector,
            .num_sectors = part,
        };
        error = do_request(disk, VIRTIO_BLK_T_DISCARD, 0, &words.range,
                           sizeof(words.range), false);
        sector += part;
        sectors -= part;
    }
    return error;
}
