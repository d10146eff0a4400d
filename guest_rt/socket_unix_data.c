/* SPDX-License-Identifier: MIT */
/* Sockets of the family AF_UNIX: messages, and what poll says of them. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "guest_rt/runtime.h"
#include "guest_rt/socket_unix.h"

#define PART_BYTES 32768u /* a stream's send is cut into messages of these */
#define QUEUE_COST 256u   /* what an empty datagram counts for */

/* ---- Files that travel --------------------------------------------------- */

static void put_files(struct file **files, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        file_put(files[i]);
    if (files)
        socket_free(files);
}

/* Takes references to the files of SCM_RIGHTS. Returns 0 or -errno. */
static int take_rights(const struct cmsghdr *header, struct file ***files,
                       unsigned *count)
{
    const int *fds = (const int *)CMSG_DATA(header);
    size_t wanted = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    if (wanted > UNIX_FILES_MAX || *files)
        return -EINVAL;
    if (wanted == 0)
        return 0;
    *files = socket_alloc(wanted * sizeof(**files));
    if (!*files)
        return -ENOMEM;
    for (*count = 0; *count < wanted; ++*count) {
        (*files)[*count] = file_get(fds[*count]);
        if (!(*files)[*count])
            return -EBADF;
    }
    return 0;
}

static int read_control(const struct socket_message *message,
                        struct file ***files, unsigned *count)
{
    struct msghdr all = {.msg_control = message->control,
                         .msg_controllen = (socklen_t)message->control_bytes};
    int error = 0;

    *files = NULL;
    *count = 0;
    if (!message->control)
        return 0;
    for (struct cmsghdr *each = CMSG_FIRSTHDR(&all); each && !error;
         each = CMSG_NXTHDR(&all, each)) {
        size_t left = message->control_bytes -
                      (size_t)((char *)each - (char *)message->control);

        if (each->cmsg_len < CMSG_LEN(0) || each->cmsg_len > left)
            error = -EINVAL;
        else if (each->cmsg_level == SOL_SOCKET &&
                 each->cmsg_type == SCM_RIGHTS)
            error = take_rights(each, files, count);
        else if (each->cmsg_level != SOL_SOCKET ||
                 each->cmsg_type != SCM_CREDENTIALS)
            error = -EINVAL;
    }
    if (error)
        put_files(*files, *count);
    return error;
}

/* Room for one piece of ancillary data: where its data goes, or NULL. */
static void *begin_control(const struct socket_message *message, size_t used,
                           size_t bytes)
{
    if (!message->control || used + CMSG_LEN(bytes) > message->control_bytes ||
        !user_can_write(message->control, message->control_bytes))
        return NULL;
    return CMSG_DATA((struct cmsghdr *)((char *)message->control + used));
}

/* Its data is there. */
static void end_control(const struct socket_message *message, size_t *used,
                        int type, size_t bytes)
{
    struct cmsghdr *header =
        (struct cmsghdr *)((char *)message->control + *used);

    header->cmsg_len = (socklen_t)CMSG_LEN(bytes);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = type;
    *used += CMSG_SPACE(bytes);
    if (*used > message->control_bytes)
        *used = message->control_bytes;
}

static void give_credentials(struct socket_message *message, size_t *used)
{
    struct ucred *self = begin_control(message, *used, sizeof(*self));

    if (self) {
        *self = (struct ucred){.pid = MF_PID};
        end_control(message, used, SCM_CREDENTIALS, sizeof(*self));
    } else {
        message->result_flags |= MSG_CTRUNC;
    }
}

/*
 * As many files as there is room for, and descriptors; the others are closed.
 * file_install() takes the reference over, even if it fails.
 */
static void give_files(struct unix_message *from,
                       struct socket_message *message, size_t *used)
{
    unsigned count = 0, taken = 0;

    while (taken < from->file_count) {
        size_t bytes = (count + 1) * sizeof(int);
        int *fds = begin_control(message, *used, bytes);
        long fd;

        if (!fds)
            break;
        fd = file_install(from->files[taken++], 0,
                          message->flags & MSG_CMSG_CLOEXEC);
        if (fd < 0)
            break;
        fds[count++] = (int)fd;
    }
    if (count)
        end_control(message, used, SCM_RIGHTS, count * sizeof(int));
    if (count < from->file_count)
        message->result_flags |= MSG_CTRUNC;
    while (taken < from->file_count)
        file_put(from->files[taken++]);
    socket_free(from->files);
    from->files = NULL;
}

