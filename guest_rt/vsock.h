/* SPDX-License-Identifier: MIT */
/* The virtio socket device (virtio 1.2, 5.10): packets to and from it. */
#ifndef GUEST_RT_VSOCK_H
#define GUEST_RT_VSOCK_H

/*
 * The driver of the VM's one device of this kind. A packet is a header and
 * data, in one buffer of its own; what they mean is the user's concern
 * (socket_vsock.c): here they are sent in their order, and handed over as they
 * come.
 *
 * Packets go to the device in batches: when the program goes idle, after
 * FLUSH_PACKETS of them, or FLUSH_NS after the last batch. What finds the ring
 * full waits in a list; whoever sends data asks first whether there is room,
 * and leaves some of it to what has no data.
 *
 * All of this runs with the runtime's lock.
 */

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched.h"

enum vsock_queue { VSOCK_RX, VSOCK_TX, VSOCK_EVENT, VSOCK_QUEUES };

#define VSOCK_HEADER_BYTES  sizeof(struct virtio_vsock_hdr)
#define VSOCK_HOST_CID      2u     /* virtio 1.2, 5.10.4 */
#define VSOCK_PACKET_MAX    32688u /* bytes of data that are sent at once */
#define VSOCK_BUFFERS       32u    /* posted for what the device sends */
#define VSOCK_RECEIVE_BYTES 16304u /* of data in one of these */

/*
 * A packet, or data that came with one and is still to be read: bytes
 * [start, end) of `data`, which has room for `room`.
 */
struct vsock_buffer {
    struct vsock_buffer *next;
    uint32_t start, end, room;
    struct virtio_vsock_hdr header;
    unsigned char data[]; /* behind the header, for the device */
};

/* What the driver tells its user. */
struct vsock_user {
    /*
     * A packet has come. With `keep`, the buffer is the user's from now on;
     * without, the driver's again when this returns.
     */
    void (*receive)(struct vsock_buffer *packet, bool keep);
    /* There is room for data again; after vsock_want_room(). */
    void (*room)(void);
    /* The device has forgotten all streams (5.10.6.7), or is broken. */
    void (*reset)(void);
};

/*
 * Opens the device, once. Returns 0, -ENODEV if the VM has none, or -EIO if it
 * refuses or there is no memory for its buffers.
 */
int vsock_start(const struct vsock_user *user);

/* The VM's address, as of the last reset; 0: there is no device. */
uint64_t vsock_cid(void);

/* A buffer with room for `bytes` and nothing in it, or NULL. */
struct vsock_buffer *vsock_buffer_create(size_t bytes);
void vsock_buffer_destroy(struct vsock_buffer *buffer);

/*
 * Sends a packet: the header, and its `len` bytes of data. Takes the buffer
 * over.
 */
void vsock_put(struct vsock_buffer *packet);

/* Whether a packet with data would not have to wait. */
bool vsock_has_room(void);

/* Has the user told when there is room again. */
void vsock_want_room(void);

/*
 * Looks whether anything has come, for calls that would return with nothing,
 * and shows the device what is to be sent.
 */
void vsock_poll(void);

/* Waits until the device has taken all that was sent, or for `ns`. Alone. */
void vsock_drain(uint64_t ns);

#endif
