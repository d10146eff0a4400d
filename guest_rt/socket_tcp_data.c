/* SPDX-License-Identifier: MIT */
/* TCP sockets: sending, receiving, and what poll says of it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>

#include "guest_rt/socket_tcp.h"

#define WRITE_MAX 65535u /* of one tcp_write() */
#define QUEUE_MAX (TCP_SND_QUEUELEN - 64u)

/* ---- Sending ------------------------------------------------------------- */

size_t socket_tcp_room(const struct tcp_socket *tcp)
{
    size_t room, used;

    if (!tcp->pcb || tcp->phase != TCP_CONNECTED ||
        tcp->pcb->snd_queuelen >= QUEUE_MAX)
        return 0;
    room = tcp->pcb->snd_buf; /* tcp_sndbuf() has 16 bits */
    if (!tcp->limited)
        return room;
    used = TCP_SND_BUF - room;
    return used >= tcp->socket.send_limit ? 0 : tcp->socket.send_limit - used;
}

bool socket_tcp_is_writable(const struct tcp_socket *tcp)
{
    size_t limit = tcp->limited ? tcp->socket.send_limit : TCP_SND_BUF;

    return socket_tcp_room(tcp) >= limit / 3;
}

/* Whether there is a whole frame to send. */
static bool has_full_segment(const struct tcp_pcb *pcb)
{
    return pcb->unsent->next || pcb->unsent->len >= inet_tcp_real_mss(pcb);
}

void socket_tcp_push(struct tcp_socket *tcp, bool more)
{
    struct tcp_pcb *pcb = tcp->pcb;

    if (!pcb || !pcb->unsent)
        return;
    if (!has_full_segment(pcb)) {
        /* What is held back leaves with a later write or the next tick. */
        if (tcp->settings.cork || more)
            return;
        /* Nagle: it leaves with the next acknowledgement. */
        if (!tcp->settings.nodelay && pcb->unacked)
            return;
    }
    tcp_output(pcb);
}

/* Writes one piece, or what there is room for. Returns bytes, or -errno. */
static long write_piece(struct tcp_socket *tcp, const char *data, size_t bytes,
                        bool more)
{
    size_t done = 0;

    while (done < bytes) {
        size_t part = bytes - done, room = socket_tcp_room(tcp);
        u8_t flags = TCP_WRITE_FLAG_COPY;
        err_t error;

        if (part > room)
            part = room;
        if (part > WRITE_MAX)
            part = WRITE_MAX / tcp->pcb->mss * tcp->pcb->mss;
        if (part == 0)
            break;
        /* lwIP then leaves room for more in the same buffer. */
        if (more || done + part < bytes)
            flags |= TCP_WRITE_FLAG_MORE;
        error = tcp_write(tcp->pcb, data + done, (u16_t)part, flags);
        if (error == ERR_MEM)
            break;
        if (error != ERR_OK)
            return done ? (long)done : inet_errno(error);
        done += part;
    }
    return (long)done;
}

/* Writes from byte `at` of the message on. Returns bytes, or -errno. */
static long write_some(struct tcp_socket *tcp,
                       const struct socket_message *message, size_t at)
{
    bool more = message->flags & MSG_MORE;
    long done = 0;

    inet_enter();
    for (int i = 0; i < message->count && tcp->pcb; i++) {
        const struct iovec *piece = &message->iov[i];
        long written;

        if (at >= piece->iov_len) {
            at -= piece->iov_len;
            continue;
        }
        written =
            write_piece(tcp, (const char *)piece->iov_base + at,
                        piece->iov_len - at, more || i + 1 < message->count);
        if (written < 0 && done == 0)
            done = written;
        else if (written > 0)
            done += written;
        if (written < (long)(piece->iov_len - at))
            break;
        at = 0;
    }
    socket_tcp_push(tcp, more);
    inet_leave();
    return done;
}

/* Whether data may be written, or why not; waits for a connection. */
static int check_sendable(struct tcp_socket *tcp, int flags, uint64_t deadline)
{
    struct socket *socket = &tcp->socket;

    while (tcp->phase == TCP_CONNECTING) {
        int error = socket_wait(socket, flags, deadline);

        if (error)
            return error;
    }
    if (socket->error)
        return socket_take_error(socket);
    if (tcp->phase != TCP_CONNECTED || tcp->shut_write || !tcp->pcb)
        return socket_broken_pipe(flags);
    return 0;
}

long socket_tcp_send(struct socket *socket, struct socket_message *message)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    uint64_t deadline = socket_deadline(socket->send_ns);
    bool looked = false;
    size_t done = 0;

    if (message->flags & MSG_OOB)
        return -EOPNOTSUPP;
    for (;;) {
        long written;
        int error = check_sendable(
            tcp, done ? message->flags | MSG_NOSIGNAL : message->flags,
            deadline);

        if (error)
            return done ? (long)done : error;
        written = write_some(tcp, message, done);
        if (written < 0)
            return done ? (long)done : written;
        done += (size_t)written;
        if (done == message->bytes)
            return (long)done;
        if (!looked) {
            /* What was acknowledged meanwhile makes room. */
            looked = true;
            inet_poll();
            continue;
        }
        tcp->full = true;
        error = socket_wait(socket, message->flags, deadline);
        if (error)
            return done ? (long)done : error;
    }
}

/* ---- Receiving ----------------------------------------------------------- */

void socket_tcp_drop_received(struct tcp_socket *tcp)
{
    while (tcp->first) {
        struct pbuf *next = tcp->first->next;

        tcp->first->next = NULL;
        pbuf_free(tcp->first);
        tcp->first = next;
    }
    tcp->last = NULL;
    tcp->taken = tcp->received = 0;
}

