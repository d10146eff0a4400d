/* SPDX-License-Identifier: MIT */
/* The Linux driver and our device on one ring, and what both have to do. */
#ifndef TESTS_LINUX_RIG_H
#define TESTS_LINUX_RIG_H

/*
 * Each rig_...() does one thing on one side, draws the details, and checks what
 * comes of it: data, lengths, counts, and whether one side notifies the other.
 * A notification is right or wrong by what was asked for through the
 * interfaces, counted in 64 bits here; nothing is read from the ring.
 */

#include <criterion/criterion.h>

#include "tests/linux/arena.h"
#include "tests/linux/request.h"

/* What the driver said it wants to hear. */
enum rig_callbacks {
    RIG_OFF,
    RIG_ON,      /* the next used buffer, from `wish` on */
    RIG_DELAYED, /* the used buffer number `wish` */
};

/* A chain that the device has popped, and done. */
struct rig_popped {
    uint16_t head;
    uint32_t written;
};

struct rig {
    uint64_t random;
    uint32_t size;
    uint64_t features;
    struct gmem mem;
    struct driver *driver;
    struct virtq q;
    struct iovec *iov; /* `size` of them */

    uint64_t added, prepared, reaped;   /* buffers, by the driver */
    uint64_t popped, pushed, published; /* the same, by the device */
    uint64_t descriptors;               /* that the driver has in use */
    struct rig_popped *held;            /* popped and not pushed */
    uint32_t held_count;

    bool kicked;    /* the device has heard the driver */
    bool asleep;    /* ... and does nothing until then */
    bool quiet;     /* it asked for no kicks at all */
    uint64_t event; /* the buffer that it wants a kick for */

    enum rig_callbacks callbacks;
    uint64_t wish;
    uint64_t kicks, unkicked;      /* what the driver decided */
    uint64_t notified, suppressed; /* what the device decided */
    uint64_t off_since;            /* published when callbacks went off */
    uint64_t strays;               /* notifications since then */
};

/* The ring features of a case. */
#define RIG_INDIRECT  (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)
#define RIG_EVENT_IDX (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)

void rig_create(struct rig *rig, uint32_t size, uint64_t features);
void rig_destroy(struct rig *rig);

/* The driver adds a buffer. Returns whether there was room. */
bool rig_add(struct rig *rig, unsigned out, unsigned in, unsigned piece_max);

/* ... one of any shape. */
bool rig_add_any(struct rig *rig);

/* The driver finds out whether to kick, and does. */
void rig_kick(struct rig *rig);

/* The driver takes back up to `max` buffers. */
void rig_reap(struct rig *rig, uint64_t max);

/* The driver changes its mind about callbacks. */
void rig_change_callbacks(struct rig *rig);

/* The device takes and does up to `max` buffers. */
void rig_pop(struct rig *rig, uint64_t max);

/* The device gives back up to `max` of them in any order, and shows them. */
void rig_push(struct rig *rig, uint64_t max);

/* The device changes its mind about kicks, and may fall asleep. */
void rig_change_wish(struct rig *rig);

/* All that is added is done and taken back. */
void rig_finish(struct rig *rig);

#endif
