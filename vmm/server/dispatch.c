/* SPDX-License-Identifier: MIT */
/* The queue, and handing connections over, also in advance. */
#include "vmm/server/dispatch.h"

#include <errno.h>
#include <stdlib.h>

#define PAUSE_NS 10000000u

int dispatch_init(struct dispatch *dispatch, unsigned max)
{
    dispatch->workers = calloc(max, sizeof(struct worker));
    if (!dispatch->workers)
        return -ENOMEM;
    dispatch->max = max;
    for (unsigned i = 0; i < max; i++) {
        list_init(&dispatch->workers[i].place);
        list_init(&dispatch->workers[i].order);
    }
    list_init(&dispatch->queue);
    list_init(&dispatch->idle);
    list_init(&dispatch->room);
    list_init(&dispatch->ahead);
    list_init(&dispatch->starting);
    list_init(&dispatch->order);
    return 0;
}

void dispatch_fini(struct dispatch *dispatch)
{
    free(dispatch->workers);
}

/* ---- Where workers are -------------------------------------------------- */

void dispatch_place(struct worker *worker)
{
    struct dispatch *dispatch = worker->dispatch;

    list_remove(&worker->place);
    if (worker->state == WORKER_IDLE)
        list_prepend(&dispatch->idle, &worker->place);
    else if (worker->state != WORKER_BUSY || !worker->reusable)
        return;
    else if (worker->next)
        list_append(&dispatch->ahead, &worker->place);
    else if (worker->strays < DISPATCH_STRAYS_MAX)
        list_append(&dispatch->room, &worker->place);
}

void dispatch_begin(struct worker *worker)
{
    struct dispatch *dispatch = worker->dispatch;
    uint64_t now_ns = dispatch->loop->now_ns;

    list_remove(&worker->order);
    if (worker->current)
        worker->current->given_ns = now_ns;
    if (worker->state != WORKER_RETIRING)
        worker->state =
            worker->current || worker->own.busy ? WORKER_BUSY : WORKER_IDLE;
    if (worker->state != WORKER_IDLE) {
        worker->deadline_ns = now_ns + dispatch->timeout_ns + DISPATCH_GRACE_NS;
        list_append(&dispatch->order, &worker->order);
    }
    dispatch_place(worker);
}

/* ---- Handing over ------------------------------------------------------- */

/* The host, and not the worker, is to blame. */
static bool is_shortage(int error)
{
    return error == -ENOMEM || error == -ENOBUFS || error == -ETOOMANYREFS;
}

/* Returns whether the worker has it now; else it is where it was. */
static bool hand_over(struct worker *worker, struct client *client)
{
    struct dispatch *dispatch = worker->dispatch;
    const struct worker_job job = {client->id, dispatch->timeout_ns};
    int error = worker_hand_over(&worker->link, &job, client->fd);

    if (is_shortage(error)) {
        dispatch->paused_until_ns = dispatch->loop->now_ns + PAUSE_NS;
        return false;
    }
    if (error) {
        dispatch_condemn(worker);
        return false;
    }
    list_remove(&client->link);
    client_set_state(client, CLIENT_SERVED);
    client->strays = worker->strays;
    client->handed_ns = dispatch->loop->now_ns;
    if (worker->current || worker->own.busy) {
        worker->next = client;
        dispatch_place(worker);
    } else {
        worker->current = client;
        dispatch->serving++;
        dispatch_begin(worker);
    }
    return true;
}

static struct worker *pick(struct dispatch *dispatch)
{
    if (!list_is_empty(&dispatch->idle) &&
        dispatch->serving < dispatch->serving_max)
        return LIST_FIRST(&dispatch->idle, struct worker, place);
    return LIST_FIRST(&dispatch->room, struct worker, place);
}

/* Takes back what a worker has not begun with. */
static struct client *take_back(struct worker *worker)
{
    struct client *client = worker->next;

    if (!worker_take_back(&worker->link, client->id))
        return NULL;
    worker->next = NULL;
    worker->strays++;
    client->moved = true;
    dispatch_place(worker);
    return client;
}

/* Of those that wait at a busy worker, the one that waits longest. */
static struct client *take_back_any(struct dispatch *dispatch)
{
    struct link *at = dispatch->ahead.next;

    while (at != &dispatch->ahead) {
        struct worker *worker = LIST_OWNER(at, struct worker, place);
        struct client *client;

        at = at->next;
        client = take_back(worker);
        if (client)
            return client;
    }
    return NULL;
}

