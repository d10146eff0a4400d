/* SPDX-License-Identifier: MIT */
/* Who accepts: the supervisor, or the workers. */
#ifndef VMM_SERVER_PACE_H
#define VMM_SERVER_PACE_H

/*
 * Where workers accept connections themselves (own.h):
 *
 *   QUIET    nothing happens, and nothing is looked at. A connection wakes a
 *            worker, which takes it, and the supervisor      -> ACTIVE
 *   ACTIVE   workers accept, the supervisor looks at them at each tick. It does
 *            not watch its socket
 *   LOADED   connections wait in the kernel, and the workers do not get through
 *            them so fast that all that can wait there are served in their
 *            time, as if they are held up in long requests: the supervisor
 *            accepts, too, queues and hands over, so that each has its time
 *            limit and all others their bounds
 *
 * From both it goes back when there is nothing left to do. Without such workers
 * it is QUIET, and the supervisor accepts all.
 */

#include <stdbool.h>
#include <stdint.h>

struct dispatch;
struct listener;

#define PACE_TICK_NS 10000000u

enum pace_mood { PACE_QUIET, PACE_ACTIVE, PACE_LOADED };

/* The fields up to `timeout_ns` are the caller's. */
struct pace {
    struct dispatch *dispatch;
    const struct listener *listener;
    uint64_t timeout_ns; /* that a connection has */
    enum pace_mood mood;
    uint64_t since_ns; /* the last tick */
    uint64_t tick_ns;  /* the next; not if QUIET */
};

/* Whether the socket is to be watched. */
bool pace_wants_connections(const struct pace *pace);

/* There is one. Returns whether it is left to the workers. */
bool pace_leave_connection(struct pace *pace);

/* Looks at the workers from now on. */
void pace_begin(struct pace *pace);

/* Once a turn. */
void pace_turn(struct pace *pace);

/* When pace_turn() has something to do next; LOOP_NEVER. */
uint64_t pace_deadline(const struct pace *pace);

#endif
