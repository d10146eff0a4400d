/* SPDX-License-Identifier: MIT */
/* The VM's network cards, frame by frame, for programs without TCP/IP. */
#ifndef MAYFLY_NET_H
#define MAYFLY_NET_H

/*
 * Cards are numbered from 0 in the order of --net on the command line. They
 * carry Ethernet frames, without the checksum at their end, and the guest never
 * copies one.
 *
 * Receiving. The card fills buffers of the driver's. nic_receive() hands out
 * frames as chains of them; they are the caller's until nic_release() or
 * nic_forward() gives them back. A caller that keeps all of them receives
 * nothing more.
 *
 * Sending. nic_send() takes a frame where it lies; it has to stay as it is
 * until the `sent` function of nic_on_sent() is called with its cookie.
 * nic_forward() sends a received frame out of its own buffers and then gives
 * those back. Neither tells the card: nic_flush() shows it everything sent and
 * released since the last time, with one kick at most, so a batch costs what
 * one frame costs. nic_receive() does so too when it finds
 * nothing, and so does nic_arm().
 *
 *   nic_open(0, &card);
 *   while ((count = nic_receive(0, frames, 64, NIC_FOREVER)) > 0) {
 *       for (long i = 0; i < count; i++)
 *           ... nic_forward(0, frames[i]) or nic_release(0, &frames[i], 1)
 *       nic_flush(0);
 *   }
 *
 * A computing program arms nic_event() by mf_upcall_arm() and calls nic_arm();
 * its handler receives with a deadline of 0 until nothing is left, and calls
 * nic_arm() again. One card belongs to one caller at a time: mask upcalls
 * around calls for a card that a handler uses.
 *
 * Every function returns 0 or more, or a negative errno: -ENODEV if there is no
 * such card or it is not open, -EIO if the card has given up
 * (virtio 1.2, 2.1.2), and what is said below. Sections 5.1.x are of that
 * standard, too.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NIC_MAC_BYTES  6u
#define NIC_PIECES_MAX 40u /* of a frame to send */
#define NIC_FOREVER    UINT64_MAX

/* What a card can do, as bits of nic_info.can. */
#define NIC_CAN_CHECKSUM_OUT 0x01u /* completes checksums of frames sent */
#define NIC_CAN_CHECKSUM_IN  0x02u /* received ones may be incomplete */
#define NIC_CAN_TSO4_OUT     0x04u /* cuts TCP over IPv4 into segments */
#define NIC_CAN_TSO6_OUT     0x08u /* and over IPv6 */
#define NIC_CAN_TSO4_IN      0x10u /* received ones may be up to 64 KiB */
#define NIC_CAN_TSO6_IN      0x20u
#define NIC_CAN_PROMISCUOUS  0x40u  /* nic_set_promiscuous() works */
#define NIC_CAN_SET_MAC      0x80u  /* nic_set_mac() works */
#define NIC_CAN_COALESCE     0x100u /* nic_set_coalescing() works */

/* What is done about a frame's checksum and size (5.1.6.2). */
struct nic_offload {
    uint8_t flags;         /* NIC_OFFLOAD_* */
    uint8_t gso_type;      /* NIC_GSO_* */
    uint16_t header_bytes; /* up to the payload of TCP; of large frames */
    uint16_t gso_bytes;    /* payload of each segment; of large frames */
    uint16_t csum_start;   /* where to begin adding up */
    uint16_t csum_offset;  /* where the sum goes, from there */
};

#define NIC_OFFLOAD_CHECKSUM                                              \
    1u                       /* only the pseudo header is added up so far \
                              */
#define NIC_OFFLOAD_VALID 2u /* received: the checksum is right */

#define NIC_GSO_NONE 0u
#define NIC_GSO_TCP4 1u
#define NIC_GSO_TCP6 4u
#define NIC_GSO_ECN  0x80u /* with one of these: the ECN bit is set */

struct nic_info {
    uint8_t mac[NIC_MAC_BYTES];
    uint16_t mtu; /* bytes behind the Ethernet header of 14 bytes */
    bool link_up;
    uint32_t can;          /* NIC_CAN_* */
    uint32_t buffers;      /* for receiving */
    uint32_t buffer_bytes; /* of each */
};

/* One buffer of a received frame. Its first one speaks for the frame. */
struct nic_buffer {
    struct nic_buffer *next; /* of the same frame; NULL: the last one */
    unsigned char *data;
    uint32_t bytes;             /* at data */
    uint32_t frame_bytes;       /* of all buffers; in the first one */
    struct nic_offload offload; /* in the first one */
};

