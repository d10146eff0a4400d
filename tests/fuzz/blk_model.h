/* SPDX-License-Identifier: MIT */
/* What a block device has to do, for an honest driver to compare with. */
#ifndef TESTS_FUZZ_BLK_MODEL_H
#define TESTS_FUZZ_BLK_MODEL_H

#include <linux/virtio_blk.h>
#include <string.h>

#include "vmm/base/util.h"

#define SECTORS     16u
#define DISK_BYTES  (SECTORS * 512)
#define HALF_BYTES  0x1000u /* of a request: what is readable, or writable */
#define RANGES_MAX  16u     /* in one discard or write zeroes */
#define RANGE_BYTES sizeof(struct virtio_blk_discard_write_zeroes)
#define UNTOUCHED   0xee /* fills what the device may write */

/* What an honest driver remembers of a request. */
struct posted {
    uint32_t out_bytes, in_bytes; /* all of it, header and status included */
    uint8_t out[HALF_BYTES];      /* what the driver wrote */
    bool failed;                  /* the host refused something */
    bool synced;                  /* by the host, after the last change */
};

static uint8_t disk[DISK_BYTES];  /* as the device has it */
static uint8_t model[DISK_BYTES]; /* as it should be */
static bool read_only, can_flush;

static inline bool on_disk(uint64_t sector, uint64_t bytes)
{
    return bytes % 512 == 0 && sector <= SECTORS &&
           sector + bytes / 512 <= SECTORS;
}

static inline struct virtio_blk_outhdr header_of(const struct posted *request)
{
    struct virtio_blk_outhdr header;

    memcpy(&header, request->out, sizeof(header));
    return header;
}

static inline struct virtio_blk_discard_write_zeroes
range_of(const struct posted *request, size_t n)
{
    struct virtio_blk_discard_write_zeroes range;

    memcpy(&range, request->out + 16 + n * RANGE_BYTES, sizeof(range));
    return range;
}

static inline uint8_t expect_ranges(const struct posted *request,
                                    uint32_t flags)
{
    size_t bytes = request->out_bytes - 16;
    uint8_t status = VIRTIO_BLK_S_OK;

    if (read_only || request->in_bytes != 1 || bytes % RANGE_BYTES != 0 ||
        bytes / RANGE_BYTES > RANGES_MAX)
        return VIRTIO_BLK_S_IOERR;
    for (size_t i = 0; i < bytes / RANGE_BYTES; i++) {
        struct virtio_blk_discard_write_zeroes range = range_of(request, i);

        if (range.flags & ~flags)
            return VIRTIO_BLK_S_UNSUPP;
        if (!on_disk(range.sector, range.num_sectors * UINT64_C(512)))
            status = VIRTIO_BLK_S_IOERR;
    }
    return status;
}

/* The status if the host does what it is asked. */
static inline uint8_t expect_status(const struct posted *request)
{
    struct virtio_blk_outhdr header = header_of(request);
    uint32_t out_bytes = request->out_bytes - 16;
    uint32_t in_bytes = request->in_bytes - 1;
    bool fine;

    if (request->out_bytes < 16)
        return VIRTIO_BLK_S_IOERR;
    switch (header.type) {
    case VIRTIO_BLK_T_IN:
        fine = out_bytes == 0 && on_disk(header.sector, in_bytes);
        break;
    case VIRTIO_BLK_T_OUT:
        fine = in_bytes == 0 && on_disk(header.sector, out_bytes) && !read_only;
        break;
    case VIRTIO_BLK_T_FLUSH:
        fine = true;
        break;
    case VIRTIO_BLK_T_GET_ID:
        fine = out_bytes == 0 && in_bytes == 20;
        break;
    case VIRTIO_BLK_T_DISCARD:
        return expect_ranges(request, 0);
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return expect_ranges(request, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
    default:
        return VIRTIO_BLK_S_UNSUPP;
    }
    return fine ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR;
}

/* The model takes over what the disk has in a part that is up to the host. */
static inline void accept_disk(uint64_t sector, uint64_t bytes)
{
    memcpy(model + sector * 512, disk + sector * 512, bytes);
}

static inline void apply_ranges(const struct posted *request, bool zeroes)
{
    for (size_t i = 0; i < (request->out_bytes - 16) / RANGE_BYTES; i++) {
        struct virtio_blk_discard_write_zeroes range = range_of(request, i);

        if (zeroes)
            memset(model + range.sector * 512, 0, range.num_sectors * 512);
        else
            accept_disk(range.sector, range.num_sectors * UINT64_C(512));
    }
}

/* Does to the model what the request, which was to be run, did to the disk. */
static inline void apply(const struct posted *request)
{
    struct virtio_blk_outhdr header = header_of(request);

    switch (header.type) {
    case VIRTIO_BLK_T_OUT:
        if (request->failed)
            accept_disk(header.sector, request->out_bytes - 16);
        else
            memcpy(model + header.sector * 512, request->out + 16,
                   request->out_bytes - 16);
        break;
    case VIRTIO_BLK_T_DISCARD:
        apply_ranges(request, false);
        break;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        apply_ranges(request, !request->failed);
        break;
    default:
        break;
    }
}

/* Data that came with status OK. */
static inline void check_data(const struct posted *request, const uint8_t *in)
{
    struct virtio_blk_outhdr header = header_of(request);
    bool changes = header.type == VIRTIO_BLK_T_OUT ||
                   header.type == VIRTIO_BLK_T_WRITE_ZEROES;

    if (header.type == VIRTIO_BLK_T_IN)
        bug_on(memcmp(in, model + header.sector * 512, request->in_bytes - 1));
    if (header.type == VIRTIO_BLK_T_GET_ID)
        bug_on(memcmp(in, "fuzz\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20));
    bug_on(header.type == VIRTIO_BLK_T_FLUSH && !request->synced);
    bug_on(changes && !can_flush && !request->synced);
}

#endif
