/* SPDX-License-Identifier: MIT */
/* socketpair, apart: it needs no network. */
#include <errno.h>

#include "guest_rt/socket.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/user.h"

#define TYPE_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

static int create_pair(int type, struct socket *pair[2])
{
    int error = socket_unix_create(type, &pair[0]);

    if (error)
        return error;
    error = socket_unix_create(type, &pair[1]);
    if (!error)
        error = socket_unix_connect_pair(pair[0], pair[1]);
    if (error)
        pair[0]->ops->release(pair[0]);
    return error;
}

static long install_pair(struct socket *pair[2], int flags, int fds[2])
{
    long one = socket_install(pair[0], flags), other;

    if (one < 0) {
        pair[1]->ops->release(pair[1]);
        return one;
    }
    other = socket_install(pair[1], flags);
    if (other < 0) {
        __mayfly_sys_close(one);
        return other;
    }
    fds[0] = (int)one;
    fds[1] = (int)other;
    return 0;
}

long __mayfly_sys_socketpair(long domain, long type, long protocol, long fds)
{
    struct socket *pair[2];
    long result;

    if (type & ~(TYPE_FLAGS | 0xfl))
        return -EINVAL;
    if (domain != AF_UNIX)
        return domain == AF_INET || domain == AF_INET6 ? -EOPNOTSUPP
                                                       : -EAFNOSUPPORT;
    if (protocol && protocol != PF_UNIX)
        return -EPROTONOSUPPORT;
    if (!user_can_write((int *)fds, 2 * sizeof(int)))
        return -EFAULT;
    mf_lock();
    result = create_pair((int)type & 0xf, pair);
    if (!result)
        result = install_pair(pair, (int)type & TYPE_FLAGS, (int *)fds);
    mf_unlock();
    return result;
}
