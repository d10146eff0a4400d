/* SPDX-License-Identifier: MIT */
/* Devices, for drivers: finding them, both transports, what they can reach. */
#ifndef GUEST_RT_DEVICE_H
#define GUEST_RT_DEVICE_H

/*
 * A driver opens a device of the boot page's table, which brings it to
 * DRIVER_OK and its queues to life, and never closes it. Under the native
 * transport everything is ready before the guest runs, so opening costs no
 * exit; under virtio-mmio (`registers` in the device's entry) the device is
 * negotiated with and given memory for its queues here (mmio.c). From then on
 * a driver asks for kicks, configuration and events by the functions below and
 * need not know the difference.
 *
 * Drivers poll their rings or wait on the event word, and never acknowledge
 * InterruptStatus: the monitor raises the event for every notification, and
 * where another machine is below, the code that stands in for the monitor
 * acknowledges. A device belongs to one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypercall.h"
#include "ring.h"

struct device {
    const struct mf_device *entry; /* in the boot page; NULL: not open */
    volatile uint8_t *registers;   /* virtio-mmio; NULL: native transport */
    uint64_t features;             /* negotiated */
};

/*
 * Opens device number `index` of that type in the table: negotiates what it
 * offers of `wanted`, VIRTIO_F_VERSION_1 and VIRTIO_RING_F_EVENT_IDX, sets up
 * rings[i] over queue i for the first `ring_count` queues, and takes it to
 * DRIVER_OK (virtio 1.2, 3.1.1). Under the native transport it takes over what
 * the monitor has negotiated, which is all that was offered. A ring whose
 * queue the device does not have is left alone. Queues have what the device
 * allows, under virtio-mmio up to DEVICE_QUEUE_SIZE_MAX entries.
 *
 * Returns 0; -ENODEV if the table has no such device; -EIO if the device
 * refuses, or there is no memory for its queues.
 */
int device_open(struct device *device, uint32_t type, unsigned index,
                uint64_t wanted, struct ring *rings, unsigned ring_count);

#define DEVICE_QUEUE_SIZE_MAX 256u

/* Returns how many devices of that type the table has. */
unsigned device_count(uint32_t type);

/* Tells the device to look at this queue: one exit. */
void device_kick(const struct device *device, unsigned queue);

/*
 * Copies one field, or an array of bytes, out of the configuration space, as it
 * was at one moment (virtio 1.2, 2.5.3). Fields of 2, 4 and 8 bytes are read
 * by accesses of their own width, or of 4 bytes for 8 (4.2.2.2): everything
 * else by bytes.
 */
void device_read_config(const struct device *device, unsigned offset, void *to,
                        size_t bytes);

/* Whether the device has given up: DEVICE_NEEDS_RESET (2.1). */
bool device_is_broken(const struct device *device);

/*
 * Sleeps until the device has used a chain of `ring`, and clears its event.
 * Returns 0, or -EIO if it has given up.
 */
int device_wait(const struct device *device, struct ring *ring);

/* Returns the device's bit in the event word, as a mask. */
static inline uint64_t device_event(const struct device *device)
{
    return UINT64_C(1) << device->entry->event;
}

/* Returns whether feature bit `bit` was negotiated. */
static inline bool device_has_feature(const struct device *device, unsigned bit)
{
    return device->features >> bit & 1;
}

/* Entry `index` of the device table, whose entries may be longer than ours. */
static inline const struct mf_device *device_entry(uint32_t index)
{
    const struct mf_boot *boot = mf_boot_page();

    return (const struct mf_device *)((const char *)boot->devices +
                                      (size_t)index * boot->device_bytes);
}

/* Queue `index` of a device under the native transport. */
static inline const struct mf_queue *
device_queue(const struct mf_device *device, unsigned index)
{
    return (const struct mf_queue *)device->queues + index;
}

static inline bool device_is_within(uint64_t at, uint64_t bytes, uint64_t start,
                                    uint64_t end)
{
    return at >= start && at <= end && bytes <= end - at;
}

/* Whether a buffer is RAM above the system pages: devices refuse others. */
static inline bool device_can_reach(uint64_t at, uint64_t bytes)
{
    uint64_t mem_bytes = mf_boot_page()->mem_bytes;

    if (mem_bytes <= MF_RAM_LOW_END)
        return device_is_within(at, bytes, MF_BOOT_PAGE, mem_bytes);
    return device_is_within(at, bytes, MF_BOOT_PAGE, MF_RAM_LOW_END) ||
           device_is_within(at, bytes, MF_RAM_HIGH_BASE,
                            MF_RAM_HIGH_BASE + mem_bytes - MF_RAM_LOW_END);
}

#endif
