/* SPDX-License-Identifier: MIT */
/* The virtio-mmio transport, version 2: one device's registers. */
#ifndef VIRTIO_MMIO_H
#define VIRTIO_MMIO_H

/*
 * The driver finds MF_REGISTERS_BYTES bytes of registers (virtio 1.2, 4.2.2)
 * at an address behind which there is no memory. Each access traps, whoever
 * runs the VM calls mmio_read() or mmio_write(), and the driver takes the
 * device through the standard start by itself. Nothing is kept in guest memory:
 * what the registers show is read from the device at that moment.
 *
 * What a driver does wrongly has no effect:
 *
 * - A control register is accessed as 32 bits at its address. Anything else,
 *   what the table does not list, and the wrong direction, reads as 0 and
 *   writes nothing. The configuration space from 0x100 on takes 1, 2, 4 or 8
 *   bytes at a multiple of that.
 * - QueueReady becomes 1 only between FEATURES_OK and DRIVER_OK, with a valid
 *   size and three areas that lie in guest memory; otherwise it stays 0, a
 *   limited log says why, and the driver may try again.
 * - Size and addresses of a ready queue do not change.
 * - Writing 0 to QueueReady stops the queue (4.2.2.2). On a live device that
 *   takes NEEDS_RESET along: without RING_RESET, which is not offered, a queue
 *   cannot come back, and what the device had taken from it is never finished.
 * - Features above bit 63 do not exist; a driver that accepts one does not get
 *   FEATURES_OK before the next reset.
 *
 * A device may be served by one thread while another one accesses its
 * registers: both take the device's lock. Only what mmio_needs_lock() names
 * (InterruptStatus, InterruptACK, QueueNotify) is safe without.
 */

#include <mayfly/abi.h>

#include "virtio/device.h"

#define MMIO_VENDOR UINT32_C(0x594c464d) /* the bytes "MFLY" */

/* What a driver has written for one queue: sizes and addresses. */
enum mmio_queue_word {
    MMIO_QUEUE_SIZE,
    MMIO_QUEUE_DESC, /* low half, the high half follows ... */
    MMIO_QUEUE_DESC_HIGH,
    MMIO_QUEUE_AVAIL, /* ... here and */
    MMIO_QUEUE_AVAIL_HIGH,
    MMIO_QUEUE_USED, /* here, too */
    MMIO_QUEUE_USED_HIGH,
    MMIO_QUEUE_WORDS,
};

/* What the driver has written since the last reset, apart from struct vdev. */
enum mmio_select {
    MMIO_SELECT_DEVICE_FEATURES, /* DeviceFeaturesSel */
    MMIO_SELECT_DRIVER_FEATURES, /* DriverFeaturesSel */
    MMIO_SELECT_QUEUE,           /* QueueSel */
    MMIO_SELECTS,
};

struct mmio_driver {
    uint32_t select[MMIO_SELECTS];
    uint32_t queues[VDEV_QUEUES_MAX][MMIO_QUEUE_WORDS];
    bool unknown_features; /* accepted one above bit 63 */
};

struct mmio {
    struct vdev *dev; /* NULL: a placeholder, whose DeviceID is 0 */
    struct mmio_driver driver;
    struct log_limit limit; /* for what the driver does wrongly */
};

/* What the caller of mmio_write() has to see to; bits. */
enum mmio_effect {
    MMIO_KICKED = 1u << 0, /* the driver notified a queue: serve the device */
    MMIO_STATUS = 1u << 1, /* reset or live, perhaps: serve it once as well */
};

/* For vdev_bind(): nothing is to be told, the registers are read when asked. */
extern const struct vdev_transport mmio_transport;

/*
 * Sets up the registers of `dev`, which outlives them, is bound with
 * mmio_transport and in the state after a reset. NULL: an empty place (4.2.2,
 * DeviceID).
 */
void mmio_init(struct mmio *mmio, struct vdev *dev);

/* Whether an access at `offset` needs the device's lock. Any thread. */
bool mmio_needs_lock(uint64_t offset);

/*
 * The driver reads `bytes` (1 to 8) bytes at `offset` from the start of the
 * registers; they are stored in `data`, all of them.
 */
void mmio_read(struct mmio *mmio, uint64_t offset, void *data, unsigned bytes);

/*
 * The driver writes `bytes` (1 to 8) bytes at `offset`. Returns a set of enum
 * mmio_effect bits; serving a device that is not live does nothing, so they
 * can be followed without further questions.
 */
MUST_CHECK unsigned mmio_write(struct mmio *mmio, uint64_t offset,
                               const void *data, unsigned bytes);

#endif
