/* SPDX-License-Identifier: MIT */
/* The virtio network device (virtio 1.2, 5.1), between a guest and a link. */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

/*
 * The device has one receive queue, one transmit queue and a control queue.
 * What it is connected to is a struct net_backend: a tap (tap.h), or a stream
 * socket to a user-mode network (stream.h). Frames move straight between the
 * backend and guest memory.
 *
 * Receiving: chains are popped ahead until they have room for the largest frame
 * that can come, and only then a frame is read from the host. So none is lost
 * that the host had to give; where the driver is slow, the host's queue fills.
 * Chains that are popped and not used yet stay in struct net_rx. With
 * VIRTIO_NET_F_MRG_RXBUF a frame is spread over as many as it takes.
 *
 * Transmitting: one frame after the other. If the host cannot take one now, its
 * chain is left where it is, and the device waits for the host. A frame that
 * the host refuses is lost, as frames are; so is one whose header makes no
 * sense.
 *
 * The header before each frame (12 bytes, 5.1.6) is the guest's in one
 * direction: copied once, checked, and passed on as a header made anew.
 *
 * The driver's wishes about notifications are moderated by struct coalesce, one
 * for each direction; dev.wake_ns says when the device has to be served for the
 * sake of what waits. Everything runs in the thread that serves the device.
 */

#include <linux/virtio_net.h>
#include <sys/types.h>

#include "virtio/coalesce.h"
#include "virtio/device.h"
#include "virtio/limit.h"

/* Newer than some systems' headers (virtio 1.3, 5.1.3 and 5.1.6.5.9). */
#ifndef VIRTIO_NET_F_VQ_NOTF_COAL
#define VIRTIO_NET_F_VQ_NOTF_COAL 52 /* coalescing for each queue */
#endif
#ifndef VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET
#define VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET 2
#define VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET 3
#endif

#define NET_FEATURE(name) (UINT64_C(1) << VIRTIO_NET_F_##name)

enum net_queue {
    NET_RX,
    NET_TX,
    NET_CTRL,
    NET_QUEUES,
};

#define NET_QUEUE_MAX     512u  /* entries of the largest queue */
#define NET_QUEUE_DEFAULT 256u  /* entries, where nothing else is asked for */
#define NET_CTRL_ENTRIES  64u   /* of the control queue */
#define NET_PIECES_MAX    1000u /* in one readv or writev, of the guest's */
#define NET_IOV_MAX       1004u /* with what is put around them: < IOV_MAX */
#define NET_HEADER_BYTES  12u   /* struct virtio_net_hdr_mrg_rxbuf */
#define NET_ETH_BYTES     14u   /* an Ethernet header */
#define NET_VLAN_BYTES    4u    /* more of it in a tagged frame */
#define NET_MTU_MIN       68u   /* 5.1.4.1 */
#define NET_MTU_DEFAULT   1500u
#define NET_GSO_BYTES_MAX 65550u /* of a frame that is to be segmented */
#define NET_FRAME_MAX     65553u /* MTU 65535, with all headers */
#define NET_MACS_MAX      64u    /* of each kind in the filter table */

typedef struct virtio_net_hdr_mrg_rxbuf net_header;

struct net_backend;

/*
 * What a backend does. Frames are in iov[1] ... iov[count - 1]; iov[0] is the
 * backend's to fill, so that it can put something before the frame. No call
 * waits. Nothing here changes at run time.
 */
struct net_backend_ops {
    /*
     * Receives one frame, of which what has no room is dropped, and stores what
     * is known about it in `*header` (num_buffers is not). Returns the bytes
     * that were placed, -EAGAIN if there is no frame, -EINTR, or another
     * -errno: then the backend is gone.
     */
    ssize_t (*receive)(struct net_backend *backend, net_header *header,
                       struct iovec *iov, unsigned count);
    /*
     * Sends one frame of `bytes` bytes. Returns 0, -EAGAIN if the host cannot
     * take it now, or -errno: it is lost.
     */
    int (*send)(struct net_backend *backend, const net_header *header,
                struct iovec *iov, unsigned count, size_t bytes);
    /*
     * Goes on with a frame that is sent in part. Returns 0 if there is none
     * left, or -errno. NULL: that cannot be.
     */
    int (*flush)(struct net_backend *backend);
    /*
     * From now on received frames may be as these features allow: some of
     * GUEST_CSUM, GUEST_TSO4, GUEST_TSO6. Returns 0 or -errno. NULL: none may.
     */
    int (*set_offloads)(struct net_backend *backend, uint64_t features);
};

