/* SPDX-License-Identifier: MIT */
/* Fuzzes the supervisor: what clients say first, and what workers report. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fuzz/script.h"
#include "vmm/cli.h"
#include "vmm/server/child.c"
#include "vmm/server/clients.c"
#include "vmm/server/dispatch.c"
#include "vmm/server/http.c"
#include "vmm/server/loop.c"
#include "vmm/server/own.c"
#include "vmm/server/worker_link.c"
#define on_ready on_worker_ready
#include "vmm/server/workers.c"
#undef on_ready

#define CLIENTS 8
#define WORKERS 3

static void must(bool condition)
{
    if (!condition)
        abort();
}

/* ---- What the supervisor tells of itself -------------------------------- */

static unsigned open_count; /* accepted, and not told of as over */

void metrics_connection_accepted(struct metrics *metrics)
{
    (void)metrics;
    open_count++;
}

void metrics_connection_ended(struct metrics *metrics,
                              const struct connection_record *record)
{
    (void)metrics;
    must(open_count > 0 && record->end < CONNECTION_END_COUNT);
    must(record->request_bytes <= HTTP_LOOK_BYTES);
    must(record->status == 0 || record->out_bytes == 0);
    open_count--;
}

void metrics_vm_reset(struct metrics *metrics, uint64_t pages, uint64_t ns)
{
    (void)metrics;
    must(pages <= DISPATCH_COUNT_MAX && ns <= DISPATCH_COUNT_MAX);
}

void metrics_count(struct metrics *metrics, enum metrics_event event)
{
    (void)metrics;
    (void)event;
}

void access_log_add(struct access_log *log,
                    const struct connection_record *record, uint64_t now_ns)
{
    (void)log;
    (void)record;
    (void)now_ns;
}

_Noreturn void cli_end_at_once(int status)
{
    _exit(status);
}

/* ---- Clients and workers ------------------------------------------------ */

static struct loop loop;
static struct metrics metrics;
static struct access_log no_log;
static struct clients clients;
static struct dispatch dispatch;
static int listener;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_bytes;
static int peers[CLIENTS]; /* clients' ends; -1: none */

static struct fake {
    bool exists;
    int fd;
    struct worker_page *page;
    struct worker *worker;
    bool dead;
} fakes[WORKERS];

/* What a keeper has: whatever the script says. */
static int kept = -1;

int keeper_fetch(int socket)
{
    int fd = kept;

    (void)socket;
    kept = -1;
    return fd;
}

static void kill_fake(pid_t pid)
{
    must(pid > 0 && pid <= WORKERS && fakes[pid - 1].exists);
    must(!fakes[pid - 1].dead);
    fakes[pid - 1].dead = true;
}

