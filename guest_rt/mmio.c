/* SPDX-License-Identifier: MIT */
/* The driver's side of virtio-mmio, version 2 (virtio 1.2, 4.2). */
#include "mmio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/mman.h>

#include "device.h"
#include "syscalls.h"

/* In every image: rather small than fast. */
#pragma GCC optimize("Os")

#define MAGIC   0x74726976u /* "virt" */
#define VERSION 2u

/*
 * Every image that has a driver has this file, whatever the transport is that
 * it will meet: small counts for more than fast, of which the exits leave
 * nothing anyway.
 */
#define SMALL __attribute__((cold, noinline))

SMALL static uint32_t read_register(volatile uint8_t *registers, unsigned at)
{
    return mmio_get(registers + at, sizeof(uint32_t));
}

SMALL static void write_register(volatile uint8_t *registers, unsigned at,
                                 uint32_t value)
{
    mmio_put(registers + at, value);
}

/* A 64-bit value in two registers, the lower half first. */
SMALL static void write_pair(volatile uint8_t *registers, unsigned at,
                             const void *value)
{
    write_register(registers, at, (uint32_t)(uintptr_t)value);
    write_register(registers, at + 4, (uint32_t)((uintptr_t)value >> 32));
}

SMALL static void add_status(volatile uint8_t *registers, uint32_t bits)
{
    write_register(registers, VIRTIO_MMIO_STATUS,
                   read_register(registers, VIRTIO_MMIO_STATUS) | bits);
}

/* ---- Opening --------------------------------------------------------- */

/* 4.2.3.2; the queue has been selected. Returns 0 or -EIO. */
SMALL static int open_queue(volatile uint8_t *registers, struct ring *ring,
                            uint32_t size, uint64_t features)
{
    size_t avail_at = size * sizeof(struct vring_desc);
    size_t used_at =
        (avail_at + (size + 3) * sizeof(uint16_t) + VRING_USED_ALIGN_SIZE - 1) &
        -(size_t)VRING_USED_ALIGN_SIZE;
    size_t bytes = used_at + (size + 1) * sizeof(struct vring_used_elem);
    long at = __mayfly_sys_mmap(0, (long)bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct mf_queue queue = {
        .desc = (uint64_t)at,
        .avail = (uint64_t)at + avail_at,
        .used = (uint64_t)at + used_at,
        .size = size,
    };

    if (at < 0)
        return -EIO;
    ring_init(ring, &queue, features);
    write_register(registers, VIRTIO_MMIO_QUEUE_NUM, size);
    write_pair(registers, VIRTIO_MMIO_QUEUE_DESC_LOW, ring->desc);
    write_pair(registers, VIRTIO_MMIO_QUEUE_AVAIL_LOW, ring->avail);
    write_pair(registers, VIRTIO_MMIO_QUEUE_USED_LOW, ring->used);
    write_register(registers, VIRTIO_MMIO_QUEUE_READY, 1);
    return 0;
}

SMALL static int open_queues(volatile uint8_t *registers, struct ring *rings,
                             unsigned count, uint64_t features)
{
    int error = 0;

    for (unsigned i = 0; i < count && !error; i++) {
        uint32_t size;

        write_register(registers, VIRTIO_MMIO_QUEUE_SEL, i);
        size = read_register(registers, VIRTIO_MMIO_QUEUE_NUM_MAX);
        if (size > DEVICE_QUEUE_SIZE_MAX)
            size = DEVICE_QUEUE_SIZE_MAX;
        if (size)
            error = open_queue(registers, &rings[i], size, features);
    }
    return error;
}

/* Returns what was agreed on, or 0. */
SMALL static uint64_t negotiate(volatile uint8_t *registers, uint64_t wanted)
{
    uint64_t features = 0;

    for (unsigned i = 0; i < 2; i++) {
        uint32_t half = (uint32_t)(wanted >> 32 * i);

        write_register(registers, VIRTIO_MMIO_DEVICE_FEATURES_SEL, i);
        half &= read_register(registers, VIRTIO_MMIO_DEVICE_FEATURES);
        write_register(registers, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
        write_register(registers, VIRTIO_MMIO_DRIVER_FEATURES, half);
        features |= (uint64_t)half << 32 * i;
    }
    add_status(registers, VIRTIO_CONFIG_S_FEATURES_OK);
    if (!(read_register(registers, VIRTIO_MMIO_STATUS) &
          VIRTIO_CONFIG_S_FEATURES_OK))
        return 0;
    return features >> VIRTIO_F_VERSION_1 & 1 ? features : 0;
}

SMALL int mmio_open(volatile uint8_t *registers, uint32_t type, uint64_t wanted,
                    struct ring *rings, unsigned ring_count, uint64_t *features)
{
    if (read_register(registers, VIRTIO_MMIO_MAGIC_VALUE) != MAGIC ||
        read_register(registers, VIRTIO_MMIO_VERSION) != VERSION ||
        read_register(registers, VIRTIO_MMIO_DEVICE_ID) != type)
        return -ENODEV;
    /* 3.1.1, step by step. */
    write_register(registers, VIRTIO_MMIO_STATUS, 0);
    while (read_register(registers, VIRTIO_MMIO_STATUS))
        __builtin_ia32_pause();
    add_status(registers, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    add_status(registers, VIRTIO_CONFIG_S_DRIVER);
    *features =
        negotiate(registers, wanted | UINT64_C(1) << VIRTIO_F_VERSION_1 |
                                 UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
    if (!*features || open_queues(registers, rings, ring_count, *features)) {
        add_status(registers, VIRTIO_CONFIG_S_FAILED);
        return -EIO;
    }
    add_status(registers, VIRTIO_CONFIG_S_DRIVER_OK);
    return 0;
}

/* ---- At work --------------------------------------------------------- */

void mmio_kick(volatile uint8_t *registers, unsigned queue)
{
    write_register(registers, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

bool mmio_is_broken(volatile uint8_t *registers)
{
    return read_register(registers, VIRTIO_MMIO_STATUS) &
           VIRTIO_CONFIG_S_NEEDS_RESET;
}

SMALL void mmio_read_config(volatile uint8_t *registers, unsigned offset,
                            void *to, size_t bytes)
{
    volatile uint8_t *config = registers + VIRTIO_MMIO_CONFIG + offset;
    size_t width = bytes == 8 ? 4 : bytes == 2 || bytes == 4 ? bytes : 1;
    uint32_t generation;

    do {
        generation = read_register(registers, VIRTIO_MMIO_CONFIG_GENERATION);
        for (size_t at = 0; at < bytes; at += width) {
            uint32_t piece = mmio_get(config + at, width);

            memcpy((char *)to + at, &piece, width);
        }
    } while (generation !=
             read_register(registers, VIRTIO_MMIO_CONFIG_GENERATION));
}