struct net_backend {
    const struct net_backend_ops *ops;
    uint64_t features; /* the offloads that it can do, as VIRTIO_NET_F_* */
    int fd;            /* what to wait for; borrowed, non-blocking */
    bool gone;         /* for good: it has nothing more to give or take */
};

struct net_options {
    struct net_backend *backend; /* outlives the device */
    uint8_t mac[ETH_ALEN];
    uint16_t mtu;        /* at least NET_MTU_MIN; 0: NET_MTU_DEFAULT */
    uint32_t queue_size; /* a power of 2, 2 to NET_QUEUE_MAX; 0: the default */
    struct limit_rate rates[2]; /* frames and bytes, by queue: NET_RX, NET_TX */
};

/* What went over the link; survives resets. */
struct net_stats {
    uint64_t rx_frames;   /* given to the driver */
    uint64_t rx_bytes;    /* of these, headers of ours not counted */
    uint64_t rx_filtered; /* for other addresses */
    uint64_t rx_dropped;  /* too long for the buffers or the MTU, or too short,
                             or not as negotiated */
    uint64_t rx_errors;   /* host calls that failed */
    uint64_t rx_starved;  /* times that there was no room to receive */
    uint64_t tx_frames;   /* taken by the host */
    uint64_t tx_bytes;    /* of these */
    uint64_t tx_dropped;  /* impossible header or length */
    uint64_t tx_errors;   /* refused by the host */
    uint64_t tx_stuck;    /* times that the host could not take one */
    uint64_t commands;    /* control commands that were obeyed */
    uint64_t refused;     /* and that were not */
};

/* A receive chain that is popped and not used yet. */
struct net_chain {
    uint16_t head;   /* names it */
    uint16_t pieces; /* of net_rx.iov that are its */
    uint64_t bytes;  /* room in it */
};

struct net_rx {
    unsigned count, pieces; /* in use of what follows */
    uint64_t bytes;         /* room in all */
    bool has_room;          /* for the next frame, when it was last looked at */
    struct net_chain chains[NET_QUEUE_MAX]; /* in the driver's order */
    struct iovec iov[NET_PIECES_MAX];       /* their writable pieces */
};

/* Which frames the driver wants, if it has VIRTIO_NET_F_CTRL_RX. */
struct net_filter {
    bool modes[6]; /* by VIRTIO_NET_CTRL_RX_* */
    /* Addresses, unicast and multicast; too many: all of the kind pass. */
    struct net_macs {
        unsigned count;
        bool too_many;
        uint8_t macs[NET_MACS_MAX][ETH_ALEN];
    } tables[2];
};

/* Notifications of one queue. */
struct net_moderation {
    struct coalesce coalesce;
    uint16_t since;      /* used index up to which a decision was made */
    uint64_t sent;       /* notifications that were due */
    uint64_t suppressed; /* that were due, and that the driver did not want */
};

struct net {
    struct vdev dev;
    struct virtio_net_config config;
    struct net_backend *backend;
    struct net_stats stats;
    uint8_t mac[ETH_ALEN];               /* after a reset; now: config.mac */
    struct net_moderation moderation[2]; /* by queue: NET_RX, NET_TX */
    struct net_filter filter;
    uint64_t offloads;        /* GUEST_* that received frames may use now */
    unsigned offload_changes; /* by command, since the last reset */
    bool offloads_are_set;    /* since the last reset */
    bool tx_stuck;            /* the host takes nothing now */
    bool is_paid[2];          /* the next frame is counted in limits[] ... */
    uint64_t paid_bytes[2];   /* ... with so many bytes */
    struct limit limits[2];   /* rates, by queue: NET_RX, NET_TX */
    uint64_t limited_ns[2];   /* when more may pass; VDEV_NEVER: now */
    struct log_limit limit;   /* for what driver and host do wrong */
    struct net_rx rx;
    struct iovec iov[NET_IOV_MAX]; /* of one frame or command */
};

/*
 * Sets up `net` with what is in `options`, which are not kept; the backend is.
 * The link is up unless the backend is gone. The device itself is `net->dev`.
 * Returns 0, or -EINVAL for a bad size, MTU or address (a group's).
 */
MUST_CHECK int net_init(struct net *net, const struct net_options *options);

/*
 * Coalesces notifications of both directions as if the driver had asked for it
 * (RX_SET and TX_SET), for a transport that configures devices itself. A reset
 * ends it.
 */
void net_set_default_coalescing(struct net *net, struct coalesce_limits limits);

#endif
