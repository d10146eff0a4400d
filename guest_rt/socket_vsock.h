/* SPDX-License-Identifier: MIT */
/* Sockets over the virtio socket device: what their parts know of each other.
 */
#ifndef GUEST_RT_SOCKET_VSOCK_H
#define GUEST_RT_SOCKET_VSOCK_H

/*
 * Streams of the families AF_VSOCK, AF_INET and AF_INET6. Those of the latter
 * two look like TCP: a VM with this device and no network card has the address
 * 10.0.2.15, and whoever connects from outside is 10.0.2.2. The port
 * that it connects to is a port of AF_VSOCK, too: there is one set of them.
 * What may be connected to, outside, is what the options "connect=N:ADDR:PORT"
 * list: then the stream goes to the host's port VSOCK_CONNECT_PORT + N.
 *
 * The other end of a stream is at the device (`device`), or in this VM, and
 * then found by `peer`; it was closed if that is NULL. Two ends in this VM put
 * data into each other's queues.
 *
 * A socket goes from VSOCK_IDLE to LISTENING, or over CONNECTING to CONNECTED,
 * and ends OVER. One that was closed while it is connected through the device
 * goes on without a file, CLOSING, until the device says that it is over. A
 * listening socket takes `backlog` + 1 connections before the program accepts
 * one; those who asked later wait for their answer, as with TCP.
 *
 * socket_vsock.c opens and ends streams, socket_vsock_data.c moves data,
 * socket_vsock_packet.c talks with the device, socket_vsock_name.c has the
 * addresses, socket_vsock_option.c the options.
 */

#include <linux/vm_sockets.h>

#include "socket.h"
#include "socket_settings.h"
#include "vsock.h"

#define VSOCK_CONNECT_PORT 0x10000u /* of the host: + N */

enum vsock_phase {
    VSOCK_IDLE,
    VSOCK_LISTENING,
    VSOCK_CONNECTING, /* or asked to accept, and not answered yet */
    VSOCK_CONNECTED,
    VSOCK_CLOSING,
    VSOCK_OVER,
};

/* Where a stream begins or ends, in both worlds. */
struct vsock_address {
    uint8_t ip[16]; /* IPv4 mapped; all 0: any */
    uint32_t cid;
    uint32_t port;
};

struct vsock_socket {
    struct socket socket;
    struct vsock_socket *next, **link; /* in the list of all */
    struct vsock_socket *row_next;     /* in a row of those by ports */
    enum vsock_phase phase;
    struct vsock_address local, remote;
    bool bound;
    bool device;
    struct vsock_socket *peer;
    bool failed;  /* connect() has not told yet why it ended */
    bool told;    /* connect() has said that it is connected */
    bool got_end; /* the other end sends no more */
    bool shut_read, shut_write;
    bool full; /* somebody was told that there is no room */
    bool only_ip6;
    struct tcp_settings settings; /* without effect */
    uint8_t tos, ttl;             /* the same; 0: not set */
    uint64_t vm_bytes;            /* SO_VM_SOCKETS_BUFFER_SIZE; 0: not set */

    /* Through the device: its port, and credit (virtio 1.2, 5.10.6.3). */
    uint32_t peer_port;
    uint32_t sent, peer_forwarded, peer_room;
    uint32_t forwarded, told_forwarded; /* read by the program; as it knows */
    uint32_t room;                      /* what we have for it */

    struct vsock_buffer *first, *last; /* received */
    size_t received;                   /* bytes in all of them */

    /* A listening one's connections to accept; theirs. */
    struct vsock_socket *pending_first, *pending_last;
    unsigned pending, backlog;
    struct vsock_socket *listener, *pending_next;
};

static inline struct vsock_socket *vsock_socket_of(struct socket *socket)
{
    return (struct vsock_socket *)socket;
}

static inline bool vsock_is_inet(const struct vsock_socket *one)
{
    return one->socket.domain != AF_VSOCK;
}

/* ---- socket_vsock.c ---- */

/* The list of all. */
extern struct vsock_socket *vsock_sockets;

/* A new one, or NULL. */
struct vsock_socket *socket_vsock_alloc(int domain);

/* Frees it, with what it has received. */
void socket_vsock_destroy(struct vsock_socket *one);

/*
 * Somebody wants to connect to the listening socket. Returns what will be
 * accepted, or NULL: there is no memory. The caller fills in its other end, and
 * then calls socket_vsock_answer().
 */
