/* SPDX-License-Identifier: MIT */
/* The supervisor's mood: when it looks at its workers, and when it accepts. */
#include "vmm/server/pace.h"

#include <poll.h>

#include "vmm/server/dispatch.h"
#include "vmm/server/listen.h"

static uint64_t now_ns(const struct pace *pace)
{
    return pace->dispatch->loop->now_ns;
}

bool pace_wants_connections(const struct pace *pace)
{
    return pace->mood != PACE_ACTIVE || own_count_allowed(pace->dispatch) == 0;
}

static void plan_tick(struct pace *pace)
{
    pace->since_ns = now_ns(pace);
    pace->tick_ns = pace->since_ns + PACE_TICK_NS;
}

void pace_begin(struct pace *pace)
{
    pace->mood = PACE_ACTIVE;
    plan_tick(pace);
}

bool pace_leave_connection(struct pace *pace)
{
    if (pace->mood == PACE_LOADED || own_count_allowed(pace->dispatch) == 0)
        return false;
    if (pace->mood == PACE_QUIET)
        pace_begin(pace);
    return true;
}

/* Whether the kernel has connections. */
static bool is_awaited(const struct pace *pace)
{
    struct pollfd file = {.fd = pace->listener->fd, .events = POLLIN};

    return poll(&file, 1, 0) > 0 && file.revents & POLLIN;
}

/* All that the kernel may have would be served within the time limit. */
static bool is_fast(const struct pace *pace, unsigned over)
{
    uint64_t elapsed_ns = now_ns(pace) - pace->since_ns + 1;

    return pace->timeout_ns / elapsed_ns * over >= LISTEN_BACKLOG + 1;
}

/* Returns whether there is still nothing to look at. */
static bool doze(const struct pace *pace)
{
    own_doze(pace->dispatch);
    return own_look_all(pace->dispatch) == 0 &&
           own_count_busy(pace->dispatch) == 0;
}

static void tick(struct pace *pace)
{
    unsigned over = own_look_all(pace->dispatch);
    bool awaited = is_awaited(pace);

    if (awaited && !is_fast(pace, over))
        pace->mood = PACE_LOADED;
    else if (!awaited && list_is_empty(&pace->dispatch->queue))
        pace->mood = over == 0 && doze(pace) ? PACE_QUIET : PACE_ACTIVE;
    plan_tick(pace);
    dispatch_pump(pace->dispatch);
}

void pace_turn(struct pace *pace)
{
    if (pace->dispatch->awake && pace->mood == PACE_QUIET)
        pace_begin(pace);
    pace->dispatch->awake = false;
    if (pace->mood != PACE_QUIET && pace->tick_ns <= now_ns(pace))
        tick(pace);
}

uint64_t pace_deadline(const struct pace *pace)
{
    return pace->mood == PACE_QUIET ? LOOP_NEVER : pace->tick_ns;
}