/* Hands over what came with a message besides its bytes. */
static void give_control(const struct unix_socket *one,
                         struct unix_message *from,
                         struct socket_message *message)
{
    size_t used = 0;

    if (one->socket.booleans & SOCKET_PASSCRED)
        give_credentials(message, &used);
    if (from->files)
        give_files(from, message, &used);
    message->control_used = used;
}

/* ---- Queues -------------------------------------------------------------- */

static void free_message(struct unix_message *message)
{
    put_files(message->files, message->files ? message->file_count : 0);
    socket_free(message);
}

static void drop_first(struct unix_socket *one)
{
    struct unix_message *first = one->first;

    one->first = first->next;
    if (!one->first)
        one->last = NULL;
    one->queued -= first->bytes - first->taken + QUEUE_COST;
    free_message(first);
}

void socket_unix_drop_messages(struct unix_socket *one)
{
    while (one->first)
        drop_first(one);
}

static bool has_room(const struct unix_socket *to, size_t bytes, size_t limit)
{
    return !to->first || to->queued + bytes + QUEUE_COST <= limit;
}

/* Copies bytes [at, at + bytes) of the message into the queue. 0 or -errno. */
static int enqueue(struct unix_socket *from, struct unix_socket *to,
                   const struct socket_message *message, size_t at,
                   size_t bytes, struct file **files, unsigned file_count)
{
    struct unix_message *made = socket_alloc(sizeof(*made) + bytes);

    if (!made)
        return -ENOBUFS;
    made->from = from->name;
    made->files = files;
    made->file_count = file_count;
    made->bytes = bytes;
    socket_copy_in(message, at, made->data, bytes);
    if (to->last)
        to->last->next = made;
    else
        to->first = made;
    to->last = made;
    to->queued += bytes + QUEUE_COST;
    socket_wake(&to->socket, EPOLLIN | EPOLLRDNORM);
    return 0;
}

void socket_unix_tell_room(struct unix_socket *one)
{
    if (unix_is_connected_kind(one)) {
        if (one->peer)
            socket_wake(&one->peer->socket, EPOLLOUT | EPOLLWRNORM);
        return;
    }
    for (struct unix_socket *each = unix_sockets; each; each = each->next)
        if (each->peer == one || each->wants_room) {
            each->wants_room = false;
            socket_wake(&each->socket, EPOLLOUT | EPOLLWRNORM);
        }
}

/* ---- Sending ------------------------------------------------------------- */

/* Whom it goes to now. Returns 0 or -errno. */
static int find_receiver(struct unix_socket *one,
                         const struct socket_message *message,
                         struct unix_socket **to)
{
    int error = 0;

    if (one->shut_write)
        return socket_broken_pipe(message->flags);
    if (unix_is_connected_kind(one)) {
        if (message->name && unix_is_stream(one))
            return one->phase == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
        if (one->phase == UNIX_IDLE || one->phase == UNIX_LISTENING)
            return -ENOTCONN;
        *to = one->peer;
        return *to ? 0 : socket_broken_pipe(message->flags);
    }
    if (message->name)
        error = socket_unix_find(message->name, to);
    else if (one->phase != UNIX_CONNECTED)
        error = -ENOTCONN;
    else
        *to = one->peer;
    if (!error && !*to)
        error = -ECONNREFUSED;
    if (!error && (*to)->socket.type != SOCK_DGRAM)
        error = -EPROTOTYPE;
    if (!error && (*to)->shut_read)
        error = socket_broken_pipe(message->flags);
    return error;
}

static long send_parts(struct unix_socket *one, struct socket_message *message,
                       struct file **files, unsigned file_count)
{
    uint64_t deadline = socket_deadline(one->socket.send_ns);
    bool stream = unix_is_stream(one), first = true;
    size_t done = 0;

    while (first || done < message->bytes) {
        size_t part = message->bytes - done;
        struct unix_socket *to = NULL;
        int error = find_receiver(one, message, &to);

        if (stream && part > PART_BYTES)
            part = PART_BYTES;
        if (!error && stream && part == 0)
            return 0;
        if (!error && !has_room(to, part, one->socket.send_limit)) {
            one->wants_room = message->name;
            error = socket_wait(&one->socket, message->flags, deadline);
            if (!error)
                continue;
        }
        if (!error)
            error = enqueue(one, to, message, done, part, files, file_count);
        if (error)
            return done ? (long)done : error;
        files = NULL;
        file_count = 0;
        first = false;
        done += part;
    }
    return (long)done;
}

