/* SPDX-License-Identifier: MIT */
/* The admin endpoint: GET /metrics and /healthz, over HTTP/1.1. */
#ifndef VMM_SERVER_ADMIN_H
#define VMM_SERVER_ADMIN_H

/*
 * All of it lies behind one descriptor, an epoll set of its own, which becomes
 * readable when there is something to do; admin_serve() does that much and
 * never waits. Timeouts are in the set, too. The supervisor's loop needs to
 * know no more. One thread: the supervisor's.
 */

#include <stdbool.h>
#include <stddef.h>

/* Where pages come from. All are called from admin_serve(). */
struct admin_source {
    /* Writes at most METRICS_TEXT_BYTES to `to`. Returns the length. */
    size_t (*write_metrics)(void *context, char *to);
    /* Whether a connection would be served now. */
    bool (*is_healthy)(void *context);
    void *context;
    unsigned request_ms; /* for a request to come and be answered; 0: 10 s */
};

struct admin;

/* Descriptors that it uses at most, besides the listening socket. */
#define ADMIN_DESCRIPTORS_MAX 18

/*
 * Starts answering at a listening socket, which is non-blocking and stays the
 * caller's, to be closed after this. Returns 0 or -errno; on success `*admin`
 * is to be destroyed.
 */
int admin_create(struct admin **admin, int listener,
                 const struct admin_source *source);

/* The descriptor to watch for EPOLLIN. */
int admin_fd(const struct admin *admin);

/* Does what there is to do. */
void admin_serve(struct admin *admin);

/* Closes everything. NULL is nothing. */
void admin_destroy(struct admin *admin);

#endif
