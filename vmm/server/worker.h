/* SPDX-License-Identifier: MIT */
/* Workers: processes that serve connections with a VM each. */
#ifndef VMM_SERVER_WORKER_H
#define VMM_SERVER_WORKER_H

/*
 * Life of a worker, and who does what:
 *
 *   supervisor                        worker
 *   worker_start                      forked: restores its VM, confines itself
 *   worker_hear            <- READY
 *   worker_hand_over       -> job, with the connection
 *                                     claims it, offers it, runs, flushes
 *   worker_hear            <- DONE    resets
 *   ... any number of times ...
 *   worker_release         -> end     ends when its socket is closed
 *
 * A worker that is done with its VM and cannot reset it says so (`spent`) and
 * ends. Its death is seen by its socket (EPOLLHUP), or by its pid.
 *
 * One job may be handed over while another is being served. Its number is in
 * one of `page->next`: there are two of them because the worker reports a job
 * before it claims the one that follows, and that tells the supervisor to hand
 * over yet another. The worker sets `page->current`, and then swaps the number
 * for 0, when it begins with the job; so can the supervisor, which thereby has
 * the connection back (worker_take_back). The worker then closes its copy
 * unseen, without a report, when it comes to it: until then the connection is
 * open there, so that it is ended by shutdown(2), not by close().
 *
 * How much of a job's request was read, and of its answer sent, is in
 * `page->progress`, which counts on from job to job; reports have the
 * differences. If a worker dies, a job that is still in `next`, or that is
 * `current` while nothing was read, goes to another one.
 *
 * A worker may accept connections itself, as long as `page->own.accepts` is
 * set; acceptor.h has its side of that, own.h the supervisor's. It prefers
 * jobs.
 *
 * Nothing that a worker says or writes to its page is believed, beyond what it
 * says of the connections that it was given or has accepted.
 */

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "vmm/server/boot.h"
#include "vmm/server/http.h"
#include "vmm/server/server.h"

/* Failures are explained so often at most: clients may cause them. */
#define WORKER_QUIET_NS UINT64_C(10000000000)

/* Supervisor to worker: one packet, with the connection. */
struct worker_job {
    uint64_t id;         /* not 0 */
    uint64_t timeout_ns; /* from when the worker begins; 0: no limit */
};

enum worker_event {
    WORKER_READY = 1,
    WORKER_DONE,
    WORKER_OWN_DONE,   /* with a connection that it has accepted itself, which
                          was not served well */
    WORKER_OWN_SILENT, /* with one of which nothing has come yet */
    WORKER_AWAKE,      /* it has accepted one while the supervisor dozed */
};

/* How serving a connection ended. */
enum worker_end {
    WORKER_SERVED,    /* the guest is done with it, and its output is out */
    WORKER_REFUSED,   /* the guest did not take it */
    WORKER_CRASHED,   /* what `status` says: enum mayfly_crash_kind */
    WORKER_EXITED,    /* the program ended: `status` is its own */
    WORKER_TIMED_OUT, /* the guest took too long, or the peer took too slowly */
    WORKER_FAILED,    /* the host's failure: `status` is an errno, or 0 */
    WORKER_ENDS,
};

/* Worker to supervisor: one packet. */
struct worker_report {
    uint32_t event;     /* enum worker_event */
    uint32_t end;       /* enum worker_end */
    uint64_t id;        /* the job's, or of OWN ones their number; else 0 */
    uint64_t in_bytes;  /* from the client, taken by the VM */
    uint64_t out_bytes; /* to the client */
    uint64_t run_ns;    /* with the connection */
    uint64_t reset_ns;  /* READY: making the VM */
    uint64_t pages;     /* that the reset copied back */
    uint64_t exits;     /* of the VM to the monitor */
    int32_t status;     /* as `end` says */
    uint32_t spent;     /* 1: this was the worker's last; it ends */
    uint32_t explained; /* 1: a failure, on standard error */
    uint32_t unused;
};

/* Reports that wait in the page. */
#define WORKER_OWN_MAX 256u

/* A connection that the worker has accepted itself. */
struct worker_own {
    struct worker_report report; /* as that of WORKER_DONE */
    uint64_t total_ns;           /* from accept to the report */
    uint64_t end_ns;             /* when that was: CLOCK_MONOTONIC */
    uint32_t returned;           /* 1: the supervisor has it */
    uint32_t look_bytes;
    char look[HTTP_LOOK_BYTES]; /* its first bytes */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } peer;
    socklen_t peer_bytes;
};

/* Number n of these connections, from 1 on, is in all[(n - 1) % MAX]. */
struct worker_owns {
    _Atomic uint64_t begun;    /* the number of the last one */
    _Atomic uint64_t answered; /* the same, of those served well */
    _Atomic uint64_t done;     /* the same, of those reported */
    _Atomic uint32_t trying;   /* to accept: it has seen `accepts` set */
    _Atomic uint64_t received; /* the supervisor's: the last one sent to it */
    _Atomic uint64_t taken;    /* the supervisor's: reports read so far */
    _Atomic uint32_t accepts;  /* the supervisor's: the worker may */
    _Atomic uint32_t dozes;    /* the supervisor's: wants WORKER_AWAKE, once */
    struct worker_own all[WORKER_OWN_MAX];
};

/* Shared by the two, and by nobody else. */
struct worker_page {
    _Atomic uint64_t next[2]; /* jobs handed over, not claimed; 0: none */
    _Atomic uint64_t current; /* about to be claimed, or claimed and not
                                 reported; else 0 or what has been */
    /* No failure is explained before that: by the supervisor, which hears of
     * those of others, too. CLOCK_MONOTONIC. */
    _Atomic uint64_t quiet_until_ns;
    struct mayfly_progress progress;
    struct worker_owns own;
};

struct worker_link {
    pid_t pid;
    int fd;     /* ours: non-blocking, SOCK_SEQPACKET */
    int keeper; /* to keeper.h; -1: the worker accepts nothing itself */
    struct worker_page *page;
};

/*
 * Forks a worker of that generation. Where it can, it is made ready to accept
 * connections from `listener` itself; -1: it never does. Returns 0 or a
 * negative errno.
 */
int worker_start(const struct server_options *options,
                 const struct generation *generation, int listener,
                 struct worker_link *link);

/* Lets it accept connections itself. Returns 0 or a negative errno. */
int worker_let_accept(struct worker_link *link);

/*
 * Hands a connection over, which stays the caller's, too: non-blocking. Returns
 * 0; -EBUSY if none of `page->next` is 0; -EAGAIN if the worker has not read
 * what it was sent before; -EPIPE or the like if it is no more. Then it is not
 * handed over.
 */
int worker_hand_over(struct worker_link *link, const struct worker_job *job,
                     int connection);

/* Takes a job back. Returns whether the worker has not begun with it. */
bool worker_take_back(struct worker_link *link, uint64_t id);

/* The other side of that: the worker's. Returns whether the job is its own. */
bool worker_claim(struct worker_page *page, uint64_t id);

/*
 * Reads one report, whose fields are in their ranges then, and stores the
 * descriptor that came with it, or -1; OWN ones have one, if the host has had
 * room for it. Returns 0; -EAGAIN if
 * there is none; -EPIPE if there will be none any more; -EPROTO if the worker
 * talks nonsense, and is to be killed.
 */
int worker_hear(struct worker_link *link, struct worker_report *report,
                int *connection);

/* Closes our end. The worker ends when it is done with what it has. */
void worker_release(struct worker_link *link);

#endif
