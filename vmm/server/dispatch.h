/* SPDX-License-Identifier: MIT */
/* Who serves which connection: the queue, and the workers. */
#ifndef VMM_SERVER_DISPATCH_H
#define VMM_SERVER_DISPATCH_H

/*
 * Connections wait in one queue, first come, first served. An idle worker gets
 * the first one. Where all are busy, each gets one more in advance, so that it
 * goes on without waiting for the supervisor; if another one becomes idle
 * before that, the connection is taken back and goes there.
 *
 *   STARTING  restores its VM          -> IDLE by its report, READY
 *   IDLE      waits for a connection
 *   BUSY      has one, of its own or not, and maybe a next one
 *   RETIRING  gets nothing new: it is spent, of an old generation, or condemned
 *
 * Reusable workers that may accept connections themselves are BUSY, too, as
 * soon as it is noticed that they have one (own.h): they have no `current`
 * then.
 *
 * A worker that talks nonsense, or does not report in time, is condemned: it is
 * killed. What it had is settled when it is gone for good (dispatch_bury): a
 * connection of which nothing was read goes back to the front of the queue.
 *
 * The kernel of this is a struct worker and its link (worker.h): who starts
 * workers and waits for them is elsewhere (fleet.h), so that tests can be the
 * workers.
 */

#include "vmm/server/clients.h"
#include "vmm/server/own.h"
#include "vmm/server/worker.h"

/* What a worker has beyond its time before it is killed. */
#define DISPATCH_GRACE_NS 1000000000u

/* Workers that may die of one connection, or by chance while they have it. */
#define DISPATCH_DEATHS_MAX 3u

/* Connections taken back from a worker that it has not come across yet. */
#define DISPATCH_STRAYS_MAX 2u

enum worker_state {
    WORKER_ABSENT,
    WORKER_STARTING,
    WORKER_IDLE,
    WORKER_BUSY,
    WORKER_RETIRING,
};

struct worker {
    struct watch watch;
    struct dispatch *dispatch;
    struct worker_link link;
    enum worker_state state;
    struct link place; /* in the list that its state has */
    struct link order; /* in a list of deadlines */
    struct client *current;
    struct client *next; /* handed over in advance: it also may have one that
                            it has accepted itself, and no `current` */
    uint64_t deadline_ns;
    uint64_t in_bytes, out_bytes; /* of its progress: what it has reported */
    uint64_t served;              /* connections that it has reported */
    unsigned strays;              /* see DISPATCH_STRAYS_MAX */
    struct own own;               /* own.h */
    unsigned generation;          /* the caller's number */
    int memory_fd;                /* the caller's; -1 at first */
    bool reusable;   /* it resets its VM: one may be handed over in advance */
    bool heard;      /* its socket is watched */
    bool spent;      /* it said that it ends */
    bool released;   /* it was told to end */
    bool condemned;  /* killed */
    bool too_slow;   /* for that reason */
    bool distrusted; /* for talking nonsense */
};

struct dispatch {
    struct loop *loop;
    struct clients *clients; /* where what workers have accepted goes */
    struct metrics *metrics;
    uint64_t timeout_ns;
    uint64_t start_timeout_ns; /* from a worker's start to READY */
    unsigned serving_max;      /* workers that serve at the same time */
    void (*kill)(pid_t pid);

    struct worker *workers; /* `max` of them */
    unsigned max;
    unsigned serving;     /* workers that have a connection */
    struct link queue;    /* of clients */
    struct link idle;     /* by place: the one used last comes first */
    struct link room;     /* busy, without a next one */
    struct link ahead;    /* busy, with a next one */
    struct link starting; /* by order: STARTING */
    struct link order;    /* others that have a deadline */
    bool awake;   /* a worker has begun while we dozed: the caller's to clear */
    bool stirred; /* workers have become ready, or have ended: the caller's to
                     clear */
    uint64_t quiet_until_ns;  /* no worker explains a failure before that */
    uint64_t paused_until_ns; /* the host had no room for a descriptor */
};

/*
 * The fields up to `kill` are the caller's. `max` is how many workers there are
 * at most. Returns 0 or -ENOMEM.
 */
int dispatch_init(struct dispatch *dispatch, unsigned max);

/* When all workers are buried. */
void dispatch_fini(struct dispatch *dispatch);

/*
 * Takes over a worker that was just started. Returns NULL if the loop does not
 * take it: then it is still the caller's. There has to be room.
 */
struct worker *dispatch_add(struct dispatch *dispatch,
                            const struct worker_link *link, unsigned generation,
                            bool reusable);

/* A client waits to be served from now on: clients->queue. */
void dispatch_queue(void *dispatch, struct client *client);

/* The worker gets nothing new, and ends when it is done with what it has. */
void dispatch_retire(struct worker *worker);

/* Kills it, if that was not done yet. */
void dispatch_condemn(struct worker *worker);

/* Whether the end of this worker is nothing unusual. */
bool dispatch_is_expected(const struct worker *worker);

/* Its process is no more: reads what it has said before. */
void dispatch_listen(struct worker *worker);

/*
 * Its process is no more, and was waited for: settles what it had, and forgets
 * it.
 */
void dispatch_bury(struct worker *worker);

/* The worker that is this process; NULL: none. */
struct worker *dispatch_find(struct dispatch *dispatch, pid_t pid);

/* Does what the time demands. */
void dispatch_expire(struct dispatch *dispatch);

/* When that is; LOOP_NEVER. */
uint64_t dispatch_deadline(const struct dispatch *dispatch);

/* ---- Between dispatch.c and workers.c ----------------------------------- */

/* Gives work to whoever can take it. */
void dispatch_pump(struct dispatch *dispatch);

/* Puts a client back to where it will be the next one. */
void dispatch_requeue(struct dispatch *dispatch, struct client *client);

/* Puts a worker that is IDLE or BUSY into the list where it belongs. */
void dispatch_place(struct worker *worker);

/* What a report says, if the job took at most so long. */
struct connection_record
dispatch_read_report(const struct worker *worker,
                     const struct worker_report *report, uint64_t most_ns);

/* A worker tells what it likes: sums shall stay sums. */
#define DISPATCH_COUNT_MAX (1ull << 40)

static inline uint64_t dispatch_at_most(uint64_t number, uint64_t most)
{
    return number < most ? number : most;
}

/* One worker has explained a failure: the others do not for a while, nor do
 * those that are made meanwhile. */
void dispatch_hush(struct dispatch *dispatch);

/* It said that it ends: it gets nothing new. */
void dispatch_note_spent(struct worker *worker);

/* The worker begins with `current`, or has nothing to begin with. */
void dispatch_begin(struct worker *worker);

#endif
