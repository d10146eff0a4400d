/* SPDX-License-Identifier: MIT */
/* The sockets at which a server is reached. */
#ifndef VMM_SERVER_LISTEN_H
#define VMM_SERVER_LISTEN_H

/*
 * A socket file of a server that is gone is replaced, one of a server that
 * lives is an error: both under a lock of the directory, so that of two that
 * start together one wins. The file is removed at the end unless somebody has
 * replaced it. What addresses look like: server_parse_address() in server.h.
 */

#include <sys/stat.h>

#include "vmm/server/server.h"

#define LISTEN_NAME_BYTES 128

/* Connections that the kernel holds while all of ours are in use; there may be
 * one more (listen(2)). */
#define LISTEN_BACKLOG 4096

struct listener {
    const struct server_address *address; /* lives longer */
    int fd;                               /* -1: closed */
    char name[LISTEN_NAME_BYTES]; /* "127.0.0.1:8080", "[::1]:80", "unix:/path":
                                     with the port if 0 was asked for */
    dev_t device;                 /* of the socket file */
    ino_t inode;
};

/*
 * Opens the socket: non-blocking, close-on-exec, and what it accepts sends at
 * once (TCP_NODELAY). Returns CLI_OK, or CLI_FAILED after saying why not.
 */
int listener_open(struct listener *listener,
                  const struct server_address *address);

/*
 * Whether the kernel keeps connections of TCP to itself until their client has
 * said something, for about `seconds`; 0: it does not.
 */
void listener_defer(const struct listener *listener, unsigned seconds);

/*
 * From here on nobody connects any more: who tries is not answered, and tries
 * again. Returns whether the kernel may have some that have connected and said
 * nothing (listener_defer()): it hands them out when they speak, or when it
 * would ask them again, which is a second after they came, then two, four ...
 */
bool listener_hold(const struct listener *listener);

/* Closes it, if it is open, and removes its file. */
void listener_close(struct listener *listener);

#endif
