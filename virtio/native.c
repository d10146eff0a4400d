/* SPDX-License-Identifier: MIT */
/* The native transport: devices that are ready before the guest runs. */
#include "virtio/native.h"

#include <errno.h>

/* Fields that the driver accesses with one instruction each (2.5). */
#define CONFIG_ALIGN 8u

int native_init(struct native *native, const struct gmem *mem)
{
    *native = (struct native){.mem = mem};
    return event_init(&native->events, mem,
                      gpa(MF_BOOT_PAGE + offsetof(struct mf_boot, events)));
}

/* Takes `bytes` bytes of the device page. Returns their address, or 0. */
static uint64_t take_bytes(struct native *native, uint64_t bytes,
                           uint64_t align)
{
    uint64_t offset = round_up(native->used_bytes, align);

    if (bytes > MF_PAGE_BYTES || offset > MF_PAGE_BYTES - bytes)
        return 0;
    native->used_bytes = offset + bytes;
    return MF_DEVICE_PAGE + offset;
}

/* Finds room for one queue (virtio 1.2, 2.7) and enables it there. */
static int place_queue(struct native *native, struct vdev *dev, unsigned index,
                       gpa_t entry)
{
    uint32_t size = dev->queue_size_max[index];
    uint64_t desc =
        take_bytes(native, virtq_desc_bytes(size), VRING_DESC_ALIGN_SIZE);
    uint64_t avail =
        take_bytes(native, virtq_avail_bytes(size), VRING_AVAIL_ALIGN_SIZE);
    uint64_t used =
        take_bytes(native, virtq_used_bytes(size), VRING_USED_ALIGN_SIZE);
    struct mf_queue queue = {desc, avail, used, size, 0};
    struct virtq_layout layout = {gpa(desc), gpa(avail), gpa(used), size};
    int error;

    if (!desc || !avail || !used)
        return -ENOSPC;
    error = vdev_enable_queue(dev, index, &layout);
    if (error)
        return error;
    return gmem_write(native->mem, entry, &queue, sizeof(queue));
}

static int place_queues(struct native *native, struct vdev *dev,
                        uint64_t *queues)
{
    unsigned count = dev->class->queue_count;

    *queues = take_bytes(native, count * sizeof(struct mf_queue),
                         _Alignof(struct mf_queue));
    if (!*queues)
        return -ENOSPC;
    for (unsigned i = 0; i < count; i++) {
        gpa_t entry = gpa(*queues + i * sizeof(struct mf_queue));
        int error = place_queue(native, dev, i, entry);

        if (error)
            return error;
    }
    return 0;
}

static int place_config(struct native *native, const struct vdev *dev,
                        uint64_t *config)
{
    unsigned bytes = dev->class->config_bytes;
    uint8_t copy[64];

    bug_on(bytes > sizeof(copy));
    *config = take_bytes(native, bytes, CONFIG_ALIGN);
    if (!*config)
        return -ENOSPC;
    vdev_read_config(dev, 0, copy, bytes);
    return gmem_write(native->mem, gpa(*config), copy, bytes);
}

/* Adds the finished entry to the table in the boot page. */
static int write_entry(struct native *native, const struct mf_device *entry)
{
    gpa_t devices = gpa(MF_BOOT_PAGE + offsetof(struct mf_boot, devices));
    gpa_t counts = gpa(MF_BOOT_PAGE + offsetof(struct mf_boot, device_count));
    uint32_t count_and_bytes[2] = {native->count + 1, sizeof(*entry)};
    int error;

    error = gmem_write(native->mem,
                       gpa_add(devices, native->count * sizeof(*entry)), entry,
                       sizeof(*entry));
    if (error)
        return error;
    return gmem_write(native->mem, counts, count_and_bytes,
                      sizeof(count_and_bytes));
}

int native_add(struct native *native, struct vdev *dev, uint32_t flags)
{
    struct mf_device entry = {
        .type = dev->class->type,
        .flags = flags,
        .features = dev->offered,
        .doorbell = native->count,
        .event = native->count,
        .queue_count = dev->class->queue_count,
        .config_bytes = dev->class->config_bytes,
    };
    int error;

    if (native->count == MF_DEVICES_MAX)
        return -ENOSPC;

    /* What a driver would do, step by step (virtio 1.2, 3.1.1). */
    vdev_bind(dev, native->mem, &native->events, entry.event);
    vdev_reset(dev);
    vdev_set_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    vdev_set_status(dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(dev, dev->offered);
    vdev_set_status(dev, VIRTIO_CONFIG_S_FEATURES_OK);
    error = place_queues(native, dev, &entry.queues);
    if (error)
        return error;
    error = place_config(native, dev, &entry.config);
    if (error)
        return error;
    error = write_entry(native, &entry);
    if (error)
        return error;
    vdev_set_status(dev, VIRTIO_CONFIG_S_DRIVER_OK);

    native->devices[native->count++] = dev;
    /* A first look at the empty rings: the device says when to kick it. */
    return vdev_serve(dev);
}

int native_kick(struct native *native, uint64_t doorbells)
{
    for (unsigned i = 0; i < native->count; i++) {
        int error = 0;

        if (doorbells & UINT64_C(1) << i)
            error = vdev_serve(native->devices[i]);
        if (error)
            return error;
    }
    return 0;
}

int native_serve(struct native *native)
{
    return native_kick(native, UINT64_MAX);
}
