/* SPDX-License-Identifier: MIT */
/* Connections: from accept to their end. */
#ifndef VMM_SERVER_CLIENTS_H
#define VMM_SERVER_CLIENTS_H

/*
 * States of a connection:
 *
 *   accepted -> SILENT   until its client's first byte, which stays where it is
 *            -> QUEUED   for a worker (dispatch.h)
 *            -> SERVED   a worker has it, or gets it next; may become QUEUED
 *                        again
 *            -> CLOSING  it was answered here: its client has to read that
 *            -> closed
 *
 * Each state but SERVED has a time limit; since it is the same for all, a state
 * is a list in the order of deadlines. The supervisor keeps its descriptor of a
 * connection to the end. Only SILENT and CLOSING ones are watched: a connection
 * that comes with its request, and is served, costs no epoll_ctl().
 *
 * A client is one of a fixed number; nothing is allocated later.
 */

#include <netinet/in.h>

#include "vmm/server/access_log.h"
#include "vmm/server/http.h"
#include "vmm/server/list.h"
#include "vmm/server/loop.h"
#include "vmm/server/metrics.h"

/* How long a client has to read an answer of ours. */
#define CLIENTS_CLOSING_NS 1000000000u

enum client_state {
    CLIENT_FREE,
    CLIENT_SILENT,
    CLIENT_QUEUED,
    CLIENT_SERVED,
    CLIENT_CLOSING,
    CLIENT_STATES,
};

struct client {
    struct link link; /* of its state's list; for SERVED of nothing */
    struct watch watch;
    struct clients *clients;
    enum client_state state;
    enum http_kind http;
    int fd;
    unsigned deaths; /* of workers that had it */
    unsigned strays; /* see struct worker in dispatch.h */
    bool moved;      /* a worker that it was taken from may still have it */
    uint64_t id;     /* not 0 */
    uint64_t accepted_ns;
    uint64_t ready_ns;    /* when it could be served */
    uint64_t handed_ns;   /* when a worker got it first; 0: never */
    uint64_t given_ns;    /* when its worker could begin; 0: not yet */
    uint64_t deadline_ns; /* of its state; QUEUED: also while it is SERVED but
                             not begun with */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } peer;
    socklen_t peer_bytes;
    size_t look_bytes;
    char look[HTTP_LOOK_BYTES]; /* its first bytes */
};

struct clients {
    struct loop *loop;
    struct metrics *metrics;
    struct access_log *log;
    uint64_t timeout_ns;
    bool server_first; /* clients wait to be spoken to */
    /* A client is QUEUED from now on. */
    void (*queue)(void *context, struct client *client);
    void *context;

    struct client *all;
    unsigned max, made; /* made: so many have been used */
    unsigned spare;     /* for those that were accepted elsewhere */
    unsigned counts[CLIENT_STATES];
    struct link free, silent, closing;
    uint64_t last_id;
};

/*
 * The fields up to `context` are the caller's. Room for `max` of them, and
 * `spare` of clients_adopt(). Returns 0 or -ENOMEM.
 */
int clients_init(struct clients *clients, unsigned max, unsigned spare);

/* Closes all that are left, as CONNECTION_DROPPED. No worker has one. */
void clients_drop(struct clients *clients);

void clients_fini(struct clients *clients);

/* How many there are. */
unsigned clients_count(const struct clients *clients);

static inline bool clients_have_room(const struct clients *clients)
{
    return clients_count(clients) < clients->max;
}

/*
 * Somebody waits for room: if there is none, the client that has been silent
 * longest is closed, unless it has said something just now. Not while watches
 * are told of events: that client's may be among them. Returns whether there is
 * room.
 */
bool clients_make_room(struct clients *clients);

/*
 * Accepts one; there has to be room. Returns 0; -EAGAIN if nobody wants to
 * connect; or another negative errno if the host cannot go on: then it is
 * better to wait.
 */
int clients_accept(struct clients *clients, int listener);

/* ---- Connections that workers have accepted ----------------------------- */

/*
 * Takes a descriptor over, which may be of anything: SERVED, as if a worker had
 * it. Returns NULL, and it is closed, if it is none of a connection.
 */
struct client *clients_adopt(struct clients *clients, int fd);

/* An adopted one goes on as if it had just been accepted here. */
void client_admit(struct client *client);

/* An adopted one's first bytes, which were read, have been these. */
void client_recall(struct client *client, const char *look, size_t bytes);

/* Whether this is one of those that workers have been given. */
bool clients_have(const struct clients *clients, int fd);

/* One that never was here has been over for so long; its first bytes. */
void clients_note(struct clients *clients, struct connection_record *record,
                  uint64_t age_ns, const char *look, size_t bytes);

/* ------------------------------------------------------------------------- */

/* Changes the state, which is QUEUED or SERVED before and afterwards. */
void client_set_state(struct client *client, enum client_state state);

/*
 * A QUEUED or SERVED one is over. `record` has the end, and what its worker
 * knows: bytes, vm_ns, pages, exits, worker; the rest is filled in here. If its
 * client is owed an answer and nothing was sent to it, it gets one.
 */
void client_end(struct client *client, struct connection_record *record);

/* Ends those whose time is over. */
void clients_expire(struct clients *clients);

/* When clients_expire() has something to do next; LOOP_NEVER. */
uint64_t clients_deadline(const struct clients *clients);

/* The server is to end: silent ones have until then, at most. */
void clients_hurry(struct clients *clients, uint64_t latest_ns);

#endif
