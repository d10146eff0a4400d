/* SPDX-License-Identifier: MIT */
/* The native transport: devices that are ready before the guest runs. */
#ifndef VIRTIO_NATIVE_H
#define VIRTIO_NATIVE_H

/*
 * Instead of registers for a driver to probe, the boot page has a table of
 * devices (struct mf_device in <mayfly/abi.h>). The monitor chooses the
 * features, places the queues in the device page, or in the pages for rings
 * (MF_RINGS) when that is full, and takes every device to DRIVER_OK before the
 * first guest instruction. The table is written and
 * never read: what a guest changes there, it changes for itself.
 *
 * Doorbells (MF_HC_KICK) and event bits are numbered in the order of
 * native_add(). A transport belongs to the thread that builds the VM; what it
 * does for a device later belongs to the thread that has the device.
 */

#include <mayfly/abi.h>

#include "virtio/set.h"

#define NATIVE_AREAS 2u /* the device page, the pages for rings */

/* Where a device's driver is told of it. */
struct native_place {
    uint64_t entry;  /* its struct mf_device */
    uint64_t config; /* its configuration space */
    uint32_t flags;  /* MF_DEVICE_* */
};

struct native {
    const struct gmem *mem; /* what devices may reach */
    struct event_word events;
    struct vdev_set set; /* the devices, in the order of the table */
    struct native_place places[MF_DEVICES_MAX];
    uint64_t free[NATIVE_AREAS]; /* the first free address of each */
};

/*
 * Starts with no devices. Devices write wherever the guest tells them to, so
 * `mem` must have only what the guest itself may write: no descriptor tables,
 * no page tables. It outlives the transport, whose address does not change
 * from here on. Returns 0, or -EFAULT if there is no boot page.
 */
MUST_CHECK int native_init(struct native *native, const struct gmem *mem);

/*
 * Adds a device, which outlives the transport: negotiates all that it offers,
 * lays out its queues at their largest size, writes its entry with `flags`
 * (MF_DEVICE_*), and makes it live. Guest memory is expected to be zero there.
 * Returns 0, -ENOSPC if the table or the room for queues is full, or -EFAULT
 * if they are not inside the guest's memory.
 */
MUST_CHECK int native_add(struct native *native, struct vdev *dev,
                          uint32_t flags);

/* A device behind this transport, for another VM to go on with. */
struct native_state {
    uint64_t config; /* address of its configuration space */
    uint32_t flags;  /* MF_DEVICE_* */
    uint32_t reserved;
    struct vdev_state dev;
};

/* Stores the state of the device with number `index`: see vdev_save(). */
void native_save(const struct native *native, unsigned index,
                 struct native_state *state);

/*
 * Adds a device that goes on with `state`, which may be anything, in memory
 * that has the rest of it; its entry gets `flags`. Returns 0, -ENOSPC, -EFAULT,
 * or what vdev_load() returns.
 */
MUST_CHECK int native_load(struct native *native, struct vdev *dev,
                           uint32_t flags, const struct native_state *state);

/*
 * Goes on with `state` once more in a device that native_load() has added, in
 * memory that has the rest of it again. Returns as vdev_load() does.
 */
MUST_CHECK int native_reload(struct native *native, unsigned index,
                             const struct native_state *state);

/*
 * Adds a device that its driver brings up through registers at `address`
 * (virtio-mmio): writes its entry with `flags`, and binds and resets it with
 * `transport`. Returns 0, -ENOSPC or -EFAULT as native_add() does.
 */
MUST_CHECK int native_add_registers(struct native *native, struct vdev *dev,
                                    uint32_t flags, uint64_t address,
                                    const struct vdev_transport *transport);

#endif
