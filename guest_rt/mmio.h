/* SPDX-License-Identifier: MIT */
/* The driver's side of virtio-mmio, version 2 (virtio 1.2, 4.2). */
#ifndef GUEST_RT_MMIO_H
#define GUEST_RT_MMIO_H

/*
 * What device.c does where a device has registers instead of queues in the
 * table. Every access is an exit.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"

/*
 * Resets the device and brings it to DRIVER_OK, with `wanted` of its features,
 * and the rings as device_open() has them. Returns 0 with what was negotiated
 * in `*features`, -ENODEV if there is nothing of that type, or -EIO.
 */
int mmio_open(volatile uint8_t *registers, uint32_t type, uint64_t wanted,
              struct ring *rings, unsigned ring_count, uint64_t *features);

/*
 * Reads a register of 1, 2 or 4 bytes, or writes one of 4, with one access of
 * that width. Functions of their own (mmio_access.c) so that a test on the host
 * can link others.
 */
uint32_t mmio_get(volatile const uint8_t *at, size_t bytes);
void mmio_put(volatile uint8_t *at, uint32_t value);

/* QueueNotify. */
void mmio_kick(volatile uint8_t *registers, unsigned queue);

/* As device_read_config(). */
void mmio_read_config(volatile uint8_t *registers, unsigned offset, void *to,
                      size_t bytes);

/* As device_is_broken(). */
bool mmio_is_broken(volatile uint8_t *registers);

#endif
