/* SPDX-License-Identifier: MIT */
/* The Linux driver behind plain types; compiled with the kernel's headers. */
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "tests/linux/driver.h"

/* What tools/virtio/linux/virtio.h leaves out. */
bool virtqueue_kick_prepare(struct virtqueue *vq);
bool virtqueue_notify(struct virtqueue *vq);
unsigned virtqueue_enable_cb_prepare(struct virtqueue *vq);
bool virtqueue_poll(struct virtqueue *vq, unsigned last_used);
bool virtqueue_is_broken(struct virtqueue *vq);
const struct vring *virtqueue_get_vring(struct virtqueue *vq);

/* Hooks of the kernel's stub allocator, which nobody uses here. */
void *__kmalloc_fake, *__kfree_ignore_start, *__kfree_ignore_end;

struct driver {
    struct virtio_device device;
    struct virtqueue *vq;
    void *ring;
    driver_notify *notify;
    void *opaque;
    struct scatterlist *entries; /* as many as the ring */
    struct scatterlist **lists;
};

static bool on_notify(struct virtqueue *vq)
{
    struct driver *driver = vq->priv;

    driver->notify(driver->opaque);
    return true;
}

static void on_callback(struct virtqueue *vq)
{
    (void)vq;
}

struct driver *driver_create(uint32_t size, uint64_t features,
                             driver_notify *notify, void *opaque)
{
    struct driver *driver = arena_alloc(sizeof(*driver));
    size_t bytes = vring_size(size, 64);

    memset(driver, 0, sizeof(*driver));
    driver->device.features = features | 1ull << VIRTIO_F_VERSION_1;
    INIT_LIST_HEAD(&driver->device.vqs);
    spin_lock_init(&driver->device.vqs_list_lock);
    driver->ring = arena_alloc(bytes);
    memset(driver->ring, 0, bytes);
    driver->notify = notify;
    driver->opaque = opaque;
    driver->entries = arena_alloc(sizeof(*driver->entries) * size);
    driver->lists = arena_alloc(sizeof(*driver->lists) * size);
    driver->vq =
        vring_new_virtqueue(0, size, 64, &driver->device, true, false,
                            driver->ring, on_notify, on_callback, "test");
    assert(driver->vq);
    driver->vq->priv = driver;
    return driver;
}

void driver_destroy(struct driver *driver)
{
    vring_del_virtqueue(driver->vq);
    arena_free(driver->entries);
    arena_free(driver->lists);
    arena_free(driver->ring);
    arena_free(driver);
}

void driver_areas(struct driver *driver, void **desc, void **avail, void **used)
{
    const struct vring *vring = virtqueue_get_vring(driver->vq);

    *desc = vring->desc;
    *avail = vring->avail;
    *used = vring->used;
}

/* Makes scatter lists of at most `per_list` pieces. Returns how many. */
static unsigned make_lists(struct scatterlist **lists,
                           struct scatterlist *entries,
                           const struct driver_piece *pieces, unsigned count,
                           unsigned per_list)
{
    unsigned made = 0;

    for (unsigned at = 0; at < count; at += per_list) {
        unsigned in_list = count - at < per_list ? count - at : per_list;

        sg_init_table(entries + at, in_list);
        for (unsigned i = at; i < at + in_list; i++)
            sg_set_buf(entries + i, pieces[i].at, pieces[i].bytes);
        lists[made++] = entries + at;
    }
    return made;
}

int driver_add(struct driver *driver, const struct driver_piece *pieces,
               unsigned out, unsigned in, unsigned per_list, void *token)
{
    unsigned outs =
        make_lists(driver->lists, driver->entries, pieces, out, per_list);
    unsigned ins = make_lists(driver->lists + outs, driver->entries + out,
                              pieces + out, in, per_list);

    return virtqueue_add_sgs(driver->vq, driver->lists, outs, ins, token,
                             GFP_ATOMIC);
}

bool driver_kick_prepare(struct driver *driver)
{
    return virtqueue_kick_prepare(driver->vq);
}

void driver_kick(struct driver *driver)
{
    virtqueue_notify(driver->vq);
}

void *driver_get(struct driver *driver, unsigned *bytes)
{
    return virtqueue_get_buf(driver->vq, bytes);
}

void driver_interrupt(struct driver *driver)
{
    vring_interrupt(0, driver->vq);
}

void driver_disable(struct driver *driver)
{
    virtqueue_disable_cb(driver->vq);
}

bool driver_enable(struct driver *driver)
{
    return virtqueue_enable_cb(driver->vq);
}

bool driver_enable_delayed(struct driver *driver)
{
    return virtqueue_enable_cb_delayed(driver->vq);
}

unsigned driver_enable_prepare(struct driver *driver)
{
    return virtqueue_enable_cb_prepare(driver->vq);
}

bool driver_poll(struct driver *driver, unsigned state)
{
    return virtqueue_poll(driver->vq, state);
}

unsigned driver_free(const struct driver *driver)
{
    return driver->vq->num_free;
}

bool driver_is_broken(struct driver *driver)
{
    return virtqueue_is_broken(driver->vq);
}

void *driver_detach(struct driver *driver)
{
    return virtqueue_detach_unused_buf(driver->vq);
}
