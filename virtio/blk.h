/* SPDX-License-Identifier: MIT */
/* The virtio block device (virtio 1.2, 5.2), between a guest and one file. */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

/*
 * A disk is a regular file or a block device of the host. Requests are served
 * one after the other, in the order in which the driver made them available,
 * each by the system call that it names: data moves straight between the file
 * and guest memory. A request that is begun and cannot be finished yet (a
 * signal came, or this serve has done enough) stays here and goes on at the
 * next serve; a reset forgets it.
 *
 * A write is as durable as write() makes it until a flush, which is fdatasync.
 * With a driver that did not negotiate VIRTIO_BLK_F_FLUSH every write is synced
 * before it completes (5.2.6.2).
 *
 * What a request asks wrongly, and what the host refuses, ends that request
 * with its status byte and nothing else. A chain that has no room for a status
 * byte cannot be answered: the device needs a reset.
 *
 * A limit on requests and bytes per second may hold a request back before it
 * begins, valid or not; what is begun is finished. It counts one operation and
 * its data, header and status apart: for a discard or write zeroes that is the
 * table of ranges, and for the latter what had to be written as zeroes, too.
 * While the device waits for its time (dev.wake_ns) it asks for no kicks. A
 * reset changes nothing about the limit.
 *
 * The device asks to be kicked for each request. Everything runs in the thread
 * that serves it.
 */

#include <linux/virtio_blk.h>

#include "virtio/device.h"
#include "virtio/limit.h"

#define BLK_QUEUE_MAX    128u       /* entries of the largest queue */
#define BLK_SEGMENT_MAX  (1u << 20) /* bytes: what size_max asks for */
#define BLK_RANGES_MAX   16u        /* in one discard or write zeroes */
#define BLK_SECTOR_BYTES 512u       /* the protocol's unit (5.2.4) */

struct blk_options {
    int fd;              /* the disk; borrowed, open for what is asked of it */
    bool read_only;      /* VIRTIO_BLK_F_RO; writes are refused */
    const char *id;      /* at most VIRTIO_BLK_ID_BYTES; NULL: none. Copied. */
    uint32_t queue_size; /* 4 ... BLK_QUEUE_MAX, a power of two; 0: largest */
    struct limit_rate rate; /* requests, and bytes of their data */
};

/* The request that is being served. */
struct blk_request {
    uint16_t head;       /* names its chain */
    uint32_t type;       /* VIRTIO_BLK_T_* */
    uint8_t *status;     /* where the status byte goes: guest memory */
    struct iovec *iov;   /* where the data that is still to be moved goes on */
    uint64_t offset;     /* in the file, of the next byte */
    uint64_t left;       /* bytes to move, or to zero of the current range */
    uint64_t in_bytes;   /* data that the driver has room for */
    uint64_t in_written; /* of these, written so far */
    /* What is to be discarded or zeroed: checked, and not yet begun. */
    struct virtio_blk_discard_write_zeroes ranges[BLK_RANGES_MAX];
    unsigned range_next, range_count;
};

struct blk {
    struct vdev dev;
    struct virtio_blk_config config;
    int fd;
    bool read_only;
    char id[VIRTIO_BLK_ID_BYTES]; /* padded with 0 bytes */

    uint64_t requests;      /* answered so far */
    uint64_t read_bytes;    /* moved from the file to the guest */
    uint64_t written_bytes; /* and back; zeroes and discards do not count */
    uint64_t flushes;       /* that reached the disk */
    uint64_t errors;        /* answered with another status than OK */
    uint64_t delayed;       /* times that the rate limit said to wait */

    bool busy; /* `request` is under way */
    struct blk_request request;
    struct iovec iov[BLK_QUEUE_MAX]; /* its pieces */
    struct limit rate;               /* what may pass */
    struct log_limit limit;          /* for saying what the host refused */
};

/*
 * Sets up `blk` as the disk in `options`, which are not kept. The capacity is
 * the file's size as it is now; bytes after the last whole sector are not part
 * of the disk. The device itself is `blk->dev`. Returns 0, -EINVAL for a bad
 * queue size or a file that is neither regular nor a block device,
 * -ENAMETOOLONG for the id, or what fstat or ioctl refused.
 */
MUST_CHECK int blk_init(struct blk *blk, const struct blk_options *options);

#endif
