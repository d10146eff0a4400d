/* SPDX-License-Identifier: MIT */
/* Linux's virtio_ring.c, without its headers: the driver side of one queue. */
#ifndef TESTS_LINUX_DRIVER_H
#define TESTS_LINUX_DRIVER_H

/*
 * Each function is the kernel's of nearly the same name (include/linux/virtio.h
 * and the comments in drivers/virtio/virtio_ring.c). All memory that the device
 * sees comes from arena_alloc(); so does what the driver allocates itself.
 */

#include <stdbool.h>
#include <stdint.h>

struct driver;

/* One piece of a buffer. */
struct driver_piece {
    void *at;
    unsigned bytes;
};

/* The driver kicks. */
typedef void driver_notify(void *opaque);

/* A queue of `size` entries; VIRTIO_F_VERSION_1 comes with `features`. */
struct driver *driver_create(uint32_t size, uint64_t features,
                             driver_notify *notify, void *opaque);
void driver_destroy(struct driver *driver);

/* Where the three areas are. */
void driver_areas(struct driver *driver, void **desc, void **avail,
                  void **used);

/*
 * Adds a buffer of `out` pieces for the device to read and `in` to write, as
 * scatter lists of at most `per_list`. Returns 0, or -ENOSPC.
 */
int driver_add(struct driver *driver, const struct driver_piece *pieces,
               unsigned out, unsigned in, unsigned per_list, void *token);

bool driver_kick_prepare(struct driver *driver);
void driver_kick(struct driver *driver);
void *driver_get(struct driver *driver, unsigned *bytes);
void driver_interrupt(struct driver *driver);
void driver_disable(struct driver *driver);
bool driver_enable(struct driver *driver);
bool driver_enable_delayed(struct driver *driver);
unsigned driver_enable_prepare(struct driver *driver);
bool driver_poll(struct driver *driver, unsigned state);
unsigned driver_free(const struct driver *driver);
bool driver_is_broken(struct driver *driver);
void *driver_detach(struct driver *driver);

#endif
