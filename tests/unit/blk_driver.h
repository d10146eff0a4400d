/* SPDX-License-Identifier: MIT */
/* A disk in memory and a hand-written driver for the block device's tests. */
#ifndef TESTS_UNIT_BLK_DRIVER_H
#define TESTS_UNIT_BLK_DRIVER_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "virtio/blk.h"
#include "vmm/base/os.h"

#define RAM_BASE      UINT64_C(0x100000)
#define RAM_BYTES     UINT64_C(0x400000)
#define EVENTS        RAM_BASE
#define DESC          (RAM_BASE + 0x1000)
#define AVAIL         (RAM_BASE + 0x2000)
#define USED          (RAM_BASE + 0x3000)
#define HEADER        (RAM_BASE + 0x4000)
#define STATUS        (RAM_BASE + 0x5000)
#define DATA          (RAM_BASE + 0x100000)
#define SECTORS       64u
#define SECTOR        512u
#define NEXT          VRING_DESC_F_NEXT
#define WRITE         VRING_DESC_F_WRITE
#define UNTOUCHED     0xee
#define FEATURE(name) (UINT64_C(1) << VIRTIO_BLK_F_##name)

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{RAM_BASE, RAM_BYTES, ram}},
    .count = 1,
};
static struct event_word events;
static struct blk blk;
static int disk;           /* the file */
static unsigned next_desc; /* the driver's */
static unsigned lines;     /* of log */

static inline void *at(uint64_t address)
{
    return ram + (address - RAM_BASE);
}

static inline void count_line(enum log_level level, const char *line)
{
    (void)level;
    (void)line;
    lines++;
}

/* A disk of which each sector n is full of bytes n + 1. */
static inline void make_disk(unsigned sectors)
{
    uint8_t data[SECTOR];

    disk = memfd_create("disk", 0);
    cr_assert_geq(disk, 0);
    for (unsigned i = 0; i < sectors; i++) {
        memset(data, (int)i + 1, sizeof(data));
        cr_assert_eq(write(disk, data, sizeof(data)), (ssize_t)SECTOR);
    }
}

