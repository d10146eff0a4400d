/* SPDX-License-Identifier: MIT */
/* Connections: reading, answering, sending, and when that takes too long. */
#ifndef HTTPD_CONNECTION_H
#define HTTPD_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

struct connection;

/* What a connection waits for; each has its time limit. */
enum phase {
    PHASE_IDLE,    /* the first byte of a request */
    PHASE_REQUEST, /* the rest of it, counted from the first byte */
    PHASE_SEND,    /* the peer, to take an answer's bytes */
    PHASE_LINGER,  /* the peer's end, after ours */
    PHASE_COUNT
};

struct server {
    int epoll, listener;
    unsigned open_max;
    bool accepting; /* the listener is being watched */
    bool stopping;
    /*
     * One list per phase. All of a list wait equally long, so that whoever
     * began first is first to be late.
     */
    struct connection *first[PHASE_COUNT], *last[PHASE_COUNT];
    uint64_t limit_ns[PHASE_COUNT];
};

/* Watches the listener, or no longer. */
void server_watch(struct server *server, bool watch);

/* Takes connections that wait at the listener, some at a time. */
void server_accept(struct server *server);

/* Does what epoll's events ask for; the connection may be gone afterwards. */
void connection_serve(struct server *server, struct connection *connection,
                      uint32_t events);

/* Ends connections that are late. Returns milliseconds to the next one or -1.
 */
int server_expire(struct server *server);

/* Accepts no more, ends the idle ones; others end after their answer. */
void server_stop(struct server *server);

#endif
