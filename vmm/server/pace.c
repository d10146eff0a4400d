/* SPDX-License-Identifier: MIT */
/* The supervisor's mood: when it looks at its workers, and when it accepts. */
#include "vmm/server/pace.h"

#include <poll.h>

#include "vmm/server/supervisor.h"

#define TICK_NS 10000000u

bool pace_wants_connections(const struct supervisor *supervisor)
{
    return supervisor->pace.mood != PACE_ACTIVE ||
           own_count_allowed(&supervisor->dispatch) == 0;
}

void pace_begin(struct supervisor *supervisor)
{
    struct pace *pace = &supervisor->pace;

    pace->mood = PACE_ACTIVE;
    pace->since_ns = supervisor->loop.now_ns;
    pace->tick_ns = pace->since_ns + TICK_NS;
}

bool pace_leave_connection(struct supervisor *supervisor)
{
    if (supervisor->pace.mood == PACE_LOADED ||
        own_count_allowed(&supervisor->dispatch) == 0)
        return false;
    if (supervisor->pace.mood == PACE_QUIET)
        pace_begin(supervisor);
    return true;
}

/* Whether the kernel has connections. */
static bool is_awaited(const struct supervisor *supervisor)
{
    struct pollfd file = {.fd = supervisor->listener.fd, .events = POLLIN};

    return poll(&file, 1, 0) > 0 && file.revents & POLLIN;
}

/* All that the kernel may have would be served within the time limit. */
static bool is_fast(const struct supervisor *supervisor, unsigned over)
{
    uint64_t elapsed_ns =
        supervisor->loop.now_ns - supervisor->pace.since_ns + 1;

    return supervisor->options->timeout_ns / elapsed_ns * over >=
           LISTEN_BACKLOG + 1;
}

/* Returns whether there is still nothing to look at. */
static bool doze(struct supervisor *supervisor)
{
    own_doze(&supervisor->dispatch);
    return own_look_all(&supervisor->dispatch) == 0 &&
           own_count_busy(&supervisor->dispatch) == 0;
}

static void tick(struct supervisor *supervisor)
{
    struct pace *pace = &supervisor->pace;
    struct dispatch *dispatch = &supervisor->dispatch;
    unsigned over = own_look_all(dispatch);
    bool awaited = is_awaited(supervisor);

    if (awaited && !is_fast(supervisor, over))
        pace->mood = PACE_LOADED;
    else if (!awaited && list_is_empty(&dispatch->queue))
        pace->mood = over == 0 && doze(supervisor) ? PACE_QUIET : PACE_ACTIVE;
    pace->since_ns = supervisor->loop.now_ns;
    pace->tick_ns = pace->since_ns + TICK_NS;
    dispatch_pump(dispatch);
}

void pace_turn(struct supervisor *supervisor)
{
    struct pace *pace = &supervisor->pace;

    if (supervisor->dispatch.awake && pace->mood == PACE_QUIET)
        pace_begin(supervisor);
    supervisor->dispatch.awake = false;
    if (pace->mood != PACE_QUIET && pace->tick_ns <= supervisor->loop.now_ns)
        tick(supervisor);
}

uint64_t pace_deadline(const struct supervisor *supervisor)
{
    return supervisor->pace.mood == PACE_QUIET ? LOOP_NEVER
                                               : supervisor->pace.tick_ns;
}
