/* SPDX-License-Identifier: MIT */
/* The virtio device state machine, below every device and transport. */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H

/*
 * A device is a struct vdev inside the device's own structure, plus a const
 * struct vdev_class that says what kind it is. A transport binds it to a VM
 * and then, on the driver's behalf or by itself, walks it through the standard
 * start (virtio 1.2, 3.1.1):
 *
 *   reset -> ACKNOWLEDGE -> DRIVER -> features -> FEATURES_OK
 *         -> vdev_enable_queue() ... -> DRIVER_OK -> vdev_serve() ...
 *
 * A step that is out of order is refused or ignored, as the standard has it. A
 * corrupt ring turns the device into NEEDS_RESET: it does nothing more until
 * the driver resets it.
 *
 * A device belongs to one thread at a time.
 */

#include <linux/virtio_config.h>
#include <poll.h>

#include "virtio/event.h"
#include "virtio/virtq.h"

#define VDEV_QUEUES_MAX 5u

#define VDEV_NEVER UINT64_MAX /* a point in time that does not come */

/* Why a driver was interrupted (4.2.2, InterruptStatus). */
#define VDEV_INTERRUPT_QUEUE  1u
#define VDEV_INTERRUPT_CONFIG 2u

struct vdev;

/* What a transport does for its devices. Nothing here changes at run time. */
struct vdev_transport {
    /* Status, configuration or its generation is not what it was. */
    void (*changed)(struct vdev *dev);
};

/* One kind of device. Nothing here changes at run time. */
struct vdev_class {
    const char *name;      /* for messages */
    uint32_t type;         /* virtio device id (virtio 1.2, 5) */
    unsigned queue_count;  /* at most VDEV_QUEUES_MAX */
    unsigned config_bytes; /* size of the configuration space */
    bool threaded;         /* may be worth a thread to serve it */
    /*
     * Does what the rings ask for, without waiting for the driver. Called in
     * state DRIVER_OK only. Returns 0, -EBADMSG if a queue is broken, or
     * -EINTR to be called again for the rest.
     */
    int (*serve)(struct vdev *dev);
    /* Forgets everything the driver did; the queues are reset already. */
    void (*reset)(struct vdev *dev);
    /*
     * Whether features that are all offered make sense together (2.2.2).
     * NULL: always.
     */
    bool (*accepts)(const struct vdev *dev, uint64_t features);
    /*
     * The driver writes `bytes` bytes at `offset` of the configuration space,
     * within its size. NULL: it is read-only, writes are ignored (2.5).
     */
    void (*write_config)(struct vdev *dev, uint64_t offset, const void *from,
                         size_t bytes);
    /*
     * Which host file to wait for on the live device's behalf: sets fd and
     * events, or leaves fd at -1. NULL: never any.
     */
    void (*want)(struct vdev *dev, struct pollfd *file);
    /* That file is ready. Returns as serve does. NULL where want is. */
    int (*ready)(struct vdev *dev);
    /*
     * Stores what the driver made of the device beyond its queues in `to`, at
     * most VDEV_EXTRA_MAX bytes, and returns how many. NULL: nothing.
     */
    size_t (*save)(const struct vdev *dev, void *to);
    /*
     * The reverse, in a device that was just reset, its features chosen. What
     * is in `from` may be anything. Returns 0, or -EINVAL if it makes no sense.
     * NULL where save is.
     */
    int (*load)(struct vdev *dev, const void *from, size_t bytes);
};

#define VDEV_EXTRA_MAX 1024u

/* Where a queue is and how far it got; all zero: not enabled. */
struct vdev_queue_state {
    uint64_t desc, avail, used; /* guest-physical addresses */
    uint32_t size;              /* entries */
    uint16_t position;          /* chains given back, modulo 2^16 */
    uint16_t reserved;
};

/*
 * What a device's driver made of it: for a device of the same class elsewhere
 * to go on with. A part of snapshots, so its layout is that of their format.
 */
struct vdev_state {
    uint32_t type;       /* virtio device id */
    uint32_t status;     /* VIRTIO_CONFIG_S_* */
    uint64_t features;   /* that were chosen */
    uint32_t interrupts; /* VDEV_INTERRUPT_*, not acknowledged */
    uint32_t generation; /* of the configuration space */
    uint32_t extra_bytes;
    uint32_t reserved;
    struct vdev_queue_state queues[VDEV_QUEUES_MAX];
    uint8_t extra[VDEV_EXTRA_MAX];
};

struct vdev {
    const struct vdev_class *class;
    const void *config; /* the configuration space, class->config_bytes */
    uint64_t offered;   /* feature bits that the driver may choose from */
    uint64_t features;  /* those it chose */
    uint8_t status;     /* VIRTIO_CONFIG_S_* (2.1) */
    uint32_t queue_size_max[VDEV_QUEUES_MAX]; /* entries, powers of two */
    struct virtq queues[VDEV_QUEUES_MAX];
    const struct gmem *mem;    /* the VM's memory, once bound */
    struct event_word *events; /* where notifications go, once bound */
    unsigned event_bit;        /* its bit there */

    const struct vdev_transport *transport; /* once bound; NULL: none */
    uint32_t generation;  /* of the configuration space (2.5.1) */
    uint32_t interrupts;  /* VDEV_INTERRUPT_*, not acknowledged; atomic */
    bool polled;          /* somebody looks at the rings: no kicks wanted */
    uint64_t wake_ns;     /* host time to serve it again; VDEV_NEVER */
    uint64_t kicks;       /* notifications by the driver so far */
    uint64_t events_sent; /* notifications to the driver so far */
};

