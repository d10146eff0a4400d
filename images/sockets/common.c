/* SPDX-License-Identifier: MIT */
/* Printing results, and sockets on the loopback. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sockets.h"

static const char *error_name(int error)
{
    static char number[16];

    switch (error) {
#define NAME(e) \
    case e:     \
        return #e
        NAME(EAGAIN);
        NAME(EBADF);
        NAME(EINVAL);
        NAME(ENOTSOCK);
        NAME(EPIPE);
        NAME(ENOENT);
        NAME(EFAULT);
        NAME(ENOTCONN);
        NAME(EISCONN);
        NAME(EALREADY);
        NAME(EINPROGRESS);
        NAME(ECONNREFUSED);
        NAME(ECONNRESET);
        NAME(EADDRINUSE);
        NAME(EADDRNOTAVAIL);
        NAME(EAFNOSUPPORT);
        NAME(EPROTONOSUPPORT);
        NAME(ESOCKTNOSUPPORT);
        NAME(EOPNOTSUPP);
        NAME(ENOPROTOOPT);
        NAME(EDESTADDRREQ);
        NAME(EMSGSIZE);
        NAME(EACCES);
        NAME(EPROTOTYPE);
        NAME(ENETUNREACH);
        NAME(ETIMEDOUT);
        NAME(EDOM);
#undef NAME
    default:
        snprintf(number, sizeof(number), "errno %d", error);
        return number;
    }
}

long show(const char *what, long result)
{
    int error = errno;

    if (result < 0)
        printf("%s: %s\n", what, error_name(error));
    else
        printf("%s: %ld\n", what, result);
    return result;
}

/* For calls that return a descriptor. */
int show_fd(const char *what, int fd)
{
    show(what, fd < 0 ? -1 : 0);
    return fd;
}

void show_events(const char *what, int fd)
{
    static const struct {
        short bit;
        const char *name;
    } names[] = {{POLLIN, "IN"},   {POLLOUT, "OUT"},     {POLLERR, "ERR"},
                 {POLLHUP, "HUP"}, {POLLRDHUP, "RDHUP"}, {POLLNVAL, "NVAL"}};
    struct pollfd entry = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};

    poll(&entry, 1, 0);
    printf("%s:", what);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (entry.revents & names[i].bit)
            printf(" %s", names[i].name);
    printf("\n");
}

void wait_for(int fd, short events)
{
    struct pollfd entry = {fd, events, 0};

    if (poll(&entry, 1, 5000) != 1)
        printf("timeout\n");
}

int get_int(int fd, int level, int option)
{
    int value = -1;
    socklen_t bytes = sizeof(value);

    if (getsockopt(fd, level, option, &value, &bytes))
        return -errno;
    return value;
}

int set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value));
}

/* ---- Addresses ----------------------------------------------------------- */

socklen_t loopback(union address *address, int family, unsigned port)
{
    memset(address, 0, sizeof(*address));
    address->any.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        address->in.sin_port = htons((uint16_t)port);
        address->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof(address->in);
    }
    address->in6.sin6_port = htons((uint16_t)port);
    address->in6.sin6_addr = in6addr_loopback;
    return sizeof(address->in6);
}

unsigned port_of(int fd)
{
    union address address;
    socklen_t bytes = sizeof(address);

    getsockname(fd, &address.any, &bytes);
    return ntohs(address.in.sin_port);
}

void show_name(const char *what, int fd, bool peer)
{
    union address address;
    socklen_t bytes = sizeof(address);
    char text[64] = "?";

    if (peer ? getpeername(fd, &address.any, &bytes)
             : getsockname(fd, &address.any, &bytes)) {
        show(what, -1);
        return;
    }
    if (address.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &address.in.sin_addr, text, sizeof(text));
    else
        inet_ntop(AF_INET6, &address.in6.sin6_addr, text, sizeof(text));
    printf("%s: %s %s, %u bytes\n", what, text,
           address.in.sin_port ? "port" : "no port", bytes);
}

/* Listens on the loopback. Returns the descriptor. */
int listen_on(int family, unsigned port, int backlog)
{
    union address address;
    socklen_t bytes = loopback(&address, family, port);
    int fd = socket(family, SOCK_STREAM, 0);

    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, &address.any, bytes) || listen(fd, backlog))
        show("listen_on", -1);
    return fd;
}

int connect_to(int family, unsigned port)
{
    union address address;
    socklen_t bytes = loopback(&address, family, port);
    int fd = socket(family, SOCK_STREAM, 0);

    if (connect(fd, &address.any, bytes))
        show("connect_to", -1);
    return fd;
}

struct pair make_pair(int family)
{
    int listener = listen_on(family, 0, 5);
    struct pair pair;

    pair.client = connect_to(family, port_of(listener));
    pair.server = accept(listener, NULL, NULL);
    close(listener);
    return pair;
}
