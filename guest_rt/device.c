/* SPDX-License-Identifier: MIT */
/* Devices, for drivers: finding them, both transports. */
#include "device.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "mmio.h"
#include "thread.h"

/* In every image: rather small than fast. */
#pragma GCC optimize("Os")

/* Entry number `index` of that type, or NULL. */
static const struct mf_device *find_entry(uint32_t type, unsigned index)
{
    uint32_t count = mf_boot_page()->device_count;

    for (uint32_t i = 0; i < count; i++)
        if (device_entry(i)->type == type && index-- == 0)
            return device_entry(i);
    return NULL;
}

unsigned device_count(uint32_t type)
{
    unsigned count = 0;

    while (find_entry(type, count))
        count++;
    return count;
}

int device_open(struct device *device, uint32_t type, unsigned index,
                uint64_t wanted, struct ring *rings, unsigned ring_count)
{
    const struct mf_device *entry = find_entry(type, index);

    if (!entry)
        return -ENODEV;
    *device = (struct device){
        .entry = entry,
        .registers = (volatile uint8_t *)entry->registers,
        .features = entry->features,
    };
    if (device->registers)
        return mmio_open(device->registers, type, wanted, rings, ring_count,
                         &device->features);
    for (unsigned i = 0; i < ring_count && i < entry->queue_count; i++)
        if (device_queue(entry, i)->size > 0)
            ring_init(&rings[i], device_queue(entry, i), entry->features);
    return 0;
}

void device_kick(const struct device *device, unsigned queue)
{
    if (device->registers)
        mmio_kick(device->registers, queue);
    else
        mf_hypercall(MF_HC_KICK, UINT64_C(1) << device->entry->doorbell, 0);
}

void device_read_config(const struct device *device, unsigned offset, void *to,
                        size_t bytes)
{
    const struct mf_device *entry = device->entry;
    uint32_t generation;

    if (device->registers) {
        mmio_read_config(device->registers, offset, to, bytes);
        return;
    }
    do {
        /* Partner: the monitor's release, when it has written. */
        while ((generation =
                    __atomic_load_n(&entry->generation, __ATOMIC_ACQUIRE)) &
               1)
            __builtin_ia32_pause();
        memcpy(to, (const char *)entry->config + offset, bytes);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (__atomic_load_n(&entry->generation, __ATOMIC_RELAXED) !=
             generation);
}

bool device_is_broken(const struct device *device)
{
    if (device->registers)
        return mmio_is_broken(device->registers);
    return __atomic_load_n(&device->entry->status, __ATOMIC_RELAXED) &
           VIRTIO_CONFIG_S_NEEDS_RESET;
}

int device_wait(const struct device *device, struct ring *ring)
{
    uint64_t *events = &mf_boot_page()->events;

    if (sched_wait_for_device)
        return sched_wait_for_device(device, ring);
    for (;;) {
        uint64_t until_ns = mf_sleep_deadline(MF_WAIT_FOREVER);
        /*
         * Clear, then look, then wait on what the word was: an event that
         * comes after the look changes the word. Partner: event_raise().
         */
        uint64_t seen =
            __atomic_and_fetch(events, ~device_event(device), __ATOMIC_ACQ_REL);

        if (ring_want_event(ring))
            return 0;
        if (device_is_broken(device))
            return -EIO;
        mf_hypercall(MF_HC_WAIT, seen, until_ns);
    }
}