struct vsock_socket *socket_vsock_ask(struct vsock_socket *listener);

/* Answers those who asked, as far as there is room for them. */
void socket_vsock_answer(struct vsock_socket *listener);

/* The connection to be accepted is not there any more. */
void socket_vsock_take_back(struct vsock_socket *pending);

/* It is connected. */
void socket_vsock_connected(struct vsock_socket *one);

/* It has ended, for `error`; 0: as it should. */
void socket_vsock_end(struct vsock_socket *one, int error);

/* ---- socket_vsock_data.c ---- */

long socket_vsock_send(struct socket *socket, struct socket_message *message);
long socket_vsock_receive(struct socket *socket,
                          struct socket_message *message);
uint32_t socket_vsock_poll(struct socket *socket);
long socket_vsock_ioctl(struct socket *socket, unsigned request, long argument);

/* Whether poll() says that it can be written to. */
bool socket_vsock_is_writable(const struct vsock_socket *one);

/* There may be room again: tells those who have found none. */
void socket_vsock_tell_room(struct vsock_socket *one);

/* Puts a buffer with data behind what was received. */
void socket_vsock_append(struct vsock_socket *one, struct vsock_buffer *data);

/* Copies data there. Returns 0 or -ENOBUFS. */
int socket_vsock_append_copy(struct vsock_socket *one, const void *data,
                             size_t bytes);

void socket_vsock_drop_received(struct vsock_socket *one);

/* ---- socket_vsock_packet.c ---- */

/* Opens the device, if there is one. */
void socket_vsock_start(void);

/* The stream has these ports at the device from now on; or has none. */
void socket_vsock_register(struct vsock_socket *one, uint32_t peer_port);
void socket_vsock_unregister(struct vsock_socket *one);

/* Whether a stream to that port of the host has this port here. */
bool socket_vsock_is_registered(uint32_t local_port, uint32_t peer_port);

/* A packet without data; `flags` are those of VIRTIO_VSOCK_OP_SHUTDOWN. */
void socket_vsock_tell(struct vsock_socket *one, unsigned op, uint32_t flags);

/*
 * Sends part of the message from `at` on, as much as one packet takes. Returns
 * how much, or -ENOBUFS.
 */
long socket_vsock_transmit(struct vsock_socket *one,
                           const struct socket_message *message, size_t at,
                           size_t bytes);

/* ---- socket_vsock_name.c ---- */

/* Reads a program's address for this socket. Returns 0 or -errno. */
int socket_vsock_read_name(const struct vsock_socket *one,
                           const struct socket_name *name,
                           struct vsock_address *address);

/* Writes an address as this socket's family has it. */
void socket_vsock_write_name(const struct vsock_socket *one,
                             const struct vsock_address *address,
                             struct socket_name *name);

/* Binds it; port 0, or any, becomes a free one. Returns 0 or -errno. */
int socket_vsock_bind(struct vsock_socket *one,
                      const struct vsock_address *address);

/* Whether no other socket listens where this one would. */
bool socket_vsock_may_listen(const struct vsock_socket *one);

/* An address any becomes what stands for it, for connect(). */
void socket_vsock_resolve(const struct vsock_socket *one,
                          struct vsock_address *address);

/* Whether it is one of this VM's. */
bool socket_vsock_is_own(const struct vsock_socket *one,
                         const struct vsock_address *address);

/* The host's port that leads to this address, or -ENETUNREACH or -ENODEV. */
long socket_vsock_route(const struct vsock_socket *one,
                        const struct vsock_address *address);

/* Who listens at an address of this VM's, for that socket; or NULL. */
struct vsock_socket *
socket_vsock_find_local(const struct vsock_socket *from,
                        const struct vsock_address *address);

/* Who listens at that port, for the outside; or NULL. */
struct vsock_socket *socket_vsock_find_listener(uint32_t port);

/* The addresses of a stream's two ends, this VM and the host. */
void socket_vsock_set_own(struct vsock_address *address, uint32_t port);
void socket_vsock_set_host(struct vsock_address *address, uint32_t port);

/* ---- socket_vsock_option.c ---- */

int socket_vsock_set_option(struct socket *socket, int level, int option,
                            const void *value, socklen_t bytes);
int socket_vsock_get_option(struct socket *socket, int level, int option,
                            void *value, socklen_t *bytes);

/* What an accepted connection has from its listener. */
void socket_vsock_inherit(struct vsock_socket *one,
                          const struct vsock_socket *listener);

#endif
