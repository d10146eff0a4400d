/* SPDX-License-Identifier: MIT */
/* The virtio device state machine, below every device and transport. */
#include "virtio/device.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/os.h"

void vdev_init(struct vdev *dev, const struct vdev_class *class,
               uint64_t features, const void *config)
{
    bug_on(class->queue_count > VDEV_QUEUES_MAX);
    dev->class = class;
    dev->config = config;
    dev->wake_ns = VDEV_NEVER;
    dev->offered =
        features | UINT64_C(1) << VIRTIO_F_VERSION_1 | VIRTQ_FEATURES;
}

void vdev_bind(struct vdev *dev, const struct gmem *mem,
               struct event_word *events, unsigned event_bit,
               const struct vdev_transport *transport)
{
    dev->mem = mem;
    dev->events = events;
    dev->event_bit = event_bit;
    dev->transport = transport;
}

/* Lets the transport tell the driver, if it has a way to. */
static void changed(struct vdev *dev)
{
    if (dev->transport)
        dev->transport->changed(dev);
}

static void interrupt(struct vdev *dev, uint32_t why)
{
    __atomic_fetch_or(&dev->interrupts, why, __ATOMIC_RELEASE);
    dev->events_sent++;
    event_raise(dev->events, dev->event_bit);
}

void vdev_reset(struct vdev *dev)
{
    dev->status = 0;
    dev->features = 0;
    dev->wake_ns = VDEV_NEVER;
    if (dev->events)
        event_release(dev->events, dev->event_bit);
    __atomic_store_n(&dev->interrupts, 0, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < dev->class->queue_count; i++)
        virtq_reset(&dev->queues[i]);
    dev->class->reset(dev);
}

static bool features_are_acceptable(const struct vdev *dev)
{
    if ((dev->features & ~dev->offered) ||
        !(dev->features & UINT64_C(1) << VIRTIO_F_VERSION_1))
        return false;
    return !dev->class->accepts || dev->class->accepts(dev, dev->features);
}

