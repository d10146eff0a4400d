/* SPDX-License-Identifier: MIT */
/* The device table and what its devices can reach, for drivers. */
#ifndef GUEST_RT_DEVICE_H
#define GUEST_RT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypercall.h"

/* Entry `index` of the device table, whose entries may be longer than ours. */
static inline const struct mf_device *device_entry(uint32_t index)
{
    const struct mf_boot *boot = mf_boot_page();

    return (const struct mf_device *)((const char *)boot->devices +
                                      (size_t)index * boot->device_bytes);
}

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
