/* SPDX-License-Identifier: MIT */
/* Sockets as open files. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "guest_rt/generation.h"
#include "guest_rt/lwip/arch/cc.h"
#include "guest_rt/runtime.h"
#include "guest_rt/signals.h"
#include "guest_rt/socket.h"

void *socket_alloc(size_t bytes)
{
    return inet_memory_calloc(1, bytes);
}

void socket_free(void *memory)
{
    inet_memory_free(memory);
}

void socket_init(struct socket *socket, const struct socket_ops *ops,
                 int domain, int type, int protocol)
{
    *socket = (struct socket){
        .ops = ops,
        .domain = domain,
        .type = type,
        .protocol = protocol,
        .receive_limit = SOCKET_LIMIT_DEFAULT,
        .send_limit = SOCKET_LIMIT_DEFAULT,
        .low_water = 1,
    };
}

long socket_install(struct socket *socket, int flags)
{
    int file_flags = O_RDWR | (flags & SOCK_NONBLOCK ? O_NONBLOCK : 0);
    struct file *file = file_create(&socket_file_ops, socket, file_flags);

    if (!file) {
        socket->ops->release(socket);
        return -ENFILE;
    }
    socket->file = file;
    return file_install(file, 0, flags & SOCK_CLOEXEC);
}

int socket_get(long fd, struct socket **socket)
{
    struct file *file = file_get(fd);

    if (!file)
        return -EBADF;
    if (file->ops != &socket_file_ops) {
        file_put(file);
        return -ENOTSOCK;
    }
    *socket = file->data;
    return 0;
}

uint64_t socket_deadline(uint64_t ns)
{
    return ns ? mf_clock_monotonic() + ns : WAIT_NO_END;
}

int socket_wait(struct socket *socket, int flags, uint64_t deadline_ns)
{
    int error;

    if (flags & MSG_DONTWAIT || socket->file->flags & O_NONBLOCK)
        return -EAGAIN;
    error = wait_on(&socket->file->wait, deadline_ns);
    return error == -ETIMEDOUT ? -EAGAIN : error;
}

int socket_wait_accept(struct socket *socket, uint64_t deadline_ns)
{
    if (snapshot_before_wait && !(socket->file->flags & O_NONBLOCK) &&
        snapshot_before_wait())
        return 0;
    return socket_wait(socket, 0, deadline_ns);
}

int socket_broken_pipe(int flags)
{
    if (!(flags & MSG_NOSIGNAL))
        signal_pipe();
    return -EPIPE;
}

/* ---- Pieces -------------------------------------------------------------- */

/* Copies between a buffer and the pieces from byte `at` on. */
static size_t copy_pieces(const struct socket_message *message, size_t at,
                          void *buffer, size_t bytes, bool out)
{
    size_t done = 0;

    for (int i = 0; i < message->count && done < bytes; i++) {
        const struct iovec *piece = &message->iov[i];
        size_t part;

        if (at >= piece->iov_len) {
            at -= piece->iov_len;
            continue;
        }
        part = piece->iov_len - at;
        if (part > bytes - done)
            part = bytes - done;
        if (out)
            memcpy((char *)piece->iov_base + at, (char *)buffer + done, part);
        else
            memcpy((char *)buffer + done, (char *)piece->iov_base + at, part);
        done += part;
        at = 0;
    }
    return done;
}

size_t socket_copy_out(const struct socket_message *message, size_t at,
                       const void *from, size_t bytes)
{
    return copy_pieces(message, at, (void *)from, bytes, true);
}

size_t socket_copy_in(const struct socket_message *message, size_t at, void *to,
                      size_t bytes)
{
    return copy_pieces(message, at, to, bytes, false);
}

/* ---- The file's functions ------------------------------------------------ */

static struct socket_message whole_message(const struct iovec *iov, int count)
{
    struct socket_message message = {.iov = iov, .count = count};

    for (int i = 0; i < count; i++)
        message.bytes += iov[i].iov_len;
    return message;
}

static long read_socket(struct file *file, const struct iovec *iov, int count,
                        off_t offset)
{
    struct socket_message message = whole_message(iov, count);
    struct socket *socket = file->data;

    if (offset != FILE_HERE)
        return -ESPIPE;
    return socket->ops->receive(socket, &message);
}

static long write_socket(struct file *file, const struct iovec *iov, int count,
                         off_t offset)
{
    struct socket_message message = whole_message(iov, count);
    struct socket *socket = file->data;

    if (offset != FILE_HERE)
        return -ESPIPE;
    return socket->ops->send(socket, &message);
}

static int stat_socket(struct file *file, struct stat *stat)
{
    (void)file;
    stat->st_mode = S_IFSOCK | 0777;
    stat->st_nlink = 1;
    stat->st_blksize = 4096;
    return 0;
}

static uint32_t poll_socket(struct file *file)
{
    struct socket *socket = file->data;

    return socket->ops->poll(socket);
}

static long control_socket(struct file *file, unsigned request, long argument)
{
    struct socket *socket = file->data;

    return socket->ops->ioctl ? socket->ops->ioctl(socket, request, argument)
                              : -ENOTTY;
}

static void release_socket(struct file *file)
{
    struct socket *socket = file->data;

    socket->file = NULL;
    socket->ops->release(socket);
}

const struct file_ops socket_file_ops = {
    .read = read_socket,
    .write = write_socket,
    .stat = stat_socket,
    .poll = poll_socket,
    .ioctl = control_socket,
    .release = release_socket,
};