static void start_fake(unsigned index, bool reusable, bool accepts)
{
    struct fake *fake = &fakes[index];
    struct worker_link link = {.pid = (pid_t)index + 1, .keeper = -1};
    int ends[2];

    must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
    link.fd = ends[0];
    if (accepts)
        link.keeper = dup(ends[0]);
    link.page = mmap(NULL, sizeof(*link.page), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *fake = (struct fake){.exists = true, .fd = ends[1], .page = link.page};
    fake->worker = dispatch_add(&dispatch, &link, 1, reusable);
    must(fake->worker);
}

static void bury_fake(struct fake *fake)
{
    close(fake->fd);
    dispatch_bury(fake->worker);
    must(fake->worker->state == WORKER_ABSENT);
    fake->exists = false;
}

/* A job, and what the worker does to its page meanwhile. */
static void take_job(struct fake *fake, struct script *script)
{
    struct worker_job job;
    unsigned how = script_below(script, 4);

    if (recv(fake->fd, &job, sizeof(job), MSG_DONTWAIT) != sizeof(job))
        return;
    if (how < 3)
        (void)worker_claim(fake->page, job.id);
    if (how == 2)
        fake->page->progress.in_bytes += script_number(script, 2);
    if (how == 3)
        fake->page->next[script_below(script, 2)] = script_number(script, 2);
}

static void report(struct fake *fake, struct script *script)
{
    unsigned how = script_below(script, 8);
    struct worker_report report = {
        .event = how ? WORKER_DONE : WORKER_READY,
        .end = how > 5 ? (uint32_t)script_number(script, 1)
                       : script_below(script, WORKER_ENDS),
        .id = how > 6               ? script_number(script, 8)
              : how == 0            ? 0
              : fake->page->current ? fake->page->current
                                    : 1,
        .out_bytes = how > 3 ? script_number(script, 8) : 0,
        .run_ns = script_number(script, 4),
        .spent = how == 4,
        .explained = how == 3,
    };
    size_t bytes = how == 5 ? script_below(script, 100) : sizeof(report);
    char packet[100] = "";

    memcpy(packet, &report, sizeof(report));
    (void)send(fake->fd, packet, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A connection, or what is none. */
static int make_connection(struct script *script)
{
    int ends[2];

    must(socketpair(AF_UNIX, script_below(script, 8) ? SOCK_STREAM : SOCK_DGRAM,
                    0, ends) == 0);
    if (script_below(script, 2))
        (void)send(ends[1], "GET / HTTP/1.1\r\n\r\n", 18, MSG_DONTWAIT);
    close(ends[1]);
    return ends[0];
}

/* With a connection, mostly. */
static void send_own(struct fake *fake, struct script *script,
                     struct worker_report *report)
{
    int fd = make_connection(script);

    if (script_below(script, 8) == 0)
        report->id = script_number(script, 8);
    (void)child_send(fake->fd, report, sizeof(*report), &fd,
                     script_below(script, 4) != 0);
    close(fd);
}

/* What a worker that accepts itself writes into its page, and says. */
static void own(struct fake *fake, struct script *script)
{
    struct worker_owns *page = &fake->page->own;
    struct worker_own *mine =
        &page->all[script_below(script, 2) ? page->done % WORKER_OWN_MAX
                                           : script_below(script, 4)];
    struct worker_report report = {
        .event = WORKER_DONE + script_below(script, 4),
        .end = script_below(script, WORKER_ENDS),
        .id = page->begun,
        .out_bytes = script_number(script, 1),
    };

    switch (script_below(script, 6)) {
    case 0:
        page->begun++;
        break;
    case 1:
        mine->report = report;
        mine->report.event = WORKER_DONE;
        mine->returned = script_below(script, 2);
        mine->look_bytes = (uint32_t)script_number(script, 2);
        mine->peer.any.sa_family = (sa_family_t)script_below(script, 12);
        break;
    case 2:
        page->done =
            script_below(script, 8) ? page->begun : script_number(script, 2);
        break;
    case 3:
        page->answered = page->begun;
        break;
    case 4:
        own_look_all(&dispatch);
        dispatch_pump(&dispatch);
        break;
    case 5:
        send_own(fake, script, &report);
        break;
    }
}

static void connect_peer(struct script *script)
{
    char text[300];
    size_t count = script_number(script, 1);
    int fd;

    for (unsigned i = 0; i < CLIENTS; i++) {
        if (peers[i] >= 0)
            continue;
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        must(connect(fd, (struct sockaddr *)&address, address_bytes) == 0);
        if (count > script->left)
            count = script->left;
        if (count > 0)
            memcpy(text, script->next, count);
        script->next += count;
        script->left -= count;
        (void)send(fd, text, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        peers[i] = fd;
        break;
    }
    if (clients_have_room(&clients))
        (void)clients_accept(&clients, listener);
}

static void close_peer(unsigned index)
{
    if (peers[index] >= 0)
        close(peers[index]);
    peers[index] = -1;
}

/* It dies; its keeper has something, or nothing. */
static void leave(struct fake *fake, struct script *script)
{
    kept = script_below(script, 2) ? make_connection(script) : -1;
    bury_fake(fake);
    if (kept >= 0)
        close(kept);
    kept = -1;
}

/* ---- The script --------------------------------------------------------- */

static void pass_time(uint64_t ns)
{
    loop.now_ns += ns;
    clients_expire(&clients);
    dispatch_expire(&dispatch);
}

static void step(struct script *script)
{
    struct fake *fake = &fakes[script_below(script, WORKERS)];

    switch (script_below(script, 12)) {
    case 0:
        if (!fake->exists)
            start_fake((unsigned)(fake - fakes), script_below(script, 2),
                       script_below(script, 2));
        break;
    case 1:
    case 2:
        connect_peer(script);
        break;
    case 3:
        if (fake->exists)
            take_job(fake, script);
        break;
    case 4:
    case 5:
        if (fake->exists)
            report(fake, script);
        break;
    case 6:
        if (fake->exists && script_below(script, 2))
            dispatch_retire(fake->worker);
        else if (fake->exists)
            leave(fake, script);
        break;
    case 7:
        close_peer(script_below(script, CLIENTS));
        break;
    case 8:
        pass_time(script_number(script, 1) * 100000000u);
        break;
    case 9:
    case 10:
        if (fake->exists && !fake->dead)
            own(fake, script);
        break;
    case 11:
        own_allow(&dispatch, script_below(script, 2), script_below(script, 3));
        break;
    }
    loop_turn(&loop, 0);
    pass_time(0);
}

/* What is handed out, and what there is, agree. */
static void check(void)
{
    unsigned served = 0, serving = 0, busy = 0;

    for (unsigned i = 0; i < dispatch.max; i++) {
        const struct worker *worker = &dispatch.workers[i];

        if (worker->state == WORKER_ABSENT)
            continue;
        must(!worker->next || worker->current || worker->own.busy);
        must(!worker->own.busy || !worker->current);
        must(!worker->current || worker->current->state == CLIENT_SERVED);
        must(!worker->next || worker->next->state == CLIENT_SERVED);
        must(worker->strays <= DISPATCH_STRAYS_MAX);
        served += !!worker->current + !!worker->next;
        serving += worker->current || worker->own.busy;
        busy += worker->own.busy;
    }
    must(served == clients.counts[CLIENT_SERVED]);
    must(serving == dispatch.serving && serving <= dispatch.serving_max + busy);
    must(open_count ==
         clients_count(&clients) - clients.counts[CLIENT_CLOSING]);
}

static void begin(void)
{
    address_bytes = sizeof(sa_family_t);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    must(bind(listener, (struct sockaddr *)&address, address_bytes) == 0);
    address_bytes = sizeof(address);
    must(getsockname(listener, (struct sockaddr *)&address, &address_bytes) ==
         0);
    must(listen(listener, CLIENTS) == 0);
    must(loop_init(&loop) == 0);
    clients = (struct clients){
        .loop = &loop,
        .metrics = &metrics,
        .log = &no_log,
        .timeout_ns = 1000000000u,
        .queue = dispatch_queue,
        .context = &dispatch,
    };
    dispatch = (struct dispatch){
        .loop = &loop,
        .clients = &clients,
        .metrics = &metrics,
        .timeout_ns = 1000000000u,
        .start_timeout_ns = 1000000000u,
        .serving_max = 2,
        .kill = kill_fake,
    };
    must(clients_init(&clients, CLIENTS, WORKERS) == 0);
    must(dispatch_init(&dispatch, WORKERS) == 0);
    memset(peers, -1, sizeof(peers));
}

static void end(void)
{
    for (unsigned i = 0; i < WORKERS; i++)
        if (fakes[i].exists)
            dispatch_condemn(fakes[i].worker);
    for (unsigned i = 0; i < WORKERS; i++)
        if (fakes[i].exists)
            bury_fake(&fakes[i]);
    clients_drop(&clients);
    must(clients_count(&clients) == 0 && open_count == 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        close_peer(i);
    clients_fini(&clients);
    dispatch_fini(&dispatch);
    loop_fini(&loop);
    close(listener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct script script = {data, bytes};

    (void)http_look((const char *)data, bytes);
    begin();
    for (unsigned i = 0; i < 200 && script.left > 0; i++) {
        step(&script);
        check();
    }
    end();
    return 0;
}