/* What went through a card since it was opened. */
struct nic_stats {
    uint64_t received;       /* frames */
    uint64_t received_bytes; /* of these */
    uint64_t sent;           /* frames that the card has taken */
    uint64_t errors;         /* received ones that were no frames */
    uint64_t flushes;        /* times the card was shown something */
    uint64_t kicks;          /* of these, it wanted to be told */
    uint64_t waits;          /* times a caller was put to sleep */
};

typedef void nic_sent(void *cookie);

/* Returns how many cards there are. */
int nic_count(void);

/*
 * Makes card `index` ready, which has to come first and costs no exit, and
 * fills
 * `*info`; later calls only do the latter, and so show changes of the
 * link. Returns 0, or -ENOMEM.
 */
int nic_open(unsigned index, struct nic_info *info);

/*
 * Takes up to `max` received frames into `frames`. Without any it looks for a
 * while and then waits until monotonic time is `deadline_ns` (as
 * CLOCK_MONOTONIC tells it, in nanoseconds): 0 for not at all, NIC_FOREVER.
 * Returns how many, or 0 if time is up, or the link went up or down.
 */
long nic_receive(unsigned index, struct nic_buffer **frames, unsigned max,
                 uint64_t deadline_ns);

/*
 * Gives `count` received frames back. The card gets their buffers with the next
 * flush. Returns 0.
 */
int nic_release(unsigned index, struct nic_buffer **frames, unsigned count);

/*
 * Sends a frame of `count` (1 to NIC_PIECES_MAX) non-empty pieces, at least 14
 * bytes in all. `offload` is NULL for a frame that is complete, and copied.
 * Once the card has taken it, nic_on_sent()'s function is called with `cookie`,
 * unless that is NULL. Returns 0, -EAGAIN if there is no room
 * (nic_wait_room() waits for some), -EMSGSIZE if it is larger than
 * the MTU allows, -EINVAL for other counts or sizes, -EFAULT if a piece is not
 * in memory, -EOPNOTSUPP if the card cannot do what `offload` asks for.
 */
int nic_send(unsigned index, const struct iovec *pieces, unsigned count,
             const struct nic_offload *offload, void *cookie);

/*
 * Sends a received frame, of which data, bytes and offload may be changed as
 * long as data stays within its buffer and does not begin before where it was.
 * It is given back once the card has taken it. Returns as nic_send() does;
 * after an error it is still the caller's.
 */
int nic_forward(unsigned index, struct nic_buffer *frame);

/* Names the function that is told of frames sent; NULL: none. Returns 0. */
int nic_on_sent(unsigned index, nic_sent *sent);

/*
 * Shows the card everything that was sent and released, and takes back what it
 * is done with, calling the `sent` function. Returns how many frames it is not
 * done with.
 */
long nic_flush(unsigned index);

/*
 * Flushes and waits until the card is done with all but `most` of the frames
 * sent. Returns 0.
 */
int nic_wait_room(unsigned index, unsigned most);

/*
 * Flushes, and asks for nic_event() to be raised with the next frame. Returns 1
 * if there is one already: then there may be no event for it; 0 otherwise. A
 * nic_receive() that waits undoes it.
 */
int nic_arm(unsigned index);

/* The card's bit in the event word, as a mask; 0 if it is not open. */
uint64_t nic_event(unsigned index);

/*
 * Lets everything in, whatever its destination, or no more (5.1.6.5.1).
 * This and the next four return 0, -EOPNOTSUPP, or -EIO if the card refused.
 */
int nic_set_promiscuous(unsigned index, bool on);

/* Lets all that goes to groups of stations in, or no more (5.1.6.5.1). */
int nic_set_all_multicast(unsigned index, bool on);

/* Changes the address that the card listens to (5.1.6.5.2). */
int nic_set_mac(unsigned index, const uint8_t mac[NIC_MAC_BYTES]);

/*
 * Moderates events: one for `packets` received frames, or `usecs` after the
 * first of them, whichever comes first (5.1.6.5.7). 0 packets: one for each.
 */
int nic_set_coalescing(unsigned index, uint32_t packets, uint32_t usecs);

/* The same for frames sent. */
int nic_set_coalescing_sent(unsigned index, uint32_t packets, uint32_t usecs);

/* Fills `*stats`. */
int nic_read_stats(unsigned index, struct nic_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
