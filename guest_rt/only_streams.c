/* SPDX-License-Identifier: MIT */
/* Programs whose only internet is the virtio socket device. */
#include <errno.h>

#include "guest_rt/hosts.h"
#include "guest_rt/socket.h"
#include "guest_rt/vfs.h"

/*
 * mayfly-cc --streams links this by name, before anything asks for what is
 * here: then the files that bring lwIP along are not looked for. The name of
 * this file comes before theirs, as the linker reads the archive in order.
 */
const char mf_only_streams;

int socket_inet_create(int domain, int type, int protocol,
                       struct socket **socket)
{
    if (type == SOCK_STREAM)
        return socket_vsock_create(domain, type, protocol, socket);
    return type == SOCK_RAW ? -EPROTONOSUPPORT : -EAFNOSUPPORT;
}

int socket_netlink_create(int type, int protocol, struct socket **socket)
{
    (void)type, (void)protocol, (void)socket;
    return -EAFNOSUPPORT;
}

/* vfs.h: before the first path is walked. */
void vfs_start_network(void)
{
    hosts_write();
}
