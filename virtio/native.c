/* SPDX-License-Identifier: MIT */
/* The native transport: devices that are ready before the guest runs. */
#include "virtio/native.h"

#include <errno.h>

/* Fields that the driver accesses with one instruction each (2.5). */
#define CONFIG_ALIGN 8u

#define CONFIG_BYTES_MAX 128u /* of any device here */

int native_init(struct native *native, const struct gmem *mem)
{
    *native = (struct native){.mem = mem, .free = {MF_DEVICE_PAGE, MF_RINGS}};
    return event_init(&native->events, mem,
                      gpa(MF_BOOT_PAGE + offsetof(struct mf_boot, events)));
}

/* Where the parts of one device go. */
struct placement {
    uint64_t queues; /* struct mf_queue, one a queue */
    uint64_t config;
    struct mf_queue queue[VDEV_QUEUES_MAX];
    uint64_t end; /* behind the last part */
};

/* Takes the next `bytes` bytes behind `*end`. Returns their address. */
static uint64_t take_bytes(uint64_t *end, uint64_t bytes, uint64_t align)
{
    uint64_t at = round_up(*end, align);

    *end = at + bytes;
    return at;
}

/* Lays out a device from `start` on (rings: virtio 1.2, 2.7). */
static void lay_out(const struct vdev *dev, uint64_t start,
                    struct placement *placement)
{
    unsigned count = dev->class->queue_count;
    uint64_t end = start;

    placement->queues = take_bytes(&end, count * sizeof(struct mf_queue),
                                   _Alignof(struct mf_queue));
    for (unsigned i = 0; i < count; i++) {
        uint32_t size = dev->queue_size_max[i];
        struct mf_queue *queue = &placement->queue[i];

        *queue = (struct mf_queue){.size = size};
        if (size == 0)
            continue; /* the device has no queue of this number */
        queue->desc =
            take_bytes(&end, virtq_desc_bytes(size), VRING_DESC_ALIGN_SIZE);
        queue->avail =
            take_bytes(&end, virtq_avail_bytes(size), VRING_AVAIL_ALIGN_SIZE);
        queue->used =
            take_bytes(&end, virtq_used_bytes(size), VRING_USED_ALIGN_SIZE);
    }
    placement->config =
        take_bytes(&end, dev->class->config_bytes, CONFIG_ALIGN);
    placement->end = end;
}

/*
 * Finds room for a whole device: in the device page, which every guest touches
 * anyway, or else in the pages for rings. Returns 0 or -ENOSPC.
 */
static int place_device(struct native *native, const struct vdev *dev,
                        struct placement *placement)
{
    static const uint64_t ends[NATIVE_AREAS] = {MF_DEVICE_PAGE + MF_PAGE_BYTES,
                                                MF_IMAGE_BASE};

    for (unsigned i = 0; i < NATIVE_AREAS; i++) {
        lay_out(dev, native->free[i], placement);
        if (placement->end > ends[i])
            continue;
        native->free[i] = placement->end;
        return 0;
    }
    return -ENOSPC;
}

/* Enables the queues where they are, and tells the driver in its table. */
static int enable_queues(const struct native *native, struct vdev *dev,
                         const struct placement *placement)
{
    unsigned count = dev->class->queue_count;

    for (unsigned i = 0; i < count; i++) {
        const struct mf_queue *queue = &placement->queue[i];
        struct virtq_layout layout = {gpa(queue->desc), gpa(queue->avail),
                                      gpa(queue->used), queue->size};
        int error = queue->size ? vdev_enable_queue(dev, i, &layout) : 0;

        if (error)
            return error;
    }
    return gmem_write(native->mem, gpa(placement->queues), placement->queue,
                      count * sizeof(placement->queue[0]));
}

static uint64_t entry_address(unsigned index)
{
    return MF_BOOT_PAGE + offsetof(struct mf_boot, devices) +
           index * sizeof(struct mf_device);
}

/*
 * Tells the driver the device's status and configuration, through its entry in
 * the table and behind its generation: odd while they change.
 */
static int tell_driver(const struct vdev *dev, uint64_t entry, uint64_t config)
{
    uint8_t copy[CONFIG_BYTES_MAX];
    unsigned bytes = dev->class->config_bytes;
    uint64_t status_at = entry + offsetof(struct mf_device, status);
    uint32_t words[2] = {dev->status, dev->generation * 2 + 1};
    void *generation;
    int error;

    bug_on(bytes > sizeof(copy));
    vdev_read_config(dev, 0, copy, bytes);
    error = gmem_write(dev->mem, gpa(status_at), words, sizeof(words));
    if (error)
        return error;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    if (bytes > 0)
        error = gmem_write(dev->mem, gpa(config), copy, bytes);
    if (error)
        return error;
    error = gmem_map(dev->mem, gpa(status_at + sizeof(words[0])),
                     sizeof(words[1]), &generation);
    if (error)
        return error;
    /* Partner: the reader's acquire of the generation. */
    __atomic_store_n((uint32_t *)generation, words[1] + 1, __ATOMIC_RELEASE);
    return 0;
}

static struct native_place *place_of(const struct vdev *dev)
{
    struct native *native = CONTAINER_OF(dev->events, struct native, events);

    return &native->places[dev->event_bit];
}

