/* SPDX-License-Identifier: MIT */
/* What workers say, and their ends. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/server/dispatch.h"

static void on_ready(struct watch *watch, uint32_t events);

struct worker *dispatch_add(struct dispatch *dispatch,
                            const struct worker_link *link, unsigned generation,
                            bool reusable)
{
    struct worker *worker = dispatch_find(dispatch, 0);

    if (!worker || loop_add(dispatch->loop, link->fd, EPOLLIN, &worker->watch))
        return NULL;
    *worker = (struct worker){
        .watch = {on_ready},
        .dispatch = dispatch,
        .link = *link,
        .state = WORKER_STARTING,
        .generation = generation,
        .reusable = reusable,
        .heard = true,
        .memory_fd = -1,
        .deadline_ns = dispatch->loop->now_ns + dispatch->start_timeout_ns,
    };
    link->page->quiet_until_ns = dispatch->quiet_until_ns;
    list_init(&worker->place);
    list_init(&worker->order);
    list_append(&dispatch->starting, &worker->order);
    return worker;
}

struct worker *dispatch_find(struct dispatch *dispatch, pid_t pid)
{
    for (unsigned i = 0; i < dispatch->max; i++) {
        struct worker *worker = &dispatch->workers[i];

        if ((worker->state == WORKER_ABSENT ? 0 : worker->link.pid) == pid)
            return worker;
    }
    return NULL;
}

/* ---- Ends --------------------------------------------------------------- */

static void stop_hearing(struct worker *worker)
{
    if (worker->heard)
        loop_remove(worker->dispatch->loop, worker->link.fd);
    worker->heard = false;
}

void dispatch_condemn(struct worker *worker)
{
    if (worker->condemned)
        return;
    worker->condemned = true;
    worker->state = WORKER_RETIRING;
    list_remove(&worker->place);
    list_remove(&worker->order);
    stop_hearing(worker);
    worker->dispatch->kill(worker->link.pid);
}

bool dispatch_is_expected(const struct worker *worker)
{
    return worker->spent || (worker->released && !worker->too_slow);
}

/* A job that the worker has not begun with is another's. */
static bool give_back(struct worker *worker, struct client *client)
{
    if (!client || !worker_take_back(&worker->link, client->id))
        return false;
    client->moved = true;
    dispatch_requeue(worker->dispatch, client);
    return true;
}

/* It keeps at most what it has begun with. */
static void give_back_all(struct worker *worker)
{
    if (give_back(worker, worker->next))
        worker->next = NULL;
    if (give_back(worker, worker->current)) {
        worker->current = worker->next;
        worker->next = NULL;
        if (!worker->current)
            worker->dispatch->serving--;
    }
}

/* From here on it has so long to end. */
static void let_end(struct worker *worker)
{
    struct dispatch *dispatch = worker->dispatch;

    worker->state = WORKER_RETIRING;
    list_remove(&worker->place);
    give_back_all(worker);
    list_remove(&worker->order);
    worker->deadline_ns =
        dispatch->loop->now_ns + dispatch->timeout_ns + DISPATCH_GRACE_NS;
    list_append(&dispatch->order, &worker->order);
}

void dispatch_retire(struct worker *worker)
{
    if (worker->released || worker->condemned)
        return;
    worker->released = true;
    own_forbid(worker);
    if (worker->spent)
        return;
    shutdown(worker->link.fd, SHUT_WR);
    let_end(worker);
    dispatch_pump(worker->dispatch);
}

/* ---- Reports ------------------------------------------------------------ */

static enum connection_end end_of(uint32_t end)
{
    static const enum connection_end ends[] = {
        [WORKER_SERVED] = CONNECTION_SERVED,
        [WORKER_REFUSED] = CONNECTION_REFUSED,
        [WORKER_CRASHED] = CONNECTION_CRASHED,
        [WORKER_EXITED] = CONNECTION_EXITED,
        [WORKER_TIMED_OUT] = CONNECTION_TIMED_OUT,
        [WORKER_FAILED] = CONNECTION_FAILED,
    };

    return ends[end];
}

struct connection_record
dispatch_read_report(const struct worker *worker,
                     const struct worker_report *report, uint64_t most_ns)
{
    return (struct connection_record){
        .end = end_of(report->end),
        .worker = worker->link.pid,
        .in_bytes = dispatch_at_most(report->in_bytes, DISPATCH_COUNT_MAX),
        .out_bytes = dispatch_at_most(report->out_bytes, DISPATCH_COUNT_MAX),
        .vm_ns = dispatch_at_most(report->run_ns, most_ns),
        .reset_pages = dispatch_at_most(report->pages, DISPATCH_COUNT_MAX),
        .exits = dispatch_at_most(report->exits, DISPATCH_COUNT_MAX),
    };
}

void dispatch_hush(struct dispatch *dispatch)
{
    uint64_t now_ns = dispatch->loop->now_ns;

    if (now_ns < dispatch->quiet_until_ns)
        return;
    dispatch->quiet_until_ns = now_ns + WORKER_QUIET_NS;
    for (unsigned i = 0; i < dispatch->max; i++)
        if (dispatch->workers[i].state != WORKER_ABSENT)
            dispatch->workers[i].link.page->quiet_until_ns =
                dispatch->quiet_until_ns;
}

