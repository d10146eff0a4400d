/* SPDX-License-Identifier: MIT */
/* The virtio socket device (virtio 1.2, 5.10), between a guest and sockets. */
#ifndef VIRTIO_VSOCK_H
#define VIRTIO_VSOCK_H

/*
 * Each stream of the guest is a socket of the host, which does the rest: TCP,
 * or whatever it is. Bytes move straight between the socket and guest memory;
 * the guest has no TCP/IP and no frames. The host is CID 2. There are streams
 * only, no packets in sequence.
 *
 *   host socket                      device                         guest
 *   accept(), or vsock_offer()  -->  REQUEST to the guest's port -->
 *                                    RESPONSE, or RST: closed    <--
 *   broker connects             <--  REQUEST to port 0x10000 + N <--
 *                                    RESPONSE, or RST            -->
 *   read()                      -->  RW, as the guest has credit -->
 *   write()                     <--  RW, as we have buffers      <--
 *   end of file                 -->  SHUTDOWN (sends no more)    -->
 *   shutdown()                  <--  SHUTDOWN (sends no more)    <--
 *   close()                     <--  SHUTDOWN (both)             <--  ... RST
 *
 * What the guest sends and the socket does not take yet is kept here: at most
 * VSOCK_BUFFER_BYTES a stream, which is the credit that the guest has
 * (5.10.6.3); a guest that sends more is cut off. What goes to the guest stays
 * in the socket until the guest has credit and has posted a buffer. So there is
 * back-pressure in both directions, and memory is bounded.
 *
 * A packet for the guest waits in its stream: of each kind there is at most
 * one. Refusals of streams that there are not wait in a short list; when that
 * is full, nothing more is taken from the guest until it has taken some of
 * these (5.10.6.1). While all streams are in use, or the guest's driver has
 * posted no buffer yet, connections wait where the host keeps them.
 *
 * A stream that the guest has closed is over for it at once; what it had sent
 * still goes out, even when the device is reset meanwhile. If all streams are
 * in use, the one that has been going out for longest is cut off.
 *
 * All files are in one epoll file, edge-triggered, which is what the device
 * waits for. Everything runs in the thread that serves the device. The process
 * must ignore SIGPIPE.
 */

#include <linux/virtio_vsock.h>

#include "virtio/device.h"

enum vsock_queue {
    VSOCK_RX,    /* to the guest (5.10.2) */
    VSOCK_TX,    /* from the guest */
    VSOCK_EVENT, /* to the guest */
    VSOCK_QUEUES,
};

#define VSOCK_HOST_CID       2u /* 5.10.4 */
#define VSOCK_GUEST_CID      3u
#define VSOCK_CONNECT_PORT   0x10000u /* of what may be connected to: + N */
#define VSOCK_CONNECTS_MAX   64u
#define VSOCK_STREAMS_MAX    1024u
#define VSOCK_LISTENERS_MAX  64u
#define VSOCK_RESETS_MAX     64u         /* refusals that wait for room */
#define VSOCK_BUFFER_BYTES   (64u << 10) /* buf_alloc */
#define VSOCK_QUEUE_ENTRIES  128u
#define VSOCK_EVENT_ENTRIES  8u
#define VSOCK_HEADER_BYTES   44u
#define VSOCK_HOST_PORT_BASE 1024u /* of streams to the guest: TCP's range */

/* What the device asks the broker, one packet each. */
struct vsock_connect {
    uint32_t entry;  /* of the list of what may be connected to */
    uint32_t ticket; /* comes back with the answer */
};

/* What it answers; with a connected socket, non-blocking, if error is 0. */
struct vsock_connected {
    uint32_t ticket;
    int32_t error; /* 0 or a negative errno */
};

/*
 * What went between the VM's sockets and it, for others to see, who may be
 * other processes. While a call moves bytes this has what it may move at most,
 * so that it is never less than what was moved; 0 means nothing.
 */
struct vsock_progress {
    uint64_t in_bytes;  /* read from sockets */
    uint64_t out_bytes; /* written to them */
};

struct vsock_options {
    /*
     * A connected SOCK_SEQPACKET socket to whoever connects for the guest,
     * non-blocking, borrowed; -1: nobody.
     */
    int broker;
    unsigned
        connect_count; /* entries of its list, VSOCK_CONNECTS_MAX at most */
    struct vsock_progress *progress; /* counted up there, too; or NULL */
};

enum vsock_state {
    VSOCK_FREE,
    VSOCK_REQUESTED, /* the guest was asked, or will be */
    VSOCK_AT_BROKER, /* the broker connects */
    VSOCK_OPEN,
    VSOCK_RESETTING, /* over; the guest is to be told */
    VSOCK_LINGERING, /* over for the guest; its bytes go out */
};

struct vsock_stream {
    int fd;          /* -1: none (yet, or any more) */
    uint8_t state;   /* enum vsock_state */
    uint8_t to_send; /* packets that wait for room: 1 << enum vsock_packet */
    uint8_t ended;   /* VIRTIO_VSOCK_SHUTDOWN_*: we said so */
    uint8_t guest_ended; /* the guest did */
    bool queued;         /* in the row of those with something to send */
    bool readable;       /* the socket may have something */
    bool writable;       /* the socket may take something */
    bool hung_up;        /* the end of the file is not far */
    bool asked;          /* the guest, for credit */
    bool named;          /* the guest knows it by its ports */
    bool given;          /* others may have the socket, too */
    bool watched;        /* its socket is in the epoll file */

