/* SPDX-License-Identifier: MIT */
/* A VM's devices: served, waited for and made ready several at a time. */
#ifndef VIRTIO_SET_H
#define VIRTIO_SET_H

/*
 * A device's number in the set is also the bit of its doorbell and of its
 * event. Every function takes the devices that it is about as a mask of such
 * bits; others are not touched, so that two threads may each have their share.
 */

#include <mayfly/abi.h>

#include "virtio/device.h"

#define VDEV_SET_ALL UINT64_MAX

struct vdev_set {
    struct vdev *devices[MF_DEVICES_MAX]; /* they outlive the set */
    unsigned count;
};

/* Adds a device, whose number it returns, or -ENOSPC. */
MUST_CHECK int vdev_set_add(struct vdev_set *set, struct vdev *dev);

/*
 * Serves the devices in `mask`, each once, in order. Returns 0, or -EINTR if
 * one has more to do: the caller looks whether the VM is to end, and calls
 * again.
 */
MUST_CHECK int vdev_set_serve(struct vdev_set *set, uint64_t mask);

/* Counts a kick for each device in `mask`. */
void vdev_set_count_kicks(struct vdev_set *set, uint64_t mask);

/* Whether somebody looks at the rings all the time: see vdev_poll(). */
void vdev_set_poll(struct vdev_set *set, uint64_t mask, bool polled);

/*
 * What to wait for: fills files[n] for device n of the set, with fd -1 if that
 * is not in `mask` or wants nothing; `files` has room for set->count. Returns
 * the host time at which a device in `mask` is to be served, or VDEV_NEVER.
 */
uint64_t vdev_set_want(struct vdev_set *set, uint64_t mask,
                       struct pollfd *files);

/*
 * After a poll of `files`: lets the devices whose file is ready go on. Returns
 * as vdev_set_serve() does.
 */
MUST_CHECK int vdev_set_ready(struct vdev_set *set, const struct pollfd *files);

/* Chains that the devices in `mask` have given back so far. */
uint64_t vdev_set_progress(const struct vdev_set *set, uint64_t mask);

#endif
