/* SPDX-License-Identifier: MIT */
/* Sockets of the family AF_UNIX: what their parts know of each other. */
#ifndef GUEST_RT_SOCKET_UNIX_H
#define GUEST_RT_SOCKET_UNIX_H

/*
 * Both ends are in this VM: sending puts a message into the other one's queue.
 * A socket that is bound to a path is its node's `special` (vfs.h); those of
 * abstract names are found in the list of all.
 *
 * socket_unix.c opens and ends, socket_unix_name.c has the names,
 * socket_unix_data.c moves messages.
 */

#include "socket.h"

struct vnode;

#define UNIX_FILES_MAX 253u /* of one message, as Linux's SCM_MAX_FD */

/* One message in a queue; its bytes follow. */
struct unix_message {
    struct unix_message *next;
    struct socket_name from;
    struct file **files; /* that came with it; NULL: none */
    unsigned file_count;
    size_t bytes, taken;
    unsigned char data[];
};

enum unix_phase { UNIX_IDLE, UNIX_LISTENING, UNIX_CONNECTED, UNIX_OVER };

struct unix_socket {
    struct socket socket;
    struct unix_socket *next, **link; /* in the list of all */
    enum unix_phase phase;
    struct unix_socket *peer; /* NULL: none, or it is gone */
    bool shut_read, shut_write;
    bool wants_room; /* a datagram waits for room at whom it names */
    struct socket_name name, peer_name; /* no bytes: unbound */
    struct vnode *node;                 /* bound to it */

    struct unix_message *first, *last;
    size_t queued; /* bytes */

    /* A listening one's connections to accept; theirs. */
    struct unix_socket *pending_first, *pending_last, *pending_next;
    unsigned pending, backlog;
};

static inline struct unix_socket *unix_socket_of(struct socket *socket)
{
    return (struct unix_socket *)socket;
}

static inline bool unix_is_stream(const struct unix_socket *one)
{
    return one->socket.type == SOCK_STREAM;
}

static inline bool unix_is_connected_kind(const struct unix_socket *one)
{
    return one->socket.type != SOCK_DGRAM;
}

/* ---- socket_unix.c ---- */

/* The list of all. */
extern struct unix_socket *unix_sockets;

/* ---- socket_unix_name.c ---- */

int socket_unix_bind(struct socket *socket, const struct socket_name *name);

/* The socket of that name, or -errno. */
int socket_unix_find(const struct socket_name *name,
                     struct unix_socket **found);

/* Its name is free again. */
void socket_unix_unbind(struct unix_socket *one);

/* ---- socket_unix_data.c ---- */

long socket_unix_send(struct socket *socket, struct socket_message *message);
long socket_unix_receive(struct socket *socket, struct socket_message *message);
uint32_t socket_unix_poll(struct socket *socket);
void socket_unix_drop_messages(struct unix_socket *one);

/* Those that send to this socket, and found no room, are to try again. */
void socket_unix_tell_room(struct unix_socket *one);

#endif
