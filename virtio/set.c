/* SPDX-License-Identifier: MIT */
/* A VM's devices: served, waited for and made ready several at a time. */
#include "virtio/set.h"

#include <errno.h>

static bool is_in(uint64_t mask, unsigned index)
{
    return mask >> index & 1;
}

int vdev_set_add(struct vdev_set *set, struct vdev *dev)
{
    if (set->count == MF_DEVICES_MAX)
        return -ENOSPC;
    set->devices[set->count] = dev;
    return (int)set->count++;
}

int vdev_set_serve(struct vdev_set *set, uint64_t mask)
{
    int result = 0;

    /* Each has its turn, however much another one has to do. */
    for (unsigned i = 0; i < set->count; i++) {
        int error = is_in(mask, i) ? vdev_serve(set->devices[i]) : 0;

        if (error)
            result = error;
    }
    return result;
}

void vdev_set_count_kicks(struct vdev_set *set, uint64_t mask)
{
    for (unsigned i = 0; i < set->count; i++)
        if (is_in(mask, i))
            set->devices[i]->kicks++;
}

void vdev_set_poll(struct vdev_set *set, uint64_t mask, bool polled)
{
    for (unsigned i = 0; i < set->count; i++)
        if (is_in(mask, i))
            vdev_poll(set->devices[i], polled);
}

uint64_t vdev_set_want(struct vdev_set *set, uint64_t mask,
                       struct pollfd *files)
{
    uint64_t wake_ns = VDEV_NEVER;

    for (unsigned i = 0; i < set->count; i++) {
        files[i] = (struct pollfd){.fd = -1};
        if (!is_in(mask, i))
            continue;
        vdev_want(set->devices[i], &files[i]);
        wake_ns = min_u64(wake_ns, set->devices[i]->wake_ns);
    }
    return wake_ns;
}

int vdev_set_ready(struct vdev_set *set, const struct pollfd *files)
{
    int result = 0;

    for (unsigned i = 0; i < set->count; i++) {
        int error = 0;

        if (files[i].fd >= 0 && files[i].revents)
            error = vdev_ready(set->devices[i]);
        if (error)
            result = error;
    }
    return result;
}

uint64_t vdev_set_progress(const struct vdev_set *set, uint64_t mask)
{
    uint64_t chains = 0;

    for (unsigned i = 0; i < set->count; i++)
        if (is_in(mask, i))
            chains += vdev_progress(set->devices[i]);
    return chains;
}