void vdev_set_status(struct vdev *dev, uint8_t status)
{
    if (status == 0) {
        vdev_reset(dev);
        return;
    }
    /* The driver cannot set NEEDS_RESET, nor take a bit back. */
    status &= (uint8_t)~VIRTIO_CONFIG_S_NEEDS_RESET;
    status |= dev->status;
    if (!(dev->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
        !features_are_acceptable(dev))
        status &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
    if (!(status & VIRTIO_CONFIG_S_FEATURES_OK))
        status &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
    dev->status = status;
}

void vdev_set_features(struct vdev *dev, uint64_t features)
{
    if (!(dev->status & VIRTIO_CONFIG_S_FEATURES_OK))
        dev->features = features;
}

int vdev_enable_queue(struct vdev *dev, unsigned index,
                      const struct virtq_layout *layout)
{
    if (!(dev->status & VIRTIO_CONFIG_S_FEATURES_OK) ||
        (dev->status & VIRTIO_CONFIG_S_DRIVER_OK))
        return -EINVAL;
    if (index >= dev->class->queue_count || dev->queues[index].enabled ||
        layout->size > dev->queue_size_max[index])
        return -EINVAL;
    return virtq_enable(&dev->queues[index], dev->mem, layout, dev->features);
}

void vdev_disable_queue(struct vdev *dev, unsigned index)
{
    if (index >= dev->class->queue_count || !dev->queues[index].enabled)
        return;
    if (vdev_is_live(dev))
        vdev_mark_needs_reset(dev);
    virtq_reset(&dev->queues[index]);
}

void vdev_read_config(const struct vdev *dev, uint64_t offset, void *to,
                      size_t bytes)
{
    uint64_t size = dev->class->config_bytes;
    uint64_t start = min_u64(offset, size);
    uint64_t there = min_u64(bytes, size - start);

    memcpy(to, (const char *)dev->config + start, there);
    memset((char *)to + there, 0, bytes - there);
}

void vdev_write_config(struct vdev *dev, uint64_t offset, const void *from,
                       size_t bytes)
{
    uint64_t size = dev->class->config_bytes;

    if (dev->class->write_config && offset <= size && bytes <= size - offset)
        dev->class->write_config(dev, offset, from, bytes);
}

void vdev_config_changed(struct vdev *dev)
{
    dev->generation++;
    changed(dev);
    if (vdev_is_live(dev))
        interrupt(dev, VDEV_INTERRUPT_CONFIG);
}

bool vdev_is_live(const struct vdev *dev)
{
    return (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
           !(dev->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

bool vdev_is_waiting(struct vdev *dev)
{
    if (dev->wake_ns == VDEV_NEVER)
        return false;
    if (os_now_ns() < dev->wake_ns)
        return true;
    dev->wake_ns = VDEV_NEVER;
    return false;
}

void vdev_mark_needs_reset(struct vdev *dev)
{
    if (dev->status & VIRTIO_CONFIG_S_NEEDS_RESET)
        return;
    dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    dev->wake_ns = VDEV_NEVER;
    changed(dev);
    if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK)
        interrupt(dev, VDEV_INTERRUPT_CONFIG);
}

void vdev_publish(struct vdev *dev, unsigned index)
{
    if (virtq_publish(&dev->queues[index]))
        vdev_notify(dev);
}

void vdev_notify(struct vdev *dev)
{
    interrupt(dev, VDEV_INTERRUPT_QUEUE);
}

bool vdev_ask_kick(struct vdev *dev, unsigned index, uint32_t chains)
{
    struct virtq *q = &dev->queues[index];

    if (!dev->polled)
        return virtq_set_kick_threshold(q, chains);
    virtq_suppress_kicks(q);
    return false;
}

void vdev_poll(struct vdev *dev, bool polled)
{
    dev->polled = polled;
}

void vdev_want(struct vdev *dev, struct pollfd *file)
{
    *file = (struct pollfd){.fd = -1};
    if (dev->class->want && vdev_is_live(dev))
        dev->class->want(dev, file);
}

/* What a serve means for the device. */
static int settle(struct vdev *dev, int error)
{
    if (error != -EBADMSG)
        return error;
    vdev_mark_needs_reset(dev);
    return 0;
}

int vdev_serve(struct vdev *dev)
{
    return vdev_is_live(dev) ? settle(dev, dev->class->serve(dev)) : 0;
}

int vdev_ready(struct vdev *dev)
{
    if (!dev->class->ready || !vdev_is_live(dev))
        return 0;
    return settle(dev, dev->class->ready(dev));
}

uint64_t vdev_progress(const struct vdev *dev)
{
    uint64_t chains = 0;

    for (unsigned i = 0; i < dev->class->queue_count; i++)
        chains += dev->queues[i].stats.chains;
    return chains;
}

/* ---- Going on elsewhere ------------------------------------------------ */

static struct vdev_queue_state save_queue(const struct virtq *q)
{
    if (!q->enabled)
        return (struct vdev_queue_state){0};
    return (struct vdev_queue_state){
        .desc = q->at.desc.raw,
        .avail = q->at.avail.raw,
        .used = q->at.used.raw,
        .size = q->size,
        .position = q->published,
    };
}

void vdev_save(const struct vdev *dev, struct vdev_state *state)
{
    *state = (struct vdev_state){
        .type = dev->class->type,
        .status = dev->status,
        .features = dev->features,
        .interrupts = __atomic_load_n(&dev->interrupts, __ATOMIC_RELAXED),
        .generation = dev->generation,
    };
    for (unsigned i = 0; i < dev->class->queue_count; i++)
        state->queues[i] = save_queue(&dev->queues[i]);
    if (dev->class->save)
        state->extra_bytes = (uint32_t)dev->class->save(dev, state->extra);
    bug_on(state->extra_bytes > VDEV_EXTRA_MAX);
}

static int load_queue(struct vdev *dev, unsigned index,
                      const struct vdev_queue_state *from)
{
    const struct virtq_layout layout = {gpa(from->desc), gpa(from->avail),
                                        gpa(from->used), from->size};
    int error;

    if (from->size == 0)
        return 0;
    error = vdev_enable_queue(dev, index, &layout);
    if (!error)
        virtq_resume(&dev->queues[index], from->position);
    return error;
}

static int load_extra(struct vdev *dev, const struct vdev_state *state)
{
    if (state->extra_bytes > VDEV_EXTRA_MAX)
        return -EINVAL;
    if (!dev->class->load)
        return state->extra_bytes ? -EINVAL : 0;
    return dev->class->load(dev, state->extra, state->extra_bytes);
}

int vdev_load(struct vdev *dev, const struct vdev_state *state)
{
    const uint32_t live = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                          VIRTIO_CONFIG_S_FEATURES_OK |
                          VIRTIO_CONFIG_S_DRIVER_OK;
    int error = 0;

    if (state->type != dev->class->type || (state->status & live) != live)
        return -EINVAL;
    vdev_set_features(dev, state->features);
    vdev_set_status(dev, live & ~(uint32_t)VIRTIO_CONFIG_S_DRIVER_OK);
    if (!(dev->status & VIRTIO_CONFIG_S_FEATURES_OK))
        return -ENOTSUP;
    for (unsigned i = 0; i < dev->class->queue_count && !error; i++)
        error = load_queue(dev, i, &state->queues[i]);
    if (!error)
        error = load_extra(dev, state);
    if (error)
        return error;
    vdev_set_status(dev, VIRTIO_CONFIG_S_DRIVER_OK);
    dev->generation = state->generation + 1;
    if (state->status & VIRTIO_CONFIG_S_NEEDS_RESET)
        dev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    __atomic_store_n(&dev->interrupts,
                     state->interrupts &
                         (VDEV_INTERRUPT_QUEUE | VDEV_INTERRUPT_CONFIG),
                     __ATOMIC_RELAXED);
    return 0;
}
