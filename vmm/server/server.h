/* SPDX-License-Identifier: MIT */
/* mayfly serve: what is asked for, which all of its parts read. */
#ifndef VMM_SERVER_SERVER_H
#define VMM_SERVER_SERVER_H

/*
 * A program becomes a service whose every connection is served by a VM that
 * nobody has used before. Processes, all forked by the first one, without exec:
 *
 *   supervisor  supervisor.c: accepts what they do not, hands over, answers
 *               where a guest fails
 *   booter      boot.h: boots the image to its first accept, for a snapshot
 *   workers     worker.h: one VM each, restored from it, reset after each use;
 *               most accept connections themselves (acceptor.h)
 *   keepers     keeper.h: so that no connection dies with its worker
 *
 * The booter and the workers confine themselves before a guest's first
 * instruction there, and the supervisor believes nothing that they say.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "vmm/mayfly.h"

struct cli_guest;

/* Where to listen. */
struct server_address {
    struct sockaddr_storage address;
    socklen_t bytes;  /* of it; 0: not given */
    const char *text; /* as it was given */
};

#define SERVER_WORKERS_MAX     1024
#define SERVER_CONNECTIONS_MAX 1048576
#define SERVER_CONNECTIONS     4096
#define SERVER_TIMEOUT_NS      10000000000u
#define SERVER_BOOT_TIMEOUT_NS 30000000000u

/* All of it is as it will be when server_run() is called. */
struct server_options {
    const char *image; /* path of an image or a snapshot */
    struct server_address listen;
    struct server_address admin; /* bytes is 0: none */
    const char *access_log;      /* a path; "-": standard output; NULL: none */
    unsigned workers;            /* VMs that serve at the same time, at most */
    unsigned pool;               /* beyond them, made in advance ... */
    bool pool_given;             /* ... else it depends on the image */
    unsigned connections;        /* that are held at the same time, at most */
    unsigned requests_per_vm;    /* connections, from 1 on */
    bool server_first;           /* clients wait to be spoken to */
    uint64_t timeout_ns; /* of a connection: waiting, and being served */
    uint64_t boot_timeout_ns;
    uint64_t poll_ns; /* look for work so long before a sleep; 0: not at all */
    const struct cli_guest *guest; /* what is in the VMs */
};

/*
 * Serves until it is told to end (supervisor.c). Returns an exit status: 0 if
 * it was told to by SIGTERM or SIGINT and all that was there is served.
 */
int server_run(const struct server_options *options);

/*
 * Reads ADDR:PORT, [ADDR]:PORT, NAME:PORT, *:PORT (all addresses of both
 * families) or unix:PATH. Returns NULL, or what is wrong with it; a name is
 * looked up. In address.c.
 */
const char *server_parse_address(const char *text,
                                 struct server_address *address);

/*
 * Whether a connection to that address would reach what listens at `address`,
 * which may be all addresses of this host. `ip` has 16 bytes of IPv6, or 4.
 */
bool server_is_reached(const struct server_address *address, const uint8_t *ip,
                       bool is_ipv6, uint16_t port);

#endif
