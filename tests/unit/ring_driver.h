/* SPDX-License-Identifier: MIT */
/* The memory and the rings of a hand-written driver, for tests of a device. */
#ifndef TESTS_UNIT_RING_DRIVER_H
#define TESTS_UNIT_RING_DRIVER_H

/*
 * Who includes this has defined before:
 *
 *   DRIVEN          the device, a struct vdev
 *   DRIVEN_QUEUES   how many queues it has
 */

#include <criterion/criterion.h>
#include <string.h>

#include "virtio/device.h"
#include "vmm/base/log.h"

#define RAM_BASE  UINT64_C(0x100000)
#define RAM_BYTES UINT64_C(0x400000)
#define EVENTS    RAM_BASE
#define QUEUE(n)  (RAM_BASE + 0x10000 * (1 + (n)))
#define DESC(n)   QUEUE(n)
#define AVAIL(n)  (QUEUE(n) + 0x4000)
#define USED(n)   (QUEUE(n) + 0x8000)
#define RX_DATA   (RAM_BASE + 0x100000)
#define TX_DATA   (RAM_BASE + 0x200000)
#define NEXT      VRING_DESC_F_NEXT
#define WRITE     VRING_DESC_F_WRITE

static _Alignas(4096) uint8_t ram[RAM_BYTES];
static const struct gmem mem = {
    .regions = {{.base = RAM_BASE, .bytes = RAM_BYTES, .host = ram}},
    .count = 1,
};
static struct event_word events;
static unsigned next_desc[DRIVEN_QUEUES];
static uint16_t seen[DRIVEN_QUEUES]; /* used elements that the driver saw */
static unsigned lines;               /* of log */

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

/* Resets the device, and drives it with these features. */
static inline void bring_up_with(uint64_t features)
{
    memset(ram, 0, 0x100000);
    memset(next_desc, 0, sizeof(next_desc));
    memset(seen, 0, sizeof(seen));
    cr_assert_eq(event_init(&events, &mem, gpa(EVENTS)), 0);
    vdev_bind(&DRIVEN, &mem, &events, 3, NULL);
    vdev_set_status(&DRIVEN, 0);
    vdev_set_status(&DRIVEN, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    vdev_set_status(&DRIVEN, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(&DRIVEN, features);
    vdev_set_status(&DRIVEN, VIRTIO_CONFIG_S_FEATURES_OK);
    cr_assert(DRIVEN.status & VIRTIO_CONFIG_S_FEATURES_OK);
    for (unsigned i = 0; i < DRIVEN_QUEUES; i++) {
        struct virtq_layout layout = {gpa(DESC(i)), gpa(AVAIL(i)), gpa(USED(i)),
                                      DRIVEN.queue_size_max[i]};

        cr_assert_eq(vdev_enable_queue(&DRIVEN, i, &layout), 0);
    }
    vdev_set_status(&DRIVEN, VIRTIO_CONFIG_S_DRIVER_OK);
}

/* ---- Rings -------------------------------------------------------------- */

static inline struct vring_desc *desc(unsigned q, unsigned n)
{
    return (struct vring_desc *)at(DESC(q)) + n % DRIVEN.queue_size_max[q];
}

/* Adds a buffer to the chain that is being made. */
static inline void add(unsigned q, uint64_t address, uint64_t bytes,
                       unsigned flags)
{
    unsigned n = next_desc[q]++;

    *desc(q, n) =
        (struct vring_desc){address, (uint32_t)bytes, (uint16_t)(flags | NEXT),
                            (uint16_t)((n + 1) % DRIVEN.queue_size_max[q])};
}

/* The chain from descriptor `head` to the last one added is available. */
static inline void submit(unsigned q, unsigned head)
{
    struct vring_avail *avail = at(AVAIL(q));
    unsigned size = DRIVEN.queue_size_max[q];

    desc(q, next_desc[q] - 1)->flags &= (uint16_t)~NEXT;
    avail->ring[avail->idx % size] = (uint16_t)(head % size);
    avail->idx++;
}

static inline void post(unsigned q, uint64_t address, uint64_t bytes,
                        unsigned flags)
{
    unsigned head = next_desc[q];

    add(q, address, bytes, flags);
    submit(q, head);
}

static inline uint16_t used_count(unsigned q)
{
    return ((struct vring_used *)at(USED(q)))->idx;
}

/* Used element `n` since the start. */
static inline struct vring_used_elem used_elem(unsigned q, unsigned n)
{
    struct vring_used *used = at(USED(q));

    return used->ring[n % DRIVEN.queue_size_max[q]];
}

/* The driver wants to be told when the used index passes `index`. */
static inline void want_event(unsigned q, uint16_t index)
{
    struct vring_avail *avail = at(AVAIL(q));

    avail->ring[DRIVEN.queue_size_max[q]] = index;
}

static inline uint16_t avail_event(unsigned q)
{
    struct vring_used *used = at(USED(q));

    return *(uint16_t *)&used->ring[DRIVEN.queue_size_max[q]];
}

/* Whether making one more chain available will make the driver kick. */
static inline bool kicks_next(unsigned q)
{
    struct vring_avail *avail = at(AVAIL(q));

    return vring_need_event(avail_event(q), (uint16_t)(avail->idx + 1),
                            avail->idx);
}

#endif
