/* SPDX-License-Identifier: MIT */
/* Sockets: the system calls that send and receive. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "guest_rt/runtime.h"
#include "guest_rt/socket.h"
#include "guest_rt/syscalls.h"

/* How the structures look to the kernel: musl's have padding for it. */

/* Adds up and checks pieces. Returns 0 or -errno. */
static int add_pieces(const struct iovec *iov, size_t count, bool write,
                      struct socket_message *message)
{
    long bytes;

    if (count > IOV_MAX)
        return -EMSGSIZE;
    if (count && !user_can_read(iov, count * sizeof(*iov)))
        return -EFAULT;
    bytes = write ? file_check_room(iov, (long)count)
                  : file_check_pieces(iov, (long)count);
    if (bytes < 0)
        return (int)bytes;
    message->iov = iov;
    message->count = (int)count;
    message->bytes = (size_t)bytes;
    return 0;
}

static int read_name(const void *address, socklen_t bytes,
                     struct socket_name *name, struct socket_message *message)
{
    message->name = NULL;
    if (!address || !bytes)
        return 0;
    message->name = name;
    return socket_take_name(name, address, bytes);
}

/* ---- One message --------------------------------------------------------- */

static long send_one(struct socket *socket, struct socket_message *message)
{
    long result;

    wait_watch(message->iov, message->count, false);
    result = socket->ops->send(socket, message);
    wait_watch(NULL, 0, false);
    return result;
}

static long receive_one(struct socket *socket, struct socket_message *message)
{
    long result;

    if (message->flags & MSG_OOB)
        return -EINVAL;
    if (message->flags & MSG_ERRQUEUE)
        return -EAGAIN;
    wait_watch(message->iov, message->count, true);
    result = socket->ops->receive(socket, message);
    wait_watch(NULL, 0, true);
    return result;
}

static long send_message(long fd, struct socket_message *message)
{
    long result;

    ON_SOCKET(fd, result, send_one(socket, message));
    return result;
}

static long receive_message(long fd, struct socket_message *message)
{
    long result;

    ON_SOCKET(fd, result, receive_one(socket, message));
    return result;
}

long __mayfly_sys_sendto(long fd, long buffer, long bytes, long flags,
                         long address, long address_bytes)
{
    struct iovec piece = {(void *)buffer, (size_t)bytes};
    struct socket_message message = {.flags = (int)flags};
    struct socket_name name;
    int error = add_pieces(&piece, 1, false, &message);

    if (!error)
        error = read_name((const void *)address, (socklen_t)address_bytes,
                          &name, &message);
    return error ? error : send_message(fd, &message);
}

long __mayfly_sys_recvfrom(long fd, long buffer, long bytes, long flags,
                           long address, long address_bytes)
{
    struct iovec piece = {(void *)buffer, (size_t)bytes};
    struct socket_name name = {0};
    struct socket_message message = {.flags = (int)flags,
                                     .name = address ? &name : NULL};
    int error = add_pieces(&piece, 1, true, &message);
    long result;

    if (error)
        return error;
    result = receive_message(fd, &message);
    if (result < 0)
        return result;
    error =
        socket_give_name(&name, (void *)address, (socklen_t *)address_bytes);
    return error ? error : result;
}

static long send_header(long fd, const struct msghdr *from, int flags)
{
    struct socket_message message = {.flags = flags};
    struct socket_name name;
    struct msghdr header;
    int error = USER_GET(header, from);

    if (!error)
        error = add_pieces(header.msg_iov, (size_t)header.msg_iovlen, false,
                           &message);
    if (!error)
        error = read_name(header.msg_name, header.msg_namelen, &name, &message);
    if (!error && header.msg_controllen &&
        !user_can_read(header.msg_control, header.msg_controllen))
        error = -EFAULT;
    if (error)
        return error;
    message.control = header.msg_controllen ? header.msg_control : NULL;
    message.control_bytes = header.msg_controllen;
    return send_message(fd, &message);
}

/* Tells what was received beside the bytes. Returns 0 or -errno. */
static int give_header(struct msghdr *to, const struct socket_name *name,
                       const struct socket_message *message)
{
    int error;

    if (!user_can_write(to, sizeof(*to)))
        return -EFAULT;
    error = socket_give_name(name, to->msg_name, &to->msg_namelen);
    if (error)
        return error;
    to->msg_controllen = (socklen_t)message->control_used;
    to->msg_flags = message->result_flags | (message->flags & MSG_CMSG_CLOEXEC);
    return 0;
}

static long receive_header(long fd, struct msghdr *to, int flags)
{
    struct socket_name name = {0};
    struct socket_message message;
    struct msghdr header;
    int error = USER_GET(header, to);
    long result;

    if (error)
        return error;
    message = (struct socket_message){
        .flags = flags,
        .name = header.msg_name ? &name : NULL,
        .control = header.msg_control,
        .control_bytes = header.msg_control ? header.msg_controllen : 0,
    };
    error =
        add_pieces(header.msg_iov, (size_t)header.msg_iovlen, true, &message);
    if (error)
        return error;
    result = receive_message(fd, &message);
    if (result < 0)
        return result;
    error = give_header(to, &name, &message);
    return error ? error : result;
}

long __mayfly_sys_sendmsg(long fd, long header, long flags)
{
    return send_header(fd, (const struct msghdr *)header, (int)flags);
}

long __mayfly_sys_recvmsg(long fd, long header, long flags)
{
    return receive_header(fd, (struct msghdr *)header, (int)flags);
}

/* ---- Several messages ---------------------------------------------------- */

static long give_length(struct mmsghdr *to, long bytes)
{
    unsigned length = (unsigned)bytes;

    return USER_PUT(&to->msg_len, length);
}

long __mayfly_sys_sendmmsg(long fd, long headers, long count, long flags)
{
    struct mmsghdr *each = (struct mmsghdr *)headers;
    long done = 0, result = 0;

    for (; done < count && done < IOV_MAX; done++) {
        result = send_header(fd, &each[done].msg_hdr, (int)flags);
        if (result >= 0)
            result = give_length(&each[done], result);
        if (result < 0)
            break;
    }
    return done ? done : result;
}

/* As on Linux, the timeout is looked at after each message only. */
long __mayfly_sys_recvmmsg(long fd, long headers, long count, long flags,
                           long timeout)
{
    struct mmsghdr *each = (struct mmsghdr *)headers;
    struct timespec limit;
    uint64_t deadline = WAIT_NO_END;
    long done = 0, result = 0;

    if (timeout && USER_GET(limit, timeout))
        return -EFAULT;
    if (timeout)
        deadline = mf_clock_monotonic() + (uint64_t)limit.tv_sec * 1000000000 +
                   (uint64_t)limit.tv_nsec;
    for (; done < count && done < IOV_MAX; done++) {
        int now = (int)flags & ~MSG_WAITFORONE;

        if (done > 0 && flags & MSG_WAITFORONE)
            now |= MSG_DONTWAIT;
        result = receive_header(fd, &each[done].msg_hdr, now);
        if (result >= 0)
            result = give_length(&each[done], result);
        if (result < 0)
            break;
        if (timeout && mf_clock_monotonic() >= deadline) {
            done++;
            break;
        }
    }
    return done ? done : result;
}