static void native_changed(struct vdev *dev)
{
    const struct native_place *place = place_of(dev);

    /* Where it was written before, so it is there. */
    int error = tell_driver(dev, place->entry, place->config);
    bug_on(error);
}

static const struct vdev_transport native_transport = {
    .changed = native_changed,
};

/* Adds the finished entry to the table in the boot page. */
static int write_entry(struct native *native, const struct mf_device *entry)
{
    gpa_t counts = gpa(MF_BOOT_PAGE + offsetof(struct mf_boot, device_count));
    uint32_t count_and_bytes[2] = {native->set.count + 1, sizeof(*entry)};
    int error;

    error = gmem_write(native->mem, gpa(entry_address(native->set.count)),
                       entry, sizeof(*entry));
    if (error)
        return error;
    return gmem_write(native->mem, counts, count_and_bytes,
                      sizeof(count_and_bytes));
}

int native_add(struct native *native, struct vdev *dev, uint32_t flags)
{
    unsigned index = native->set.count;
    struct mf_device entry = {
        .type = dev->class->type,
        .flags = flags,
        .features = dev->offered,
        .doorbell = index,
        .event = index,
        .queue_count = dev->class->queue_count,
        .config_bytes = dev->class->config_bytes,
    };
    struct placement placement = {0};
    int error;

    if (index == MF_DEVICES_MAX)
        return -ENOSPC;
    error = place_device(native, dev, &placement);
    if (error)
        return error;
    entry.queues = placement.queues;
    entry.config = placement.config;

    /* What a driver would do, step by step (virtio 1.2, 3.1.1). */
    native->places[index] = (struct native_place){
        .entry = entry_address(index),
        .config = placement.config,
        .flags = flags,
    };
    vdev_bind(dev, native->mem, &native->events, entry.event,
              &native_transport);
    vdev_reset(dev);
    vdev_set_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    vdev_set_status(dev, VIRTIO_CONFIG_S_DRIVER);
    vdev_set_features(dev, dev->offered);
    vdev_set_status(dev, VIRTIO_CONFIG_S_FEATURES_OK);
    error = enable_queues(native, dev, &placement);
    if (error)
        return error;
    error = write_entry(native, &entry);
    if (error)
        return error;
    vdev_set_status(dev, VIRTIO_CONFIG_S_DRIVER_OK);
    native_changed(dev);

    index = (unsigned)vdev_set_add(&native->set, dev);
    bug_on(index != entry.event);
    /* A first look at the empty rings: the device says when to kick it. */
    return vdev_serve(dev);
}

int native_add_registers(struct native *native, struct vdev *dev,
                         uint32_t flags, uint64_t address,
                         const struct vdev_transport *transport)
{
    unsigned index = native->set.count;
    struct mf_device entry = {
        .type = dev->class->type,
        .flags = flags,
        .doorbell = index,
        .event = index,
        .queue_count = dev->class->queue_count,
        .config_bytes = dev->class->config_bytes,
        .registers = address,
    };
    int error;

    if (index == MF_DEVICES_MAX)
        return -ENOSPC;
    vdev_bind(dev, native->mem, &native->events, entry.event, transport);
    vdev_reset(dev);
    error = write_entry(native, &entry);
    if (error)
        return error;
    index = (unsigned)vdev_set_add(&native->set, dev);
    bug_on(index != entry.event);
    return 0;
}

/* ---- Going on elsewhere ------------------------------------------------ */

void native_save(const struct native *native, unsigned index,
                 struct native_state *state)
{
    const struct native_place *place = &native->places[index];

    *state = (struct native_state){
        .config = place->config,
        .flags = place->flags,
    };
    vdev_save(native->set.devices[index], &state->dev);
}

int native_load(struct native *native, struct vdev *dev, uint32_t flags,
                const struct native_state *state)
{
    unsigned index = native->set.count;
    uint64_t entry = entry_address(index);
    void *config;
    int error;

    if (index == MF_DEVICES_MAX)
        return -ENOSPC;
    vdev_bind(dev, native->mem, &native->events, index, &native_transport);
    vdev_reset(dev);
    if (dev->class->config_bytes > 0 &&
        gmem_map(native->mem, gpa(state->config), dev->class->config_bytes,
                 &config))
        return -EFAULT;
    error =
        gmem_write(native->mem, gpa(entry + offsetof(struct mf_device, flags)),
                   &flags, sizeof(flags));
    if (error)
        return error;
    native->places[index] = (struct native_place){
        .entry = entry,
        .config = state->config,
        .flags = flags,
    };
    error = vdev_load(dev, &state->dev);
    if (error)
        return error;
    native_changed(dev);
    index = (unsigned)vdev_set_add(&native->set, dev);
    bug_on(index != dev->event_bit);
    return vdev_serve(dev);
}

int native_reload(struct native *native, unsigned index,
                  const struct native_state *state)
{
    struct vdev *dev = native->set.devices[index];
    uint32_t flags = native->places[index].flags;
    gpa_t at = gpa(entry_address(index) + offsetof(struct mf_device, flags));
    int error;

    vdev_reset(dev);
    error = gmem_write(native->mem, at, &flags, sizeof(flags));
    if (!error)
        error = vdev_load(dev, &state->dev);
    if (error)
        return error;
    native_changed(dev);
    return vdev_serve(dev);
}
