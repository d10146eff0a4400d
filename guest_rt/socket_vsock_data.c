/* SPDX-License-Identifier: MIT */
/* Streams over the virtio socket device: moving data, and what poll says. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "guest_rt/socket_vsock.h"

#define COPY_BYTES 4000u /* a buffer for what comes in small pieces */

/* Questions about interfaces, where there are any (socket_ioctl.c). */
long inet_interface_ioctl(unsigned request, long argument)
    __attribute__((weak));

/* ---- What was received --------------------------------------------------- */

void socket_vsock_append(struct vsock_socket *one, struct vsock_buffer *data)
{
    data->next = NULL;
    if (one->last)
        one->last->next = data;
    else
        one->first = data;
    one->last = data;
    one->received += data->end - data->start;
}

/* The last buffer, if it has room, or a new one behind it, or NULL. */
static struct vsock_buffer *find_tail(struct vsock_socket *one, size_t bytes)
{
    struct vsock_buffer *tail = one->last;

    if (tail && tail->end < tail->room)
        return tail;
    tail = vsock_buffer_create(bytes > COPY_BYTES ? bytes
                               : bytes > COPY_BYTES / 8 || one->last
                                   ? COPY_BYTES
                                   : COPY_BYTES / 8);
    if (tail)
        socket_vsock_append(one, tail);
    return tail;
}

int socket_vsock_append_copy(struct vsock_socket *one, const void *data,
                             size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        struct vsock_buffer *tail = find_tail(one, bytes - done);
        size_t part = bytes - done;

        if (!tail)
            return -ENOBUFS;
        if (part > tail->room - tail->end)
            part = tail->room - tail->end;
        memcpy(tail->data + tail->end, (const char *)data + done, part);
        tail->end += (uint32_t)part;
        one->received += part;
        done += part;
    }
    return 0;
}

/* The same from a message. Returns how much that was, or -ENOBUFS. */
static long append_message(struct vsock_socket *one,
                           const struct socket_message *message, size_t at,
                           size_t bytes)
{
    struct vsock_buffer *tail =
        find_tail(one, bytes > VSOCK_PACKET_MAX ? VSOCK_PACKET_MAX : bytes);

    if (!tail)
        return -ENOBUFS;
    if (bytes > tail->room - tail->end)
        bytes = tail->room - tail->end;
    bytes = socket_copy_in(message, at, tail->data + tail->end, bytes);
    tail->end += (uint32_t)bytes;
    one->received += bytes;
    return (long)bytes;
}

static void drop_first(struct vsock_socket *one)
{
    struct vsock_buffer *first = one->first;

    one->first = first->next;
    if (!one->first)
        one->last = NULL;
    vsock_buffer_destroy(first);
}

void socket_vsock_drop_received(struct vsock_socket *one)
{
    while (one->first)
        drop_first(one);
    one->received = 0;
}

/* ---- Room ---------------------------------------------------------------- */

/* What the other end takes at most, and how much of that is on its way. */
static size_t limit_of(const struct vsock_socket *one)
{
    return one->device ? one->peer_room
           : one->peer ? one->peer->socket.receive_limit
                       : 0;
}

static size_t count_unread(const struct vsock_socket *one)
{
    return one->device ? one->sent - one->peer_forwarded
           : one->peer ? one->peer->received
                       : 0;
}

/* How many bytes may be written now. */
static size_t find_room(const struct vsock_socket *one)
{
    size_t limit = limit_of(one), unread = count_unread(one);

    return unread < limit ? limit - unread : 0;
}

/* A quarter of it is free: so there is no traffic about single bytes. */
bool socket_vsock_is_writable(const struct vsock_socket *one)
{
    size_t room = find_room(one);

    return room > 0 && room >= limit_of(one) / 4 &&
           (!one->device || vsock_has_room());
}

void socket_vsock_tell_room(struct vsock_socket *one)
{
    if (!one->full || !socket_vsock_is_writable(one))
        return;
    one->full = false;
    socket_wake(&one->socket, EPOLLOUT | EPOLLWRNORM);
}

