/* SPDX-License-Identifier: MIT */
/* Sockets: the system calls that make, name and connect them. */
#include "guest_rt/socket.h"

#include <errno.h>
#include <string.h>

#include "guest_rt/generation.h"
#include "guest_rt/syscalls.h"

#define TYPE_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

/* ---- Making them --------------------------------------------------------- */

static int create(int domain, int type, int protocol, struct socket **socket)
{
    if (type <= 0 || type > SOCK_PACKET)
        return -EINVAL;
    switch (domain) {
    case AF_INET:
    case AF_INET6:
        return socket_inet_create(domain, type, protocol, socket);
    case AF_VSOCK:
        return socket_vsock_create(domain, type, protocol, socket);
    case AF_UNIX:
        if (protocol && protocol != PF_UNIX)
            return -EPROTONOSUPPORT;
        return socket_unix_create(type, socket);
    case AF_NETLINK:
        return socket_netlink_create(type, protocol, socket);
    default:
        return -EAFNOSUPPORT;
    }
}

long __mayfly_sys_socket(long domain, long type, long protocol)
{
    struct socket *socket;
    long result;

    if (type & ~(TYPE_FLAGS | 0xfl))
        return -EINVAL;
    mf_lock();
    result = create((int)domain, (int)type & 0xf, (int)protocol, &socket);
    if (!result)
        result = socket_install(socket, (int)type & TYPE_FLAGS);
    mf_unlock();
    return result;
}

/* ---- Naming and connecting ----------------------------------------------- */

static long take_name(struct socket_name *name, long address, long bytes)
{
    return socket_take_name(name, (const void *)address, (socklen_t)bytes);
}

long __mayfly_sys_bind(long fd, long address, long bytes)
{
    struct socket_name name;
    long result, error = take_name(&name, address, bytes);

    ON_SOCKET(fd, result, error ? error : socket->ops->bind(socket, &name));
    return result;
}

long __mayfly_sys_connect(long fd, long address, long bytes)
{
    struct socket_name name;
    long result, error = take_name(&name, address, bytes);

    ON_SOCKET(fd, result, error ? error : socket->ops->connect(socket, &name));
    return result;
}

long __mayfly_sys_listen(long fd, long backlog)
{
    long result;

    ON_SOCKET(fd, result,
              socket->ops->listen ? socket->ops->listen(socket, (int)backlog)
                                  : -EOPNOTSUPP);
    if (!result)
        snapshot_note_listening();
    return result;
}

long __mayfly_sys_shutdown(long fd, long how)
{
    long result;

    ON_SOCKET(fd, result,
              how < SHUT_RD || how > SHUT_RDWR
                  ? -EINVAL
                  : socket->ops->shutdown(socket, (int)how));
    return result;
}

static long get_name(struct socket *socket, bool peer, long address, long bytes)
{
    struct socket_name name = {0};
    int error = socket->ops->get_name(socket, peer, &name);

    return error ? error
                 : socket_give_name(&name, (void *)address, (socklen_t *)bytes);
}

long __mayfly_sys_getsockname(long fd, long address, long bytes)
{
    long result;

    ON_SOCKET(fd, result, get_name(socket, false, address, bytes));
    return result;
}

long __mayfly_sys_getpeername(long fd, long address, long bytes)
{
    long result;

    ON_SOCKET(fd, result, get_name(socket, true, address, bytes));
    return result;
}

/* ---- Accepting ----------------------------------------------------------- */

static long accept_one(struct socket *socket, long address, long bytes,
                       int flags)
{
    struct socket_name name = {0};
    struct socket *accepted;
    int error;

    if (!socket->ops->accept)
        return -EOPNOTSUPP;
    error = socket->ops->accept(socket, &accepted);
    if (error)
        return error;
    if (address && accepted->ops->get_name(accepted, true, &name) == 0)
        error = socket_give_name(&name, (void *)address, (socklen_t *)bytes);
    if (error) {
        accepted->ops->release(accepted);
        return error;
    }
    return socket_install(accepted, flags);
}

long __mayfly_sys_accept4(long fd, long address, long bytes, long flags)
{
    long result;

    if (flags & ~(long)TYPE_FLAGS)
        return -EINVAL;
    ON_SOCKET(fd, result, accept_one(socket, address, bytes, (int)flags));
    return result;
}

long __mayfly_sys_accept(long fd, long address, long bytes)
{
    return __mayfly_sys_accept4(fd, address, bytes, 0);
}
