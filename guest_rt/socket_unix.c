/* SPDX-License-Identifier: MIT */
/* Sockets of the family AF_UNIX: opening and ending them. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>

#include "guest_rt/runtime.h"
#include "guest_rt/socket_unix.h"

#define BACKLOG_MAX 4096u

/* Questions about interfaces, where there are any (socket_ioctl.c). */
long inet_interface_ioctl(unsigned request, long argument)
    __attribute__((weak));

struct unix_socket *unix_sockets;

static const struct socket_ops unix_ops;

static struct unix_socket *create(int type)
{
    struct unix_socket *one = socket_alloc(sizeof(*one));

    if (!one)
        return NULL;
    socket_init(&one->socket, &unix_ops, AF_UNIX, type, 0);
    one->next = unix_sockets;
    one->link = &unix_sockets;
    if (unix_sockets)
        unix_sockets->link = &one->next;
    unix_sockets = one;
    return one;
}

int socket_unix_create(int type, struct socket **socket)
{
    struct unix_socket *one;

    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return -ESOCKTNOSUPPORT;
    one = create(type);
    if (!one)
        return -ENOMEM;
    *socket = &one->socket;
    return 0;
}

/* ---- Connecting ---------------------------------------------------------- */

/* Both are each other's peers from now on. */
static void join(struct unix_socket *one, struct unix_socket *other)
{
    one->peer = other;
    other->peer = one;
    one->phase = other->phase = UNIX_CONNECTED;
    one->peer_name = other->name;
    other->peer_name = one->name;
}

int socket_unix_connect_pair(struct socket *one, struct socket *other)
{
    join(unix_socket_of(one), unix_socket_of(other));
    return 0;
}

/* Waits for room in the queue of connections to accept. 0 or -errno. */
static int wait_pending(struct unix_socket *one, struct unix_socket **listener,
                        const struct socket_name *name)
{
    while ((*listener)->pending > (*listener)->backlog) {
        int error = one->socket.file->flags & O_NONBLOCK
                        ? -EAGAIN
                        : wait_on(&(*listener)->socket.file->wait, WAIT_NO_END);

        if (!error)
            error = socket_unix_find(name, listener);
        if (!error && (*listener)->phase != UNIX_LISTENING)
            error = -ECONNREFUSED;
        if (error)
            return error;
    }
    return 0;
}

static int connect_stream(struct unix_socket *one, struct unix_socket *listener,
                          const struct socket_name *name)
{
    struct unix_socket *accepted;
    int error;

    if (one->phase == UNIX_LISTENING)
        return -EINVAL;
    if (one->phase != UNIX_IDLE)
        return -EISCONN;
    if (listener->phase != UNIX_LISTENING)
        return -ECONNREFUSED;
    error = wait_pending(one, &listener, name);
    if (error)
        return error;
    /* Another thread may have connected it meanwhile. */
    if (one->phase != UNIX_IDLE)
        return -EISCONN;
    accepted = create(one->socket.type);
    if (!accepted)
        return -ENOMEM;
    accepted->name = listener->name;
    accepted->socket.booleans = listener->socket.booleans;
    join(one, accepted);
    if (listener->pending_last)
        listener->pending_last->pending_next = accepted;
    else
        listener->pending_first = accepted;
    listener->pending_last = accepted;
    listener->pending++;
    socket_wake(&listener->socket, EPOLLIN | EPOLLRDNORM);
    return 0;
}

static int connect_unix(struct socket *socket, const struct socket_name *name)
{
    struct unix_socket *one = unix_socket_of(socket), *other;
    int error;

    if (name->bytes >= sizeof(sa_family_t) &&
        name->any.sa_family == AF_UNSPEC && !unix_is_connected_kind(one)) {
        one->peer = NULL;
        one->phase = UNIX_IDLE;
        return 0;
    }
    error = socket_unix_find(name, &other);
    if (error)
        return error;
    if (other->socket.type != socket->type)
        return -EPROTOTYPE;
    if (unix_is_connected_kind(one))
        return connect_stream(one, other, name);
    one->peer = other;
    one->peer_name = other->name;
    one->phase = UNIX_CONNECTED;
    return 0;
}

static int listen_unix(struct socket *socket, int backlog)
{
    struct unix_socket *one = unix_socket_of(socket);

    if (!unix_is_connected_kind(one))
        return -EOPNOTSUPP;
    if (one->name.bytes == 0 ||
        (one->phase != UNIX_IDLE && one->phase != UNIX_LISTENING))
        return -EINVAL;
    one->phase = UNIX_LISTENING;
    one->backlog =
        (unsigned)backlog < BACKLOG_MAX ? (unsigned)backlog : BACKLOG_MAX;
    return 0;
}

