/* SPDX-License-Identifier: MIT */
/* The network device's link to a user-mode network: frames over a stream. */
#ifndef VIRTIO_STREAM_H
#define VIRTIO_STREAM_H

/*
 * The protocol of QEMU's stream sockets, which passt speaks: each frame after
 * its length, a 32-bit big-endian number. There are no offloads.
 *
 * The peer is not trusted. A length that no frame has means that it speaks
 * something else: the link goes down. So it does when the peer closes its end.
 *
 * Reads go through a buffer here, so that one call brings many frames; of a
 * frame that the socket took in part the rest is kept here, and the next one
 * waits for it. A reset of the device leaves both alone: the stream must stay
 * in step. The process must ignore SIGPIPE.
 */

#include "virtio/net.h"

#define STREAM_LENGTH_BYTES 4u
#define STREAM_IN_BYTES     (128u << 10)
#define STREAM_OUT_BYTES    (STREAM_LENGTH_BYTES + NET_FRAME_MAX)

struct stream {
    struct net_backend backend;
    uint8_t out_length[STREAM_LENGTH_BYTES]; /* of the frame to be sent */
    size_t in_start, in_end;   /* of in[]: read, not received yet */
    size_t out_start, out_end; /* of out[]: still to be written */
    struct log_limit limit;    /* for saying what the peer did */
    uint8_t in[STREAM_IN_BYTES];
    uint8_t out[STREAM_OUT_BYTES];
};

/* Sets up `stream` over the socket `fd`, borrowed, which does not block. */
void stream_init(struct stream *stream, int fd);

#endif