/*
 * Sets up a zeroed `dev` as a `class` in the state after a reset, offering
 * `features` and what every device offers (VERSION_1, EVENT_IDX,
 * INDIRECT_DESC). The device has set queue_size_max. `config` is not copied.
 */
void vdev_init(struct vdev *dev, const struct vdev_class *class,
               uint64_t features, const void *config);

/*
 * Ties a device to a VM: its memory, its bit in its event word, and the
 * transport that it is behind (NULL: none that wants to know of changes).
 */
void vdev_bind(struct vdev *dev, const struct gmem *mem,
               struct event_word *events, unsigned event_bit,
               const struct vdev_transport *transport);

/* Back to the start: status 0, no features, no queue (2.4). */
void vdev_reset(struct vdev *dev);

/*
 * The driver writes the status field (2.1.1). 0 resets. Otherwise bits can
 * only be added: FEATURES_OK sticks only if the chosen features are offered
 * ones with VERSION_1 among them, DRIVER_OK only after FEATURES_OK. The driver
 * reads dev->status to see what became of it.
 */
void vdev_set_status(struct vdev *dev, uint8_t status);

/* The driver chooses features (2.2); ignored once FEATURES_OK is set. */
void vdev_set_features(struct vdev *dev, uint64_t features);

/*
 * Enables queue `index` at `layout` (2.7). Returns 0, -EINVAL if there is no
 * such queue, it is enabled, larger than the device allows, or this is not the
 * time (FEATURES_OK set, DRIVER_OK not), or what virtq_enable() returns.
 */
MUST_CHECK int vdev_enable_queue(struct vdev *dev, unsigned index,
                                 const struct virtq_layout *layout);

/*
 * The driver stops queue `index` by itself (4.2.2.2, QueueReady); nothing if it
 * is not enabled. A live device then needs a reset: it may have taken chains
 * that are never finished, and the queue cannot come back before.
 */
void vdev_disable_queue(struct vdev *dev, unsigned index);

/*
 * Copies `bytes` bytes of the configuration space from `offset` on to `to`
 * (2.5). The one accessor: what lies past the end reads as 0.
 */
void vdev_read_config(const struct vdev *dev, uint64_t offset, void *to,
                      size_t bytes);

/*
 * The driver writes `bytes` bytes from `from` at `offset` of the configuration
 * space (2.5). What is not wholly inside is ignored, and so is all of it where
 * the device has nothing to write.
 */
void vdev_write_config(struct vdev *dev, uint64_t offset, const void *from,
                       size_t bytes);

/*
 * The device has changed its configuration space: a new generation, and a
 * configuration change notification if the device is live (2.5.1).
 */
void vdev_config_changed(struct vdev *dev);

/* Returns whether the device is live: DRIVER_OK and not NEEDS_RESET. */
bool vdev_is_live(const struct vdev *dev);

/*
 * Serves all queues of a live device; nothing otherwise. Returns 0, or -EINTR
 * if there is more to do: the caller looks whether the VM is to end, and calls
 * again. A corrupt ring makes the device NEEDS_RESET and returns 0.
 */
MUST_CHECK int vdev_serve(struct vdev *dev);

/*
 * Whether the time for which it put its next request off (`wake_ns`) is still
 * to come; when it is over, it is forgotten.
 */
bool vdev_is_waiting(struct vdev *dev);

/* The device gives up (2.1.2): NEEDS_RESET is set and the driver told. */
void vdev_mark_needs_reset(struct vdev *dev);

/* Publishes what was pushed to queue `index`; tells the driver if it asked. */
void vdev_publish(struct vdev *dev, unsigned index);

/* A used buffer notification (2.3): whether to send one was decided before. */
void vdev_notify(struct vdev *dev);

/*
 * The device has found queue `index` empty, or nearly. Asks for a kick as
 * virtq_set_kick_threshold() does; for none if somebody polls the device.
 * Returns whether to go on as if kicked.
 */
bool vdev_ask_kick(struct vdev *dev, unsigned index, uint32_t chains);

/*
 * From now on the rings are looked at again and again (`polled`), or only after
 * kicks. After the latter the device has to be served once: that asks for
 * kicks, and finds what came before.
 */
void vdev_poll(struct vdev *dev, bool polled);

/*
 * Stores the device's state. It has been served until it had nothing more to
 * do; what it holds nevertheless (a request that waits for its time, buffers to
 * receive into) whoever goes on with the state takes again.
 */
void vdev_save(const struct vdev *dev, struct vdev_state *state);

/*
 * Goes on with that state in a device that was bound and is reset. Its
 * configuration space is another one now, and its driver is to be told so. The
 * state may be anything. Returns 0; -EINVAL if it is not one of such a device;
 * -ENOTSUP if it needs features that this one does not offer; or what
 * virtq_enable() returns. Then the device is to be reset.
 */
MUST_CHECK int vdev_load(struct vdev *dev, const struct vdev_state *state);

/*
 * What to wait for while the device has nothing to do: fills `*file`, whose fd
 * is -1 if there is nothing.
 */
void vdev_want(struct vdev *dev, struct pollfd *file);

/* What vdev_want() named is ready. Returns as vdev_serve() does. */
MUST_CHECK int vdev_ready(struct vdev *dev);

/* Chains that the device has given back so far, of all queues. */
uint64_t vdev_progress(const struct vdev *dev);

#endif