/* Somebody waits for room: the other end, or the ring, tells of it. */
static void want_room(struct vsock_socket *one)
{
    one->full = true;
    if (one->device && !vsock_has_room())
        vsock_want_room();
}

/* ---- Sending ------------------------------------------------------------- */

/* Whether data may be written, or why not; waits for a connection. */
static int check_sendable(struct vsock_socket *one, int flags,
                          uint64_t deadline)
{
    while (one->phase == VSOCK_CONNECTING) {
        int error = socket_wait(&one->socket, flags, deadline);

        if (error)
            return error;
    }
    if (one->socket.error)
        return socket_take_error(&one->socket);
    if (!vsock_is_inet(one) &&
        (one->phase == VSOCK_IDLE || one->phase == VSOCK_LISTENING))
        return -ENOTCONN;
    if (one->phase != VSOCK_CONNECTED || one->shut_write ||
        (!one->device && !one->peer))
        return socket_broken_pipe(flags);
    return 0;
}

/* Writes what there is room for, from `at` on. Returns bytes, or -errno. */
static long write_some(struct vsock_socket *one,
                       const struct socket_message *message, size_t at)
{
    size_t done = 0;

    while (at + done < message->bytes) {
        size_t part = message->bytes - at - done, room = find_room(one);
        long written;

        if (part > room)
            part = room;
        if (part == 0 || (one->device && !vsock_has_room()))
            break;
        written = one->device
                      ? socket_vsock_transmit(one, message, at + done, part)
                      : append_message(one->peer, message, at + done, part);
        if (written < 0)
            return done ? (long)done : written;
        done += (size_t)written;
    }
    if (done && one->peer && one->peer->received >= one->peer->socket.low_water)
        socket_wake(&one->peer->socket, EPOLLIN | EPOLLRDNORM);
    return (long)done;
}