long socket_unix_send(struct socket *socket, struct socket_message *message)
{
    struct unix_socket *one = unix_socket_of(socket);
    struct file **files;
    unsigned file_count;
    long result;
    int error;

    if (message->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (!unix_is_stream(one) && message->bytes > socket->send_limit - 32)
        return -EMSGSIZE;
    if (socket->error)
        return socket_take_error(socket);
    error = read_control(message, &files, &file_count);
    if (error)
        return error;
    result = send_parts(one, message, files, file_count);
    if (result < 0 || (result == 0 && unix_is_stream(one)))
        put_files(files, file_count);
    return result;
}

/* ---- Receiving ----------------------------------------------------------- */

/* A stream's bytes, from as many messages as it takes. Returns how many. */
static size_t take_stream(struct unix_socket *one,
                          struct socket_message *message, size_t done)
{
    struct unix_message *each = one->first;

    while (each && done < message->bytes) {
        size_t part;

        /* What comes with files begins a receive of its own. */
        if (each->files && done > 0)
            break;
        part = socket_copy_out(message, done, each->data + each->taken,
                               each->bytes - each->taken);
        done += part;
        if (each->files && !(message->flags & MSG_PEEK))
            give_control(one, each, message);
        if (message->flags & MSG_PEEK) {
            each = each->next;
            continue;
        }
        each->taken += part;
        one->queued -= part;
        if (each->taken < each->bytes)
            break;
        drop_first(one);
        each = one->first;
    }
    return done;
}

static long take_datagram(struct unix_socket *one,
                          struct socket_message *message)
{
    struct unix_message *first = one->first;
    size_t whole = first->bytes;
    size_t done = socket_copy_out(message, 0, first->data, whole);

    if (message->name && first->from.bytes)
        *message->name = first->from;
    if (done < whole)
        message->result_flags |= MSG_TRUNC;
    if (!(message->flags & MSG_PEEK)) {
        give_control(one, first, message);
        drop_first(one);
        socket_unix_tell_room(one);
    }
    return (long)(message->flags & MSG_TRUNC ? whole : done);
}

/* There is nothing: 0 for the end, -errno, or 1 to wait. */
static int why_nothing(struct unix_socket *one)
{
    if (one->socket.error)
        return socket_take_error(&one->socket);
    if (one->shut_read)
        return 0;
    if (unix_is_connected_kind(one) && one->phase != UNIX_CONNECTED)
        return one->phase == UNIX_OVER ? 0
               : unix_is_stream(one)   ? -EINVAL
                                       : -ENOTCONN;
    return 1;
}

long socket_unix_receive(struct socket *socket, struct socket_message *message)
{
    struct unix_socket *one = unix_socket_of(socket);
    uint64_t deadline = socket_deadline(socket->receive_ns);
    size_t least = 1, done = 0;

    if (message->flags & MSG_WAITALL)
        least = message->bytes;
    for (;;) {
        int why;

        if (one->first && !unix_is_stream(one))
            return take_datagram(one, message);
        if (one->first) {
            if (message->flags & MSG_PEEK)
                done = 0;
            done = take_stream(one, message, done);
            socket_unix_tell_room(one);
            if (done >= least || message->bytes == 0)
                return (long)done;
        }
        why = why_nothing(one);
        if (why > 0)
            why = socket_wait(socket, message->flags, deadline);
        else if (why == 0)
            return (long)done;
        if (why)
            return done ? (long)done : why;
    }
}

/* ---- Events -------------------------------------------------------------- */

/* As Linux's unix_poll() and unix_dgram_poll(). */
uint32_t socket_unix_poll(struct socket *socket)
{
    struct unix_socket *one = unix_socket_of(socket);
    const struct unix_socket *to = one->peer;
    uint32_t events = 0;

    if (socket->error)
        events |= EPOLLERR;
    if ((one->shut_read && one->shut_write) ||
        (unix_is_connected_kind(one) &&
         (one->phase == UNIX_IDLE || one->phase == UNIX_OVER)))
        events |= EPOLLHUP;
    if (one->shut_read)
        events |= EPOLLRDHUP | EPOLLIN | EPOLLRDNORM;
    if (one->first || one->pending_first)
        events |= EPOLLIN | EPOLLRDNORM;
    if (one->phase != UNIX_LISTENING &&
        (!to || has_room(to, 1, one->socket.send_limit)))
        events |= EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND;
    return events;
}
