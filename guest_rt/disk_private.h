/* SPDX-License-Identifier: MIT */
/* What the disks' driver shares: a disk, its requests in flight. */
#ifndef GUEST_RT_DISK_PRIVATE_H
#define GUEST_RT_DISK_PRIVATE_H

#include <mayfly/disk.h>

#include "device.h"
#include "disk_list.h"
#include "poll.h"
#include "ring.h"
#include "sched.h"

/*
 * Several threads may be in here: one waits for its request, and what it takes
 * back meanwhile may be another's. Programs get theirs by disk_complete(), in
 * the order in which they end; the simple functions wait for their own.
 */
enum { OF_PROGRAM, OF_CALL, OF_CALL_ENDED };

/* An operation of this driver's own: DISK_ID_BYTES into the buffer. */
#define GET_ID ((enum disk_op)(DISK_WRITE_ZEROES_UNMAP + 1))

/* What a simple function has in use, where the device can reach it. */
struct call {
    struct mutex mutex; /* the next one with the same waits */
    struct disk_request request;
    char id[DISK_ID_BYTES];
};

#define CALLS 16u /* at the same time, each with a few descriptors */

struct disk {
    struct device device; /* entry NULL: not looked for yet */
    struct ring ring;
    struct poll poll;
    struct list in_flight;
    struct list ended; /* and not returned yet */
    bool kick_owed;    /* chains are shown that the device must be told of */
    bool broken;       /* it has given up */
    unsigned calls;    /* made so far */
    struct call call[CALLS];
    uint64_t sectors;
    uint32_t block_bytes;
    uint32_t part_max;    /* sectors of one chain */
    uint32_t piece_bytes; /* of one buffer at most, whole sectors */
    uint32_t discard_max; /* sectors of one range; 0: it cannot */
    uint32_t zeroes_max;  /* likewise */
};

/* Sets `*found` to the disk, ready for requests. Returns 0 or -errno. */
int disk_get(unsigned index, struct disk **found);

/* Shows a request to the device. Returns 0, -EAGAIN (no room) or -errno. */
int disk_begin(struct disk *disk, struct disk_request *request);

/*
 * One step towards the end of what is in flight: a kick, if one is owed, which
 * may be all that it takes; else a wait for the next chain.
 */
void disk_step(struct disk *disk);

#endif
