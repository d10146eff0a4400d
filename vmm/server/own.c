/* SPDX-License-Identifier: MIT */
/* What workers accept themselves: reports, and what is left of the rest. */
#include "vmm/server/own.h"

#include <string.h>
#include <unistd.h>

#include "vmm/server/dispatch.h"
#include "vmm/server/keeper.h"

/* Reports are read sooner than that. */
#define OWN_AGE_MAX_NS 1000000000u

static struct worker_owns *page_of(const struct worker *worker)
{
    return &worker->link.page->own;
}

static bool is_there(const struct worker *worker)
{
    return worker->state != WORKER_ABSENT && worker->link.keeper >= 0;
}

/* ---- Who may accept ----------------------------------------------------- */

void own_forbid(struct worker *worker)
{
    worker->own.allowed = false;
    if (is_there(worker))
        page_of(worker)->accepts = 0;
}

/* Its first one is told of at once. */
static bool allow_one(struct worker *worker)
{
    page_of(worker)->dozes = 1;
    return worker_let_accept(&worker->link) == 0;
}

void own_allow(struct dispatch *dispatch, unsigned generation, unsigned count)
{
    for (unsigned i = 0; i < dispatch->max; i++) {
        struct worker *worker = &dispatch->workers[i];
        bool fits =
            is_there(worker) && worker->generation == generation && count > 0 &&
            (worker->state == WORKER_IDLE || worker->state == WORKER_BUSY);

        count -= fits;
        if (worker->own.allowed && !fits)
            own_forbid(worker);
        else if (!worker->own.allowed && fits)
            worker->own.allowed = allow_one(worker);
    }
}

unsigned own_count_allowed(const struct dispatch *dispatch)
{
    unsigned count = 0;

    for (unsigned i = 0; i < dispatch->max; i++)
        count +=
            is_there(&dispatch->workers[i]) && dispatch->workers[i].own.allowed;
    return count;
}

unsigned own_count_busy(const struct dispatch *dispatch)
{
    unsigned count = 0;

    for (unsigned i = 0; i < dispatch->max; i++) {
        const struct worker *worker = &dispatch->workers[i];

        count += is_there(worker) &&
                 (worker->own.busy ||
                  (!worker->own.allowed && page_of(worker)->trying));
    }
    return count;
}

void own_doze(struct dispatch *dispatch)
{
    for (unsigned i = 0; i < dispatch->max; i++)
        if (is_there(&dispatch->workers[i]))
            page_of(&dispatch->workers[i])->dozes = 1;
}

/* ---- Reports ------------------------------------------------------------ */

/* A copy, which does not change while it is looked at. */
static struct worker_own read_own(const struct worker *worker, uint64_t number)
{
    struct worker_own own = page_of(worker)->all[(number - 1) % WORKER_OWN_MAX];

    if (own.look_bytes > sizeof(own.look))
        own.look_bytes = sizeof(own.look);
    return own;
}

/* What is not an address is none. */
static socklen_t bytes_of_peer(const struct worker_own *own)
{
    if (own->peer.any.sa_family == AF_INET)
        return sizeof(own->peer.in);
    if (own->peer.any.sa_family == AF_INET6)
        return sizeof(own->peer.in6);
    return own->peer.any.sa_family == AF_UNIX ? sizeof(own->peer.any.sa_family)
                                              : 0;
}

static bool is_served_well(const struct worker_own *own)
{
    return own->report.event == WORKER_DONE &&
           own->report.end == WORKER_SERVED && own->report.out_bytes > 0 &&
           own->report.spent <= 1 && own->report.explained <= 1;
}

static void add_up(struct worker *worker, const struct worker_own *own)
{
    worker->in_bytes += own->report.in_bytes;
    worker->out_bytes += own->report.out_bytes;
    worker->served++;
    if (own->report.explained)
        dispatch_hush(worker->dispatch);
}

static void note_served(struct worker *worker, const struct worker_own *own)
{
    struct connection_record record =
        dispatch_read_report(worker, &own->report, DISPATCH_COUNT_MAX);
    uint64_t now_ns = worker->dispatch->loop->now_ns, age_ns = 0;

    record.peer = &own->peer.any;
    record.peer_bytes = bytes_of_peer(own);
    record.total_ns = dispatch_at_most(own->total_ns, DISPATCH_COUNT_MAX);
    if (own->end_ns < now_ns)
        age_ns = dispatch_at_most(now_ns - own->end_ns, OWN_AGE_MAX_NS);
    metrics_vm_reset(
        worker->dispatch->metrics, record.reset_pages,
        dispatch_at_most(own->report.reset_ns, DISPATCH_COUNT_MAX));
    clients_note(worker->dispatch->clients, &record, age_ns, own->look,
                 own->look_bytes);
}

/* Takes what has been reported. Returns whether it is sound. */
static bool drain(struct worker *worker, uint64_t *begun)
{
    struct worker_owns *page = page_of(worker);
    uint64_t done = page->done;

    /* More may have begun since: then the next look sees what is over. */
    *begun = page->begun;
    if (done - worker->own.taken > WORKER_OWN_MAX ||
        *begun - done > WORKER_OWN_MAX)
        return false;
    while (worker->own.taken != done) {
        struct worker_own own = read_own(worker, worker->own.taken + 1);

        if (!own.returned && !is_served_well(&own))
            return false;
        worker->own.taken++;
        add_up(worker, &own);
        if (!own.returned)
            note_served(worker, &own);
        if (own.report.spent)
            dispatch_note_spent(worker);
    }
    page->taken = done;
    return true;
}

/* ---- Looking ------------------------------------------------------------ */