void dispatch_requeue(struct dispatch *dispatch, struct client *client)
{
    client->given_ns = 0;
    client_set_state(client, CLIENT_QUEUED);
    list_prepend(&dispatch->queue, &client->link);
}

static bool is_paused(const struct dispatch *dispatch)
{
    return dispatch->paused_until_ns > dispatch->loop->now_ns;
}

/* Some may have accepted something themselves. */
static void look_at_idle(struct dispatch *dispatch)
{
    struct link *at = dispatch->idle.next;

    while (at != &dispatch->idle) {
        struct worker *worker = LIST_OWNER(at, struct worker, place);

        at = at->next;
        (void)own_look(worker);
    }
}

/* A worker that did not take one is none to pick again. */
void dispatch_pump(struct dispatch *dispatch)
{
    struct client *client;
    struct worker *worker;

    if (is_paused(dispatch))
        return;
    if (!list_is_empty(&dispatch->queue))
        look_at_idle(dispatch);
    while ((client = LIST_FIRST(&dispatch->queue, struct client, link)) &&
           (worker = pick(dispatch)))
        if (!hand_over(worker, client) && is_paused(dispatch))
            return;
    while (!client && !list_is_empty(&dispatch->idle) &&
           dispatch->serving < dispatch->serving_max &&
           (client = take_back_any(dispatch))) {
        dispatch_requeue(dispatch, client);
        worker = LIST_FIRST(&dispatch->idle, struct worker, place);
        if (!hand_over(worker, client)) {
            if (!is_paused(dispatch))
                dispatch_pump(dispatch); /* there is one worker less */
            return;
        }
        client = NULL;
    }
}

void dispatch_queue(void *context, struct client *client)
{
    struct dispatch *dispatch = context;

    list_append(&dispatch->queue, &client->link);
    dispatch_pump(dispatch);
}

/* ---- Time --------------------------------------------------------------- */

static void end_overdue(struct client *client)
{
    struct connection_record record = {.end = CONNECTION_OVERDUE};

    client_end(client, &record);
}

static void expire_clients(struct dispatch *dispatch)
{
    uint64_t now_ns = dispatch->loop->now_ns;
    struct client *client;
    struct worker *worker;

    while ((client = LIST_FIRST(&dispatch->queue, struct client, link)) &&
           client->deadline_ns <= now_ns)
        end_overdue(client);
    while ((worker = LIST_FIRST(&dispatch->ahead, struct worker, place)) &&
           worker->next->deadline_ns <= now_ns) {
        /* One that was begun with has its worker's deadline. */
        worker->next->deadline_ns = LOOP_NEVER;
        client = take_back(worker);
        if (client)
            end_overdue(client);
        else
            dispatch_place(worker);
    }
}

static void expire_workers(struct link *list, uint64_t now_ns)
{
    struct worker *worker;

    while ((worker = LIST_FIRST(list, struct worker, order)) &&
           worker->deadline_ns <= now_ns) {
        (void)own_look(worker); /* it may be beyond that one */
        if (worker->state == WORKER_IDLE || worker->deadline_ns > now_ns)
            continue;
        worker->too_slow = true;
        dispatch_condemn(worker);
    }
}

void dispatch_expire(struct dispatch *dispatch)
{
    uint64_t now_ns = dispatch->loop->now_ns;

    expire_clients(dispatch);
    expire_workers(&dispatch->order, now_ns);
    expire_workers(&dispatch->starting, now_ns);
    if (dispatch->paused_until_ns && dispatch->paused_until_ns <= now_ns) {
        dispatch->paused_until_ns = 0;
        dispatch_pump(dispatch);
    }
}

uint64_t dispatch_deadline(const struct dispatch *dispatch)
{
    const struct client *client =
        LIST_FIRST(&dispatch->queue, struct client, link);
    const struct worker *ahead =
        LIST_FIRST(&dispatch->ahead, struct worker, place);
    const struct worker *order =
        LIST_FIRST(&dispatch->order, struct worker, order);
    const struct worker *starting =
        LIST_FIRST(&dispatch->starting, struct worker, order);
    uint64_t first =
        dispatch->paused_until_ns ? dispatch->paused_until_ns : LOOP_NEVER;

    if (client)
        first = loop_earlier(first, client->deadline_ns);
    if (ahead)
        first = loop_earlier(first, ahead->next->deadline_ns);
    if (order)
        first = loop_earlier(first, order->deadline_ns);
    return starting ? loop_earlier(first, starting->deadline_ns) : first;
}