long socket_vsock_send(struct socket *socket, struct socket_message *message)
{
    struct vsock_socket *one = vsock_socket_of(socket);
    uint64_t deadline = socket_deadline(socket->send_ns);
    bool looked = false;
    size_t done = 0;

    if (message->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (message->name && !vsock_is_inet(one))
        return one->phase == VSOCK_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    for (;;) {
        long written;
        int error = check_sendable(
            one, done ? message->flags | MSG_NOSIGNAL : message->flags,
            deadline);

        if (error)
            return done ? (long)done : error;
        written = write_some(one, message, done);
        if (written < 0)
            return done ? (long)done : written;
        done += (size_t)written;
        if (done == message->bytes)
            return (long)done;
        if (!looked && one->device) {
            /* What the device has taken meanwhile makes room. */
            looked = true;
            vsock_poll();
            continue;
        }
        want_room(one);
        error = socket_wait(socket, message->flags, deadline);
        if (error)
            return done ? (long)done : error;
    }
}

/* ---- Receiving ----------------------------------------------------------- */

/* Copies what is there, without taking it. Returns the bytes. */
static size_t peek(const struct vsock_socket *one,
                   const struct socket_message *message, size_t done)
{
    for (const struct vsock_buffer *each = one->first;
         each && done < message->bytes; each = each->next)
        done += socket_copy_out(message, done, each->data + each->start,
                                each->end - each->start);
    return done;
}

/* Takes `bytes` bytes off the front. */
static void drop_front(struct vsock_socket *one, size_t bytes)
{
    one->received -= bytes;
    while (bytes > 0) {
        size_t left = one->first->end - one->first->start;

        if (bytes < left) {
            one->first->start += (uint32_t)bytes;
            return;
        }
        bytes -= left;
        drop_first(one);
    }
}

/* The other end may send more; the device is told when that is worth it. */
static void tell_read(struct vsock_socket *one, size_t bytes)
{
    if (one->peer)
        socket_vsock_tell_room(one->peer);
    if (!one->device)
        return;
    one->forwarded += (uint32_t)bytes;
    if (one->forwarded - one->told_forwarded >= one->room / 4 && !one->got_end)
        socket_vsock_tell(one, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0);
}

/* Takes what is there, up to what is wanted. Returns the bytes. */
static size_t take(struct vsock_socket *one,
                   const struct socket_message *message, size_t done)
{
    size_t bytes = message->bytes - done;

    if (bytes > one->received)
        bytes = one->received;
    if (bytes == 0)
        return 0;
    if (!(message->flags & MSG_TRUNC))
        peek(one, message, done);
    if (message->flags & MSG_PEEK)
        return bytes;
    drop_front(one, bytes);
    tell_read(one, bytes);
    return bytes;
}

/* Why there is nothing more: 0 for the end, -errno, or 1 to wait. */
static int why_nothing(struct vsock_socket *one)
{
    if (one->socket.error)
        return socket_take_error(&one->socket);
    if (one->got_end || one->shut_read)
        return 0;
    if (one->phase == VSOCK_CONNECTING || one->phase == VSOCK_CONNECTED)
        return 1;
    return one->phase == VSOCK_OVER ? 0 : -ENOTCONN;
}

long socket_vsock_receive(struct socket *socket, struct socket_message *message)
{
    struct vsock_socket *one = vsock_socket_of(socket);
    uint64_t deadline = socket_deadline(socket->receive_ns);
    size_t least = socket->low_water, done = 0;
    bool looked = false;

    if (one->phase == VSOCK_IDLE || one->phase == VSOCK_LISTENING)
        return -ENOTCONN;
    if (message->flags & MSG_WAITALL || least > message->bytes)
        least = message->bytes;
    for (;;) {
        int why;

        /* Each peek begins at the front again. */
        if (message->flags & MSG_PEEK)
            done = 0;
        done += take(one, message, done);
        if (done >= least && (done > 0 || message->bytes == 0))
            return (long)done;
        why = why_nothing(one);
        if (why <= 0)
            return done ? (long)done : why;
        if (!looked && one->device) {
            looked = true;
            vsock_poll();
            continue;
        }
        why = socket_wait(socket, message->flags, deadline);
        if (why)
            return done ? (long)done : why;
    }
}

/* ---- Events -------------------------------------------------------------- */

/* As Linux's tcp_poll(). */
uint32_t socket_vsock_poll(struct socket *socket)
{
    struct vsock_socket *one = vsock_socket_of(socket);
    bool ended = one->got_end || one->shut_read;
    uint32_t events = 0;

    if (one->phase == VSOCK_LISTENING)
        return one->pending_first ? EPOLLIN | EPOLLRDNORM : 0;
    if ((ended && one->shut_write) || one->phase == VSOCK_IDLE ||
        one->phase == VSOCK_OVER)
        events |= EPOLLHUP;
    if (ended)
        events |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
    if (one->phase != VSOCK_CONNECTING) {
        if (one->received >= socket->low_water)
            events |= EPOLLIN | EPOLLRDNORM;
        if (one->shut_write || one->phase != VSOCK_CONNECTED ||
            (!one->device && !one->peer) || socket_vsock_is_writable(one))
            events |= EPOLLOUT | EPOLLWRNORM;
        else
            want_room(one);
    }
    if (socket->error)
        events |= EPOLLERR;
    return events;
}

long socket_vsock_ioctl(struct socket *socket, unsigned request, long argument)
{
    struct vsock_socket *one = vsock_socket_of(socket);
    int *number = (int *)argument;

    switch (request) {
    case FIONREAD:
    case SIOCOUTQ:
        if (one->phase == VSOCK_LISTENING)
            return -EINVAL;
        *number =
            (int)(request == FIONREAD ? one->received : count_unread(one));
        return 0;
    case SIOCATMARK:
        *number = 0;
        return 0;
    default:
        return inet_interface_ioctl && vsock_is_inet(one)
                   ? inet_interface_ioctl(request, argument)
                   : -ENOTTY;
    }
}
