/* SPDX-License-Identifier: MIT */
/* In the supervisor: connections that workers have accepted themselves. */
#ifndef VMM_SERVER_OWN_H
#define VMM_SERVER_OWN_H

/*
 * A worker that may accept (own_allow) begins with connections of which the
 * supervisor knows nothing (acceptor.h has the worker's side). It looks at the
 * workers' pages once in a while (own_look): takes the reports of those that
 * were served well, and notes who is busy, and since when it has known that.
 * Such a worker is BUSY; what is handed over to it is its `next`.
 *
 * Connections that were not served well are sent here with their report
 * (own_hear) and become clients: they get their 502 or 504, or are cut off. So
 * do those that have not said anything yet: they are SILENT ones, and go on as
 * if they had been accepted here. When a worker has died, its keeper has what
 * it had (own_settle): if nothing of it was read, it is queued.
 *
 * The page and what comes from the worker are untrusted: whoever breaks its
 * rules is condemned.
 */

#include <stdbool.h>
#include <stdint.h>

#include "vmm/server/worker.h"

struct dispatch;
struct worker;

/* What the supervisor knows of a worker's own ones. */
struct own {
    bool allowed;
    bool busy;        /* with one of them */
    uint64_t seen;    /* the number of the last one that was noticed */
    uint64_t taken;   /* reports */
    uint64_t settled; /* the number of the last one that came here */
    struct worker_report pending; /* of one for which there was no room; 0 */
};

/* So many workers of this generation, if there are, may accept: no others. */
void own_allow(struct dispatch *dispatch, unsigned generation, unsigned count);

/* None may any more. Those that were about to are busy until own_look(). */
void own_forbid(struct worker *worker);

/* Looks at a worker's page. Returns how many connections are over. */
unsigned own_look(struct worker *worker);

/* At all of them. */
unsigned own_look_all(struct dispatch *dispatch);

/* How many may accept, and how many are busy, or may be about to be. */
unsigned own_count_allowed(const struct dispatch *dispatch);
unsigned own_count_busy(const struct dispatch *dispatch);

/* They are to say when they begin with something, until the next look. */
void own_doze(struct dispatch *dispatch);

/*
 * A report came with a connection, which is the callee's; -1: the host had no
 * room for it, and the worker waits until the keeper was asked. Returns whether
 * an honest worker may have said that.
 */
bool own_hear(struct worker *worker, const struct worker_report *report,
              int connection);

/* The worker is no more: takes what it has told, and what it had. */
void own_settle(struct worker *worker);

#endif