void dispatch_note_spent(struct worker *worker)
{
    worker->spent = true;
    if (!worker->condemned)
        worker->state = WORKER_RETIRING;
    list_remove(&worker->place);
}

/* Makes the next one the one that it has. */
static void go_on(struct worker *worker, const struct worker_report *report)
{
    unsigned passed = worker->current->strays;

    worker->in_bytes += report->in_bytes;
    worker->out_bytes += report->out_bytes;
    worker->served++;
    worker->strays -= passed;
    worker->current = worker->next;
    worker->next = NULL;
    if (worker->current)
        worker->current->strays -= passed;
    else
        worker->dispatch->serving--;
    if (report->spent)
        dispatch_note_spent(worker);
    if (worker->state == WORKER_RETIRING)
        give_back_all(worker);
    if (!worker->condemned)
        dispatch_begin(worker);
}

/* The client of that report. The worker has been busy with one of its own. */
static struct client *reported(struct worker *worker,
                               const struct worker_report *report)
{
    if (!worker->current && worker->next && worker->next->id == report->id) {
        worker->own.busy = false;
        worker->current = worker->next;
        worker->next = NULL;
    }
    if (worker->current && worker->current->id == report->id)
        return worker->current;
    return NULL;
}

/* Returns whether an honest worker may have said that. */
static bool obey(struct worker *worker, const struct worker_report *report,
                 int connection)
{
    struct dispatch *dispatch = worker->dispatch;
    struct connection_record record;
    struct client *client;
    uint64_t reset_ns;

    if (report->event == WORKER_OWN_DONE || report->event == WORKER_OWN_SILENT)
        return own_hear(worker, report, connection);
    if (report->event == WORKER_AWAKE) {
        (void)own_look(worker);
        dispatch->awake = true;
        return true;
    }
    if (report->event == WORKER_READY) {
        if (worker->state == WORKER_RETIRING && worker->released)
            return true; /* it was not needed any more */
        if (worker->state != WORKER_STARTING)
            return false;
        metrics_count(dispatch->metrics, METRICS_WARM_START);
        dispatch->stirred = true;
        dispatch_begin(worker);
        dispatch_pump(dispatch);
        return true;
    }
    client = reported(worker, report);
    if (!client)
        return false;
    record = dispatch_read_report(worker, report,
                                  dispatch->loop->now_ns - client->handed_ns);
    reset_ns = dispatch_at_most(report->reset_ns, DISPATCH_COUNT_MAX);
    if (report->explained)
        dispatch_hush(dispatch);
    go_on(worker, report);
    /* Who can work shall: all else comes after that. */
    dispatch_pump(dispatch);
    metrics_vm_reset(dispatch->metrics, record.reset_pages, reset_ns);
    client_end(client, &record);
    return true;
}

static void on_ready(struct watch *watch, uint32_t events)
{
    struct worker *worker = LIST_OWNER(watch, struct worker, watch);
    struct worker_report report;
    int result, connection;

    (void)events;
    if (!worker->heard)
        return;
    result = worker_hear(&worker->link, &report, &connection);
    if (result == -EAGAIN)
        return;
    worker->distrusted =
        result == -EPROTO || (!result && !obey(worker, &report, connection));
    if (result || worker->distrusted)
        dispatch_condemn(worker);
}

/* ---- Deaths ------------------------------------------------------------- */

/* What became of a connection whose worker is gone. */
static void settle(struct worker *worker, struct client *client)
{
    struct worker_page *page = worker->link.page;
    uint64_t now_ns = worker->dispatch->loop->now_ns;
    struct connection_record record = {
        .end = worker->too_slow ? CONNECTION_TIMED_OUT : CONNECTION_LOST,
        .worker = worker->link.pid,
        .in_bytes = dispatch_at_most(page->progress.in_bytes - worker->in_bytes,
                                     DISPATCH_COUNT_MAX),
        .out_bytes = dispatch_at_most(
            page->progress.out_bytes - worker->out_bytes, DISPATCH_COUNT_MAX),
        .vm_ns = client->given_ns ? now_ns - client->given_ns : 0,
    };
    bool untouched = worker_take_back(&worker->link, client->id);

    if (!untouched && !worker->too_slow)
        untouched = page->current == client->id && record.in_bytes == 0 &&
                    record.out_bytes == 0 &&
                    ++client->deaths < DISPATCH_DEATHS_MAX;
    if (untouched)
        dispatch_requeue(worker->dispatch, client);
    else
        client_end(client, &record);
}

void dispatch_listen(struct worker *worker)
{
    struct worker_report report;
    int connection;

    list_remove(&worker->place);
    worker->state = WORKER_RETIRING;
    while (!worker->distrusted &&
           worker_hear(&worker->link, &report, &connection) == 0)
        worker->distrusted = !obey(worker, &report, connection);
    (void)own_look(worker);
    stop_hearing(worker);
}

void dispatch_bury(struct worker *worker)
{
    struct dispatch *dispatch = worker->dispatch;

    dispatch_listen(worker);
    list_remove(&worker->place);
    list_remove(&worker->order);
    own_settle(worker);
    if (worker->next)
        settle(worker, worker->next);
    if (worker->current) {
        dispatch->serving--;
        settle(worker, worker->current);
    }
    worker_release(&worker->link);
    worker->state = WORKER_ABSENT;
    dispatch->stirred = true;
    dispatch_pump(dispatch);
}