    uint32_t guest_port, host_port;
    uint32_t guest_alloc, guest_fwd; /* the guest's credit, as it said */
    uint32_t tx_cnt;                 /* bytes sent to it */
    uint32_t fwd_cnt, told_fwd;      /* taken by the socket; as it knows */
    uint32_t out_start, out_bytes;   /* in this stream's buffer */
    uint16_t next; /* free: the next one; else in its hash row */
    uint16_t next_queued;
    uint32_t generation; /* of the slot: counts its streams */
    uint64_t order;      /* lingering: when it began */
};

struct vsock_listener {
    int fd;
    uint32_t guest_port;
    bool ready; /* there may be a connection */
};

/* A refusal of a stream that there is not. */
struct vsock_refusal {
    uint32_t guest_port, host_port;
    uint16_t type;
};

/* What happened; survives resets. */
struct vsock_stats {
    uint64_t offered;   /* connections to the guest */
    uint64_t connected; /* connections by the guest that were asked for */
    uint64_t opened;    /* of both, those that came to be */
    uint64_t refused;   /* and those that did not */
    uint64_t resets;    /* streams that we cut off */
    uint64_t in_bytes;  /* from the guest */
    uint64_t out_bytes; /* to the guest */
    uint64_t bad;       /* packets that make no sense */
    uint64_t starved;   /* times that there was no room for a packet */
};

struct vsock {
    struct vdev dev;
    struct virtio_vsock_config config;
    struct vsock_stats stats;
    struct log_limit limit;
    struct vsock_progress *progress; /* ours, or of options.progress */
    struct vsock_progress own_progress;
    int epoll_fd;
    int broker;
    unsigned connect_count;
    unsigned listener_count;
    unsigned used;      /* streams that are not free ... */
    unsigned lingering; /* ... of these */
    unsigned unwatched; /* sockets that are not in the epoll file */
    uint64_t order;     /* counts those */
    uint64_t retry_ns;  /* when to accept again; VDEV_NEVER */
    bool tell_reset;    /* VIRTIO_VSOCK_EVENT_TRANSPORT_RESET is due */
    bool awaits_room;   /* connections wait until there is room for a packet */
    bool tx_blocked;    /* too many refusals wait */
    bool quiet;         /* see vsock_set_quiet() */
    unsigned first_refusal, refusal_count;
    uint16_t first_free, fresh; /* given back; never used, from here on */
    uint16_t first_queued, last_queued;
    uint8_t *buffers; /* VSOCK_BUFFER_BYTES a stream; mapped, touched if used */
    struct vsock_listener listeners[VSOCK_LISTENERS_MAX];
    struct vsock_refusal refusals[VSOCK_RESETS_MAX];
    struct iovec iov[VSOCK_QUEUE_ENTRIES], data[VSOCK_QUEUE_ENTRIES];
    uint16_t rows[VSOCK_STREAMS_MAX]; /* of streams, by their ports */
    struct vsock_stream streams[VSOCK_STREAMS_MAX];
};

/*
 * Sets up a zeroed `vsock`. Makes its epoll file and maps room for buffers,
 * which vsock_fini() gives back. Returns 0 or -errno. The device is
 * `vsock->dev`.
 */
MUST_CHECK int vsock_init(struct vsock *vsock,
                          const struct vsock_options *options);

/* Closes all streams. Nothing if it was never set up: all zero. */
void vsock_fini(struct vsock *vsock);

/*
 * Connections to the listening socket `fd`, borrowed and non-blocking, are the
 * guest's, at `guest_port`. Returns 0, -ENOSPC or what epoll_ctl() returns.
 */
MUST_CHECK int vsock_listen(struct vsock *vsock, int fd, uint32_t guest_port);

/*
 * Offers the connected socket `fd`, non-blocking, to whoever listens at
 * `guest_port` in the guest; the device closes it in the end. It may be told
 * before the guest's driver is there; of resets only those after the guest was
 * asked end it. The caller then has the device served. Returns 0, or
 * -EAGAIN if all streams are in use: then it stays the caller's.
 *
 * Other descriptors of it may be open: a stream that the guest ends is shut
 * down before the device closes it, if the guest has sent anything on it (else
 * the others may still do so), and of one that the guest cuts off (RST)
 * the last of them to be closed resets the connection. One that a reset of the
 * device ends is only closed: the others may still use it.
 */
MUST_CHECK int vsock_offer(struct vsock *vsock, int fd, uint32_t guest_port);

/*
 * The same where the guest said before that it takes `room` bytes of data with
 * the request: they follow it at once, as if it had given credit for them. With
 * 0, as the standard has it, none come before its answer.
 */
MUST_CHECK int vsock_offer_ahead(struct vsock *vsock, int fd,
                                 uint32_t guest_port, uint32_t room);

/*
 * `quiet`: whoever serves the device does so often enough by itself. It asks
 * for no kicks for what the guest sends; but for those for buffers that it
 * needs.
 */
void vsock_set_quiet(struct vsock *vsock, bool quiet);

/* Streams in use, those that the guest has closed and that go out included. */
unsigned vsock_stream_count(const struct vsock *vsock);

/* Whether all streams are over for the guest, if some still go out. */
bool vsock_is_over(const struct vsock *vsock);

/* Whether bytes that the guest has sent are still to go out. */
bool vsock_has_output(const struct vsock *vsock);

#endif
