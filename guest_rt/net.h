/* SPDX-License-Identifier: MIT */
/* What the parts of the driver for network cards know of each other. */
#ifndef GUEST_RT_NET_H
#define GUEST_RT_NET_H

/*
 * net.c receives, net_send.c sends, net_setup.c opens cards and commands them.
 * All of them belong to the one caller that a card has at a time.
 */

#include <linux/virtio_net.h>
#include <mayfly/net.h>

#include "device.h"
#include "poll.h"
#include "ring.h"

#define NIC_ETHERNET_BYTES 14u
#define NIC_HEADER_BYTES   sizeof(struct virtio_net_hdr_v1)

/* Queues, and rings over them (virtio 1.2, 5.1.2). */
enum { NIC_RX, NIC_TX, NIC_CONTROL, NIC_RINGS };

/* Whose a chain in the transmit ring is. */
struct nic_slot {
    struct nic_buffer *frame; /* a received one, or NULL */
    void *cookie;             /* for `sent`, if it is not NULL */
};

/* The one command in flight (5.1.6.5). */
struct nic_command {
    struct virtio_net_ctrl_hdr header;
    uint8_t data[8];
    virtio_net_ctrl_ack ack;
} __attribute__((packed));

struct nic {
    struct device device;
    struct ring rings[NIC_RINGS];
    struct poll poll;
    bool open;
    bool armed;  /* nic_arm() came last: the event is the program's */
    bool asked;  /* for events, in the wait that is going on */
    bool linked; /* what the program was told */
    uint8_t mac[NIC_MAC_BYTES];
    uint16_t mtu;
    uint32_t can; /* NIC_CAN_* */
    uint32_t buffer_bytes;
    unsigned buffer_count;
    unsigned fresh;    /* buffers that the card has never had: the last ones */
    unsigned forwards; /* received frames in the transmit ring */
    unsigned char *pool;
    struct nic_buffer *buffers;        /* buffer_count; unset until used */
    uint16_t *posted;                  /* receive ring: head to buffer */
    struct nic_slot *slots;            /* transmit ring: by head */
    struct virtio_net_hdr_v1 *headers; /* transmit ring: by head */
    struct virtio_net_hdr_v1 plain;    /* all zero: for most frames */
    struct nic_buffer *partial;        /* a frame not all of which is there */
    struct nic_buffer *partial_last;
    unsigned partial_left; /* buffers of it still to come */
    nic_sent *sent;
    struct nic_stats stats;
    struct nic_command command;
};

/* Returns the card if it is open, or NULL (net_setup.c). */
struct nic *nic_get(unsigned index);

/*
 * Reads the card's address anew, which is another one in a VM that goes on from
 * a snapshot. What else does not change stays (net_setup.c).
 */
void nic_renew(struct nic *nic);

/* Whether the link is up now (net_setup.c). */
bool nic_read_link(const struct nic *nic);

static inline bool nic_can(const struct nic *nic, uint32_t what)
{
    return (nic->can & what) == what;
}

static inline unsigned char *nic_buffer_start(const struct nic *nic,
                                              unsigned index)
{
    return nic->pool + (size_t)index * nic->buffer_bytes;
}

/*
 * Adds the next `count` buffers that the card has not had, or what is left, to
 * the receive ring (net.c).
 */
void nic_post_fresh(struct nic *nic, unsigned count);

/* Adds the buffers of a frame to the receive ring again (net.c). */
void nic_give_back(struct nic *nic, struct nic_buffer *frame);

/* Publishes both rings, with one kick at most where one is enough (net.c). */
void nic_show(struct nic *nic);

/* Waits until the card has used a chain of this ring. Returns 0 or -EIO. */
int nic_wait_for(struct nic *nic, struct ring *ring);

/* Takes back what the card has sent (net_send.c). */
void nic_reclaim(struct nic *nic);

#endif