static int accept_unix(struct socket *socket, struct socket **accepted)
{
    struct unix_socket *one = unix_socket_of(socket), *first;
    uint64_t deadline = socket_deadline(socket->receive_ns);
    int error;

    if (!unix_is_connected_kind(one))
        return -EOPNOTSUPP;
    if (one->phase != UNIX_LISTENING)
        return -EINVAL;
    while (!one->pending_first) {
        if (one->shut_read)
            return -EINVAL;
        error = socket_wait_accept(socket, deadline);
        if (error)
            return error;
    }
    first = one->pending_first;
    one->pending_first = first->pending_next;
    if (!one->pending_first)
        one->pending_last = NULL;
    one->pending--;
    first->pending_next = NULL;
    socket_wake(socket, EPOLLOUT); /* for those that wait in connect() */
    *accepted = &first->socket;
    return 0;
}

/* ---- Ending -------------------------------------------------------------- */

static int shutdown_unix(struct socket *socket, int how)
{
    struct unix_socket *one = unix_socket_of(socket), *peer = one->peer;

    if (how != SHUT_WR)
        one->shut_read = true;
    if (how != SHUT_RD)
        one->shut_write = true;
    if (peer && unix_is_connected_kind(one)) {
        if (how != SHUT_WR)
            peer->shut_write = true;
        if (how != SHUT_RD)
            peer->shut_read = true;
        socket_wake(&peer->socket, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
    }
    socket_wake(socket, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
    return 0;
}

/* The other end of a connection learns that this one is gone. */
static void leave_peer(struct unix_socket *one)
{
    struct unix_socket *peer = one->peer;

    if (!peer || peer->peer != one || !unix_is_connected_kind(one))
        return;
    if (one->first)
        peer->socket.error = ECONNRESET;
    peer->peer = NULL;
    peer->phase = UNIX_OVER;
    peer->shut_read = peer->shut_write = true;
    socket_wake(&peer->socket, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP |
                                   (peer->socket.error ? EPOLLERR : 0u));
}

/* Nobody sends to it any more. */
static void forget(struct unix_socket *gone)
{
    socket_unix_tell_room(gone);
    for (struct unix_socket *each = unix_sockets; each; each = each->next)
        if (each->peer == gone)
            each->peer = NULL;
}

static void release(struct socket *socket)
{
    struct unix_socket *one = unix_socket_of(socket);

    while (one->pending_first) {
        struct unix_socket *pending = one->pending_first;

        one->pending_first = pending->pending_next;
        release(&pending->socket);
    }
    leave_peer(one);
    *one->link = one->next;
    if (one->next)
        one->next->link = one->link;
    if (!unix_is_connected_kind(one))
        forget(one);
    socket_unix_unbind(one);
    socket_unix_drop_messages(one);
    socket_free(one);
}

/* ---- The rest ------------------------------------------------------------ */

static int get_name(struct socket *socket, bool peer, struct socket_name *name)
{
    struct unix_socket *one = unix_socket_of(socket);

    if (peer && one->phase != UNIX_CONNECTED && one->phase != UNIX_OVER)
        return -ENOTCONN;
    *name = peer ? one->peer_name : one->name;
    if (name->bytes == 0) {
        name->bytes = sizeof(sa_family_t);
        name->any.sa_family = AF_UNIX;
    }
    return 0;
}

static int get_option(struct socket *socket, int level, int option, void *value,
                      socklen_t *bytes)
{
    struct ucred self = {.pid = MF_PID};
    int listening = unix_socket_of(socket)->phase == UNIX_LISTENING;
    const void *from = option == SO_PEERCRED ? (void *)&self : &listening;
    size_t have = option == SO_PEERCRED ? sizeof(self) : sizeof(listening);

    if (level != SOL_SOCKET ||
        (option != SO_PEERCRED && option != SO_ACCEPTCONN))
        return -ENOPROTOOPT;
    if (*bytes > have)
        *bytes = (socklen_t)have;
    memcpy(value, from, *bytes);
    return 0;
}

static long control(struct socket *socket, unsigned request, long argument)
{
    struct unix_socket *one = unix_socket_of(socket);
    size_t bytes;

    if (request == FIONREAD) {
        bytes = one->queued;
        if (!unix_is_stream(one))
            bytes = one->first ? one->first->bytes : 0;
    } else if (request == SIOCOUTQ) {
        bytes = one->peer ? one->peer->queued : 0;
    } else {
        return inet_interface_ioctl ? inet_interface_ioctl(request, argument)
                                    : -ENOTTY;
    }
    if (one->phase == UNIX_LISTENING)
        return -EINVAL;
    *(int *)argument = (int)bytes;
    return 0;
}

static const struct socket_ops unix_ops = {
    .bind = socket_unix_bind,
    .connect = connect_unix,
    .listen = listen_unix,
    .accept = accept_unix,
    .send = socket_unix_send,
    .receive = socket_unix_receive,
    .shutdown = shutdown_unix,
    .get_name = get_name,
    .get_option = get_option,
    .poll = socket_unix_poll,
    .ioctl = control,
    .release = release,
};
