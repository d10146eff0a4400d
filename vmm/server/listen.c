/* SPDX-License-Identifier: MIT */
/* Opening and closing the sockets at which a server is reached. */
#include "vmm/server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/cli.h"
#include "vmm/server/text.h"

/* ---- Opening ------------------------------------------------------------ */

static bool is_path(const struct listener *listener)
{
    return listener->address->address.ss_family == AF_UNIX;
}

static const char *path_of(const struct listener *listener)
{
    return ((const struct sockaddr_un *)&listener->address->address)->sun_path;
}

/* Whether no address was given but "*". */
static bool is_everywhere(const struct server_address *address)
{
    return address->address.ss_family == AF_INET6 && address->text[0] == '*';
}

static void set_options(int fd, const struct server_address *address)
{
    const int on = 1, only = !is_everywhere(address);

    if (address->address.ss_family == AF_UNIX)
        return;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (address->address.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
}

/* Binds and listens. Returns a descriptor or a negative errno. */
static int open_socket(const struct server_address *address)
{
    int error, fd = socket(address->address.ss_family,
                           SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    set_options(fd, address);
    if (bind(fd, (const struct sockaddr *)&address->address, address->bytes) ==
            0 &&
        listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    error = -errno;
    close(fd);
    return error;
}

/* Whether nobody listens at a socket file any more. */
static bool is_stale(const struct server_address *address, const char *path)
{
    struct stat stat;
    bool stale;
    int fd;

    if (lstat(path, &stat) || !S_ISSOCK(stat.st_mode))
        return false;
    /* It does not wait for room: a full backlog is a sign of life. */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    stale = connect(fd, (const struct sockaddr *)&address->address,
                    address->bytes) < 0 &&
            errno == ECONNREFUSED;
    close(fd);
    return stale;
}

/*
 * Locks the directory that a socket file is in; not for ever, since anybody may
 * hold that lock. Returns a descriptor to close, or -1.
 */
static int lock_directory(const char *path)
{
    char directory[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    const char *slash = strrchr(path, '/');
    int fd, length = slash ? (int)(slash - path) + 1 : 1;

    snprintf(directory, sizeof(directory), "%.*s", length, slash ? path : ".");
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; fd >= 0 && i < 100; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
            break;
        usleep(10000);
    }
    return fd;
}

static int open_path(struct listener *listener)
{
    const char *path = path_of(listener);
    int lock = lock_directory(path);
    struct stat stat;
    int fd = open_socket(listener->address);

    if (fd == -EADDRINUSE && is_stale(listener->address, path) &&
        unlink(path) == 0)
        fd = open_socket(listener->address);
    if (fd >= 0 && lstat(path, &stat) == 0) {
        listener->device = stat.st_dev;
        listener->inode = stat.st_ino;
    }
    if (lock >= 0)
        close(lock);
    return fd;
}

/* A host may do without IPv6. */
static int open_everywhere(const struct server_address *address)
{
    struct server_address ipv4 = {.text = "",
                                  .bytes = sizeof(struct sockaddr_in)};
    const struct sockaddr_in6 *in6 =
        (const struct sockaddr_in6 *)&address->address;
    struct sockaddr_in *in = (struct sockaddr_in *)&ipv4.address;
    int fd = open_socket(address);

    if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
        return fd;
    in->sin_family = AF_INET;
    in->sin_port = in6->sin6_port;
    return open_socket(&ipv4);
}

static void name_socket(struct listener *listener)
{
    struct sockaddr_storage got;
    socklen_t bytes = sizeof(got);
    char text[TEXT_ADDRESS_BYTES];

    snprintf(listener->name, sizeof(listener->name), "%s",
             listener->address->text);
    if (is_path(listener) ||
        getsockname(listener->fd, (struct sockaddr *)&got, &bytes))
        return;
    text_write_address((struct sockaddr *)&got, bytes, text);
    snprintf(listener->name, sizeof(listener->name), "%s", text);
}

/* What may be done about it, where that is known. */
static const char *hint(const struct listener *listener, int error)
{
    const struct sockaddr_in *in =
        (const struct sockaddr_in *)&listener->address->address;
    struct stat stat;

    if (error == EADDRINUSE && is_path(listener))
        return lstat(path_of(listener), &stat) == 0 && !S_ISSOCK(stat.st_mode)
                   ? ": a file is there that is no socket"
                   : ": a server listens there";
    if (error == EADDRINUSE)
        return ": something else listens there";
    if (error == EADDRNOTAVAIL)
        return ": it is not one of this host's; *:PORT is all of them";
    if (error == EACCES && !is_path(listener) && ntohs(in->sin_port) < 1024)
        return ": ports below 1024 take a privilege (CAP_NET_BIND_SERVICE)";
    return "";
}

int listener_open(struct listener *listener,
                  const struct server_address *address)
{
    int fd;

    *listener = (struct listener){.address = address, .fd = -1};
    if (is_path(listener))
        fd = open_path(listener);
    else if (is_everywhere(address))
        fd = open_everywhere(address);
    else
        fd = open_socket(address);
    if (fd < 0)
        return cli_fail(CLI_FAILED, "cannot listen at %s: %s%s", address->text,
                        strerror(-fd), hint(listener, -fd));
    listener->fd = fd;
    name_socket(listener);
    return CLI_OK;
}

void listener_defer(const struct listener *listener, unsigned seconds)
{
    int value = (int)seconds;

    if (!is_path(listener))
        setsockopt(listener->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &value,
                   sizeof(value));
}

/* ---- Closing ------------------------------------------------------------ */

static void remove_file(const struct listener *listener)
{
    const char *path = path_of(listener);
    int lock = lock_directory(path);
    struct stat stat;

    if (lstat(path, &stat) == 0 && stat.st_dev == listener->device &&
        stat.st_ino == listener->inode)
        unlink(path);
    if (lock >= 0)
        close(lock);
}

void listener_close(struct listener *listener)
{
    if (listener->fd < 0)
        return;
    if (is_path(listener))
        remove_file(listener);
    close(listener->fd);
    listener->fd = -1;
}