/* Copies what is there, without taking it. Returns the bytes. */
static size_t peek(const struct tcp_socket *tcp,
                   const struct socket_message *message, size_t done)
{
    size_t skipped = tcp->taken;

    for (const struct pbuf *each = tcp->first; each && done < message->bytes;
         each = each->next) {
        done += socket_copy_out(message, done,
                                (const char *)each->payload + skipped,
                                each->len - skipped);
        skipped = 0;
    }
    return done;
}

/* Takes `bytes` bytes off the front. */
static void drop_front(struct tcp_socket *tcp, size_t bytes)
{
    tcp->received -= bytes;
    while (bytes > 0) {
        struct pbuf *front = tcp->first;
        size_t left = front->len - tcp->taken;

        if (bytes < left) {
            tcp->taken += bytes;
            return;
        }
        bytes -= left;
        tcp->taken = 0;
        tcp->first = front->next;
        if (!tcp->first)
            tcp->last = NULL;
        front->next = NULL;
        pbuf_free(front);
    }
}

/* Opens the window by what was read. */
static void tell_read(struct tcp_socket *tcp, size_t bytes)
{
    while (bytes > 0 && tcp->pcb) {
        u16_t part = bytes > 0xffff ? 0xffff : (u16_t)bytes;

        tcp_recved(tcp->pcb, part);
        bytes -= part;
    }
}

/* Takes what is there, up to what is wanted. Returns the bytes. */
static size_t take(struct tcp_socket *tcp, const struct socket_message *message,
                   size_t done)
{
    size_t bytes = message->bytes - done;

    if (bytes > tcp->received)
        bytes = tcp->received;
    if (bytes == 0)
        return 0;
    if (!(message->flags & MSG_TRUNC))
        peek(tcp, message, done);
    if (message->flags & MSG_PEEK)
        return bytes;
    inet_enter();
    drop_front(tcp, bytes);
    tell_read(tcp, bytes);
    inet_leave();
    return bytes;
}

/* Why there is nothing more: 0 for the end, -errno, or 1 to wait. */
static int why_nothing(struct tcp_socket *tcp)
{
    if (tcp->phase == TCP_OVER && tcp->got_end && !tcp->socket.error)
        return 0;
    if (tcp->socket.error)
        return socket_take_error(&tcp->socket);
    if (tcp->got_end || tcp->shut_read)
        return 0;
    if (tcp->phase == TCP_CONNECTING || tcp->phase == TCP_CONNECTED)
        return 1;
    return tcp->phase == TCP_OVER ? 0 : -ENOTCONN;
}

long socket_tcp_receive(struct socket *socket, struct socket_message *message)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    uint64_t deadline = socket_deadline(socket->receive_ns);
    size_t least = socket->low_water, done = 0;
    bool looked = false;

    if (tcp->phase == TCP_IDLE || tcp->phase == TCP_LISTENING)
        return -ENOTCONN;
    if (message->flags & MSG_WAITALL || least > message->bytes)
        least = message->bytes;
    for (;;) {
        bool peeks = message->flags & MSG_PEEK;
        int why;

        /* Each peek begins at the front again. */
        if (peeks)
            done = 0;
        done += take(tcp, message, done);
        if (done >= least && (done > 0 || message->bytes == 0))
            return (long)done;
        why = why_nothing(tcp);
        if (why <= 0)
            return done ? (long)done : why;
        if (!looked) {
            looked = true;
            inet_poll();
            continue;
        }
        why = socket_wait(socket, message->flags, deadline);
        if (why)
            return done ? (long)done : why;
    }
}

/* ---- Events -------------------------------------------------------------- */

/* As Linux's tcp_poll(). */
uint32_t socket_tcp_poll(struct socket *socket)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    bool ended = tcp->got_end || tcp->shut_read;
    uint32_t events = 0;

    if (tcp->phase == TCP_LISTENING)
        return tcp->pending_first ? EPOLLIN | EPOLLRDNORM : 0;
    if ((ended && tcp->shut_write) || tcp->phase == TCP_IDLE ||
        tcp->phase == TCP_OVER)
        events |= EPOLLHUP;
    if (ended)
        events |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
    if (tcp->phase != TCP_CONNECTING) {
        if (tcp->received >= socket->low_water)
            events |= EPOLLIN | EPOLLRDNORM;
        if (tcp->shut_write || tcp->phase != TCP_CONNECTED ||
            socket_tcp_is_writable(tcp))
            events |= EPOLLOUT | EPOLLWRNORM;
        else
            tcp->full = true;
    }
    if (socket->error)
        events |= EPOLLERR;
    return events;
}

long socket_tcp_ioctl(struct socket *socket, unsigned request, long argument)
{
    struct tcp_socket *tcp = tcp_socket_of(socket);
    int *number = (int *)argument;

    switch (request) {
    case FIONREAD:
        if (tcp->phase == TCP_LISTENING)
            return -EINVAL;
        *number = (int)tcp->received;
        return 0;
    case SIOCOUTQ:
        if (tcp->phase == TCP_LISTENING)
            return -EINVAL;
        *number = tcp->pcb && tcp->phase == TCP_CONNECTED
                      ? (int)(TCP_SND_BUF - tcp->pcb->snd_buf)
                      : 0;
        return 0;
    case SIOCATMARK:
        *number = 0;
        return 0;
    default:
        return inet_interface_ioctl(request, argument);
    }
}