static inline void bring_up(uint64_t features)
{
    struct virtq_layout layout = {gpa(DESC), gpa(AVAIL), gpa(USED),
                                  blk.dev.queue_size_max[0]};

    memset(at(AVAIL), 0, 0x2000);
    cr_assert_eq(event_init(&events, &mem, gpa(EVENTS)), 0);
    vdev_bind(&blk.dev, &mem, &events, 3, NULL);
    vdev_set_status(&blk.dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    vdev_set_status(&blk.dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&blk.dev, features);
    vdev_set_status(&blk.dev, VIRTIO_CONFIG_S_FEATURES_OK);
    cr_assert_eq(vdev_enable_queue(&blk.dev, 0, &layout), 0);
    vdev_set_status(&blk.dev, VIRTIO_CONFIG_S_DRIVER_OK);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
}

static inline void start(struct blk_options options)
{
    log_set_sink(count_line);
    options.fd = disk;
    cr_assert_eq(blk_init(&blk, &options), 0);
    bring_up(blk.dev.offered);
}

static inline void set_up(void)
{
    make_disk(SECTORS);
    start((struct blk_options){.id = "a disk"});
}

static inline void set_up_read_only(void)
{
    make_disk(SECTORS);
    start((struct blk_options){.read_only = true});
}

/* As a driver that does not know VIRTIO_BLK_F_`feature`. */
static inline void set_up_without(uint64_t feature)
{
    struct blk_options options = {.fd = 0};

    log_set_sink(count_line);
    make_disk(SECTORS);
    options.fd = disk;
    cr_assert_eq(blk_init(&blk, &options), 0);
    bring_up(blk.dev.offered & ~feature);
}

/* ---- The driver --------------------------------------------------------- */

static inline struct vring_desc *desc(unsigned n)
{
    return (struct vring_desc *)at(DESC) + n % BLK_QUEUE_MAX;
}

/* Adds a buffer to the chain that is being made, in `piece` bytes each. */
static inline void add_split(uint64_t address, uint64_t bytes, unsigned flags,
                             uint64_t piece)
{
    do {
        uint64_t part = min_u64(bytes, piece);

        *desc(next_desc) = (struct vring_desc){
            address,
            (uint32_t)part,
            (uint16_t)(flags | NEXT),
            (uint16_t)((next_desc + 1) % BLK_QUEUE_MAX),
        };
        next_desc++;
        address += part;
        bytes -= part;
    } while (bytes > 0);
}

static inline void add(uint64_t address, uint64_t bytes, unsigned flags)
{
    add_split(address, bytes, flags, bytes);
}

/* The chain from descriptor `head` to the last one added is available. */
static inline void submit(unsigned head)
{
    struct vring_avail *avail = at(AVAIL);
    uint32_t size = blk.dev.queues[0].size;

    desc(next_desc - 1)->flags &= (uint16_t)~NEXT;
    avail->ring[avail->idx % size] = (uint16_t)(head % BLK_QUEUE_MAX);
    avail->idx++;
}

static inline void add_header(uint32_t type, uint64_t sector)
{
    *(struct virtio_blk_outhdr *)at(HEADER) =
        (struct virtio_blk_outhdr){.type = type, .sector = sector};
    add(HEADER, sizeof(struct virtio_blk_outhdr), 0);
}

static inline void add_status(void)
{
    *(uint8_t *)at(STATUS) = UNTOUCHED;
    add(STATUS, 1, WRITE);
}

static inline uint16_t used_count(void)
{
    return ((struct vring_used *)at(USED))->idx;
}

/* The used length of the request that was answered last. */
static inline uint32_t used_bytes(void)
{
    struct vring_used *used = at(USED);

    return used->ring[(used->idx - 1) % blk.dev.queues[0].size].len;
}

static inline uint8_t status(void)
{
    return *(uint8_t *)at(STATUS);
}

/* Submits the chain from `head` on and serves it. Returns its status. */
static inline uint8_t serve_chain(unsigned head)
{
    uint16_t before = used_count();

    submit(head);
    cr_assert_eq(vdev_serve(&blk.dev), 0);
    cr_assert_eq(used_count(), (uint16_t)(before + 1));
    return status();
}

/* One request with its data in one buffer at DATA. Returns its status. */
static inline uint8_t request(uint32_t type, uint64_t sector, uint64_t bytes,
                              unsigned flags)
{
    unsigned head = next_desc;

    add_header(type, sector);
    if (bytes > 0)
        add(DATA, bytes, flags);
    add_status();
    return serve_chain(head);
}

static inline uint8_t read_sectors(uint64_t sector, uint64_t bytes)
{
    memset(at(DATA), UNTOUCHED, bytes + 1);
    return request(VIRTIO_BLK_T_IN, sector, bytes, WRITE);
}

static inline uint8_t write_sectors(uint64_t sector, uint64_t bytes)
{
    memset(at(DATA), 'w', bytes);
    return request(VIRTIO_BLK_T_OUT, sector, bytes, 0);
}

static inline void set_range(unsigned n, uint64_t sector, uint32_t count,
                             uint32_t flags)
{
    ((struct virtio_blk_discard_write_zeroes *)at(DATA))[n] =
        (struct virtio_blk_discard_write_zeroes){sector, count, flags};
}

/* A discard or write zeroes of one range. */
static inline uint8_t erase(uint32_t type, uint64_t sector, uint32_t count,
                            uint32_t flags)
{
    set_range(0, sector, count, flags);
    return request(type, 0, 16, 0);
}

static inline void assert_filled(uint64_t address, uint8_t byte, size_t bytes)
{
    const uint8_t *data = at(address);

    for (size_t i = 0; i < bytes; i++)
        cr_assert_eq(data[i], byte, "byte %zu is %#x", i, data[i]);
}

/* Sector `sector` of the file is full of `byte`. */
static inline void assert_disk(unsigned sector, uint8_t byte)
{
    uint8_t data[SECTOR];

    cr_assert_eq(pread(disk, data, SECTOR, sector * (off_t)SECTOR),
                 (ssize_t)SECTOR);
    for (size_t i = 0; i < SECTOR; i++)
        cr_assert_eq(data[i], byte, "sector %u, byte %zu: %#x", sector, i,
                     data[i]);
}

static inline void assert_disk_untouched(void)
{
    struct stat file;

    for (unsigned i = 0; i < SECTORS; i++)
        assert_disk(i, (uint8_t)(i + 1));
    cr_assert_eq(fstat(disk, &file), 0);
    cr_assert_eq(file.st_size, (off_t)(SECTORS * SECTOR));
}

/* Puts another file where the device has its disk. */
static inline void replace_disk(const char *path)
{
    int other = open(path, O_RDWR);

    cr_assert_geq(other, 0);
    cr_assert_eq(dup2(other, blk.fd), blk.fd);
}

#endif