/* It has begun with another one. What it was handed meanwhile waits. */
static void note_begin(struct worker *worker, uint64_t number)
{
    struct dispatch *dispatch = worker->dispatch;
    struct client *client = worker->current;

    if (client) {
        if (worker->strays >= DISPATCH_STRAYS_MAX ||
            !worker_take_back(&worker->link, client->id))
            return; /* it is beyond that already */
        client->moved = true;
        worker->strays++;
        worker->current = NULL;
        dispatch_requeue(dispatch, client);
    } else if (!worker->own.busy) {
        dispatch->serving++;
    }
    worker->own.busy = true;
    worker->own.seen = number;
    dispatch_begin(worker);
}

static void note_over(struct worker *worker)
{
    worker->own.busy = false;
    worker->current = worker->next;
    worker->next = NULL;
    if (!worker->current)
        worker->dispatch->serving--;
    dispatch_begin(worker);
}

unsigned own_look(struct worker *worker)
{
    uint64_t before = worker->own.taken, begun;

    if (!is_there(worker) || worker->condemned ||
        worker->state == WORKER_STARTING)
        return 0;
    if (!drain(worker, &begun)) {
        worker->distrusted = true;
        dispatch_condemn(worker);
        return 0;
    }
    if (begun == worker->own.taken) {
        if (worker->own.busy)
            note_over(worker);
    } else if (begun != worker->own.seen) {
        note_begin(worker, begun);
    }
    return (unsigned)(worker->own.taken - before);
}

/* ---- Connections that come here ----------------------------------------- */

static void end_client(struct worker *worker, struct client *client,
                       uint64_t number, struct connection_record *record)
{
    struct worker_own own = read_own(worker, number);

    client_recall(client, own.look, own.look_bytes);
    client_end(client, record);
}

bool own_hear(struct worker *worker, const struct worker_report *report,
              int connection)
{
    struct dispatch *dispatch = worker->dispatch;
    struct connection_record record;
    struct client *client;

    if (!is_there(worker) || report->id <= worker->own.settled ||
        report->id > page_of(worker)->begun) {
        if (connection >= 0)
            close(connection);
        return false;
    }
    if (connection < 0) {
        worker->own.pending = *report;
        dispatch->awake = true;
        return true;
    }
    worker->own.settled = report->id;
    worker->own.pending.id = 0;
    page_of(worker)->received = report->id;
    client = clients_adopt(dispatch->clients, connection);
    if (report->event == WORKER_OWN_SILENT) {
        if (client)
            client_admit(client);
        return true;
    }
    record = dispatch_read_report(worker, report, DISPATCH_COUNT_MAX);
    metrics_vm_reset(dispatch->metrics, record.reset_pages,
                     dispatch_at_most(report->reset_ns, DISPATCH_COUNT_MAX));
    if (client)
        end_client(worker, client, report->id, &record);
    (void)own_look(worker);
    return true;
}

/* Asks the keeper for what there was no room for. */
static void try_pending(struct worker *worker)
{
    const struct worker_report report = worker->own.pending;
    int connection = -1;

    if (is_there(worker) && report.id)
        connection = keeper_fetch(worker->link.keeper);
    if (connection >= 0)
        (void)own_hear(worker, &report, connection);
}

unsigned own_look_all(struct dispatch *dispatch)
{
    unsigned over = 0;

    for (unsigned i = 0; i < dispatch->max; i++) {
        over += own_look(&dispatch->workers[i]);
        try_pending(&dispatch->workers[i]);
    }
    return over;
}

/* ---- Deaths ------------------------------------------------------------- */

/* What is not told of any more: it was served, or its keeper is gone, too. */
static void tell_of_none(struct worker *worker, uint64_t begun,
                         struct connection_record record)
{
    struct worker_own own = read_own(worker, begun);

    record.peer = &own.peer.any;
    record.peer_bytes = bytes_of_peer(&own);
    if (page_of(worker)->answered == begun)
        record.end = CONNECTION_SERVED;
    clients_note(worker->dispatch->clients, &record, 0, own.look,
                 own.look_bytes);
}

static void settle_connection(struct worker *worker, uint64_t begun,
                              int connection, struct connection_record *record)
{
    struct clients *clients = worker->dispatch->clients;
    bool is_new = begun == worker->own.taken; /* accepted, and not begun */
    bool untouched = is_new || (record->in_bytes == 0 && !worker->too_slow &&
                                record->out_bytes == 0);
    struct client *client = clients_adopt(clients, connection);

    if (!client)
        return;
    client->deaths = 1;
    if (untouched)
        client_admit(client);
    else
        end_client(worker, client, begun, record);
}

void own_settle(struct worker *worker)
{
    const struct mayfly_progress *progress = &worker->link.page->progress;
    struct connection_record record = {
        .end = worker->too_slow ? CONNECTION_TIMED_OUT : CONNECTION_LOST,
        .worker = worker->link.pid,
    };
    uint64_t begun;
    int connection;

    if (!is_there(worker))
        return;
    if (!drain(worker, &begun))
        begun = worker->own.taken;
    record.in_bytes = dispatch_at_most(progress->in_bytes - worker->in_bytes,
                                       DISPATCH_COUNT_MAX);
    record.out_bytes = dispatch_at_most(progress->out_bytes - worker->out_bytes,
                                        DISPATCH_COUNT_MAX);
    connection = keeper_fetch(worker->link.keeper);
    if (connection >= 0 &&
        (clients_have(worker->dispatch->clients, connection) ||
         begun == worker->own.settled)) {
        close(connection);
        connection = -1;
    }
    if (connection >= 0)
        settle_connection(worker, begun, connection, &record);
    else if (begun != worker->own.taken && begun != worker->own.settled)
        tell_of_none(worker, begun, record);
    if (worker->own.busy)
        worker->dispatch->serving--;
    worker->own.busy = false;
}
