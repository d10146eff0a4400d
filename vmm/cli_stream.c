/* SPDX-License-Identifier: MIT */
/* -p without a network: ports of the host that lead to the guest's sockets. */
#include "vmm/cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* Its text is checked; empty: all addresses of the family. */
static void make_address(const struct cli_forward *forward, int family,
                         union address *address)
{
    *address = (union address){.any = {.sa_family = (sa_family_t)family}};
    if (family == AF_INET) {
        address->in.sin_port = htons(forward->host);
        if (*forward->address)
            inet_pton(family, forward->address, &address->in.sin_addr);
    } else {
        address->in6.sin6_port = htons(forward->host);
        if (*forward->address)
            inet_pton(family, forward->address, &address->in6.sin6_addr);
    }
}

/* Returns a socket that listens, or -1 with the reason in errno. */
static int listen_at(const struct cli_forward *forward, int family)
{
    const int on = 1, off = 0;
    union address address;
    int error;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -1;
    make_address(forward, family, &address);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET6) /* IPv4 as well, if it is all addresses */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, &address.any,
             family == AF_INET ? sizeof(address.in) : sizeof(address.in6)) ==
            0 &&
        listen(fd, SOMAXCONN) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

int cli_open_stream(const struct cli_forward *forward,
                    struct mayfly_stream *opened)
{
    bool is_ipv4 = *forward->address && !strchr(forward->address, ':');
    int fd = listen_at(forward, is_ipv4 ? AF_INET : AF_INET6);

    /* A host may do without IPv6. */
    if (fd < 0 && !*forward->address && errno != EADDRINUSE && errno != EACCES)
        fd = listen_at(forward, AF_INET);
    *opened = (struct mayfly_stream){.fd = fd, .guest_port = forward->guest};
    if (fd >= 0)
        return CLI_OK;
    return cli_fail(CLI_FAILED, "-p: cannot listen at port %d%s%s: %s",
                    forward->host, *forward->address ? " of " : "",
                    forward->address, strerror(errno));
}
