/* SPDX-License-Identifier: MIT */
/* A worker's process: serves connections with its VM. */
#include "vmm/server/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/cli_guest.h"
#include "vmm/server/acceptor.h"
#include "vmm/server/child.h"
#include "vmm/server/guest.h"
#include "vmm/server/keeper.h"

/* What a guest has to end by itself that has closed without an answer. */
#define EXIT_NS 10000000u

/*
 * A reset copies all pages back that were ever written to. A VM that had to
 * serve one large request would be slow, and large, for good: it is given up
 * after so many resets that copied so much.
 */
#define LARGE_PAGES  4096u /* 16 MiB */
#define LARGE_RESETS 64u

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14 */
#endif

struct worker {
    const struct server_options *server;
    int socket;
    int page_fd;
    int snapshot_fd;
    struct mayfly_disk disks[MAYFLY_DISKS_MAX];
    bool resettable;
    struct worker_page *page;
    struct acceptor acceptor;
    struct mayfly *vm;
    unsigned served; /* connections, since the VM was new */
    unsigned large_resets;
    uint64_t look_ns; /* how long to look for a job before a sleep */
    char error[MAYFLY_ERROR_BYTES];
};

/* ---- Beginning ---------------------------------------------------------- */

static bool map_page(int fd, struct worker_page **page)
{
    void *at =
        mmap(NULL, sizeof(**page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        return false;
    *page = at;
    return true;
}

/* All of the page of a worker that accepts is used: it is there from the
 * beginning, where the kernel can do that. */
static void fill_page(struct worker_page *page)
{
    (void)madvise(page, sizeof(*page), MADV_POPULATE_WRITE);
}

static int make_vm(struct worker *worker, const struct generation *generation)
{
    struct mayfly_options options = MAYFLY_OPTIONS;
    const struct mayfly_acceptor acceptor = {
        .listener = worker->acceptor.listener,
        .connection = KEEPER_CONNECTION,
        .reports = worker->socket,
    };
    int result;

    if (guest_prepare(worker->server->guest,
                      generation->given ? GUEST_IS_GIVEN : GUEST_GOES_ON,
                      &options))
        return -ECHILD;
    options.disks = worker->disks;
    options.disk_count = generation->disk_count;
    options.poll_ns = worker->server->poll_ns;
    options.resettable = worker->resettable;
    options.serves = true;
    options.progress = &worker->page->progress;
    if (acceptor.listener >= 0)
        options.acceptor = &acceptor;
    result = mayfly_create(&options, &worker->vm, worker->error);
    if (!result)
        result = mayfly_restore(worker->vm, worker->snapshot_fd, worker->error);
    close(worker->snapshot_fd); /* what is needed of it is mapped */
    if (!result)
        result = mayfly_confine(worker->vm, 0, worker->error);
    if (result)
        cli_fail(CLI_FAILED, "cannot make a VM: %s", worker->error);
    return result;
}

/*
 * The page comes first: then its descriptor is KEEPER_CONNECTION, which is free
 * when all else is open. What is less than MAYFLY_ACCEPTOR_FDS stays.
 */
static int settle(struct worker *worker, const struct generation *generation)
{
    enum { OTHERS = 6 };
    int *fds[OTHERS + MAYFLY_DISKS_MAX] = {
        &worker->page_fd,           &worker->socket,
        &worker->acceptor.listener, &worker->acceptor.keeper,
        &worker->acceptor.epoll_fd, &worker->snapshot_fd};
    int result;

    if (worker->acceptor.listener >= 0)
        worker->acceptor.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < generation->disk_count; i++) {
        worker->disks[i] = generation->disks[i];
        fds[OTHERS + i] = &worker->disks[i].fd;
    }
    result = child_keep(fds, OTHERS + generation->disk_count);
    if (!result && !map_page(worker->page_fd, &worker->page))
        result = -errno;
    worker->acceptor.page = worker->page;
    worker->acceptor.socket = worker->socket;
    if (!result && worker->acceptor.listener >= 0)
        fill_page(worker->page);
    if (!result && worker->acceptor.listener >= 0)
        result = acceptor_open(&worker->acceptor);
    return result;
}

static int begin(struct worker *worker, const struct generation *generation)
{
    int result = settle(worker, generation);

    if (result) {
        cli_fail(CLI_FAILED, "cannot start a worker: %s", strerror(-result));
        return result;
    }
    result = make_vm(worker, generation);
    close(worker->page_fd);
    return result;
}

/* ---- Jobs --------------------------------------------------------------- */

/* Not sendmsg(): only workers that accept may call that. */
static void report(const struct worker *worker,
                   const struct worker_report *report)
{
    if (write(worker->socket, report, sizeof(*report)) < 0)
        cli_end_at_once(CLI_OK); /* the supervisor has closed its end */
    if (report->spent)
        cli_end_at_once(CLI_OK);
}

static bool is_handed_something(const struct worker *worker)
{
    return atomic_load_explicit(&worker->page->next[0], memory_order_relaxed) ||
           atomic_load_explicit(&worker->page->next[1], memory_order_relaxed);
}

/*
 * A sleep and its end cost more than a connection: looks for a while, letting
 * others have the processor, for as long as that has been worth it lately.
 * Returns whether there is one: its own connection, or, with -1, a packet.
 */
static bool look_for_job(struct worker *worker, int *connection)
{
    uint64_t most = worker->server->poll_ns, start = 0, now = 0;

    *connection = -1;
    while (!is_handed_something(worker) &&
           (*connection = acceptor_try(&worker->acceptor)) < 0) {
        now = most ? child_now_ns() : 0;
        start = start ? start : now;
        if (now - start >= worker->look_ns) {
            worker->look_ns = worker->look_ns / 2 + most / 64;
            return false;
        }
        sched_yield();
    }
    worker->look_ns = most;
    return true;
}

/* Takes what the supervisor has sent. Returns a connection for the VM, or -1.
 */
static int take_packet(struct worker *worker, struct worker_job *job)
{
    unsigned count = 1;
    int connection = -1;
    int result =
        child_receive(worker->socket, job, sizeof(*job), &connection, &count);

    if (result == -EAGAIN)
        return -1;
    if (result || count != (job->id != 0))
        cli_end_at_once(CLI_OK);
    if (job->id == 0) {
        acceptor_enable(&worker->acceptor);
        return -1;
    }
    if (!worker_claim(worker->page, job->id)) {
        close(connection); /* it has been taken back */
        return -1;
    }
    if (worker->acceptor.listener >= 0) {
        connection = acceptor_copy(&worker->acceptor);
        if (connection < 0)
            cli_end_at_once(CLI_FAILED);
    }
    return connection;
}

/* Waits for a job, one that was handed over or an own one. Returns its
 * connection. */
static int take_job(struct worker *worker, struct worker_job *job, bool *own)
{
    for (;;) {
        int connection;
        bool found = look_for_job(worker, &connection);

        *own = connection >= 0;
        if (*own) {
            job->id = worker->page->own.begun;
            job->timeout_ns = worker->server->timeout_ns;
            return connection;
        }
        if (!found && !acceptor_wait(&worker->acceptor))
            continue;
        connection = take_packet(worker, job);
        if (connection >= 0)
            return connection;
    }
}

/* ---- Serving ------------------------------------------------------------ */

/* Whether a failure is to be explained; then the next ones are not. */
static bool may_explain(struct worker *worker, struct worker_report *done)
{
    uint64_t now = child_now_ns();

    if (now < worker->page->quiet_until_ns)
        return false;
    worker->page->quiet_until_ns = now + WORKER_QUIET_NS;
    done->explained = 1;
    return true;
}

/* What has not gone out yet, in the time that is left. */
static enum worker_end flush(struct worker *worker,
                             const struct worker_job *job, uint64_t start_ns)
{
    uint64_t left = UINT64_MAX, spent = child_now_ns() - start_ns;

    if (job->timeout_ns)
        left = job->timeout_ns > spent ? job->timeout_ns - spent : 0;
    return mayfly_flush_streams(worker->vm, left) ? WORKER_TIMED_OUT
                                                  : WORKER_SERVED;
}

static void note_end(struct worker *worker, const struct mayfly_result *result,
                     struct worker_report *done)
{
    done->status = result->status;
    switch (result->end) {
    case MAYFLY_SERVED:
        done->end = WORKER_SERVED;
        break;
    case MAYFLY_CRASHED:
        done->end = WORKER_CRASHED;
        done->status = (int)result->crash.kind;
        if (may_explain(worker, done)) {
            guest_explain_crash(worker->vm, &result->crash);
            cli_fail(CLI_OK, "for 10 s, other crashes are only counted");
        }
        break;
    case MAYFLY_EXITED:
        done->end = WORKER_EXITED;
        break;
    case MAYFLY_TIMED_OUT:
        done->end = WORKER_TIMED_OUT;
        break;
    default:
        done->end = WORKER_FAILED;
    }
}

/*
 * A program that ends closes its connections first, and then waits for their
 * end to be heard: one that has said nothing may be about to.
 */
static void run_to_exit(struct worker *worker, struct mayfly_result *result)
{
    struct mayfly_result end;

    mayfly_set_timeout(worker->vm, EXIT_NS);
    if (mayfly_run(worker->vm, &end, worker->error) == 0 &&
        (end.end == MAYFLY_EXITED || end.end == MAYFLY_CRASHED))
        *result = end;
}

/* Has the guest serve the connection, and says how that went. */
static void run(struct worker *worker, const struct worker_job *job,
                int connection, struct worker_report *done)
{
    struct mayfly_result result = {.end = MAYFLY_SERVED};
    uint64_t start = child_now_ns();
    uint64_t sent = worker->page->progress.out_bytes;
    int failure;

    mayfly_set_timeout(worker->vm, job->timeout_ns);
    failure = mayfly_offer(worker->vm, connection, 0, worker->error);
    if (failure) {
        close(connection);
        done->end = WORKER_REFUSED;
        return;
    }
    failure = mayfly_run(worker->vm, &result, worker->error);
    if (failure) {
        if (may_explain(worker, done))
            cli_fail(CLI_FAILED, "%s", worker->error);
        done->end = WORKER_FAILED;
        done->status = -failure;
        done->spent = 1;
        return;
    }
    if (result.end == MAYFLY_SERVED && worker->page->progress.out_bytes == sent)
        run_to_exit(worker, &result);
    note_end(worker, &result, done);
    if (done->end == WORKER_SERVED)
        done->end = flush(worker, job, start);
}

/* What the VM has done so far, to tell what a job has. */
struct totals {
    struct mayfly_stream_stats streams;
    struct mayfly_counts counts;
    struct mayfly_progress progress;
    uint64_t now_ns;
};

static struct totals count(const struct worker *worker)
{
    struct totals totals = {
        .progress = worker->page->progress,
        .now_ns = child_now_ns(),
    };

    mayfly_get_stream_stats(worker->vm, &totals.streams);
    mayfly_get_counts(worker->vm, &totals.counts);
    return totals;
}

/* A VM as nobody has used it, for the next one. */
static void renew(struct worker *worker, struct worker_report *done)
{
    struct totals before = count(worker), after;

    if (done->spent)
        return;
    if (!worker->resettable || mayfly_reset(worker->vm, worker->error)) {
        if (worker->resettable && may_explain(worker, done))
            cli_fail(CLI_FAILED, "%s", worker->error);
        done->spent = 1;
        return;
    }
    after = count(worker);
    done->reset_ns = after.now_ns - before.now_ns;
    done->pages = after.counts.reset_pages - before.counts.reset_pages;
    worker->served = 0;
    if (done->pages >= LARGE_PAGES && ++worker->large_resets >= LARGE_RESETS)
        done->spent = 1;
}

/* Else its supervisor may have to answer. */
static bool is_served_well(const struct worker_report *done)
{
    return done->end == WORKER_SERVED && done->out_bytes > 0;
}

/* One of its own that was served well is told of in the page. */
static void finish(struct worker *worker, struct worker_report *done, bool own)
{
    if (!own) {
        report(worker, done);
        return;
    }
    if (!is_served_well(done))
        done->event = WORKER_OWN_DONE;
    if (!acceptor_finish(&worker->acceptor, done) || done->spent)
        cli_end_at_once(CLI_OK);
}

static void serve(struct worker *worker, const struct worker_job *job,
                  int connection, bool own)
{
    struct worker_report done = {.event = WORKER_DONE, .id = job->id};
    struct totals before = count(worker), after;

    run(worker, job, connection, &done);
    after = count(worker);
    if (done.end == WORKER_SERVED &&
        after.streams.refused > before.streams.refused)
        done.end = WORKER_REFUSED;
    done.in_bytes = after.progress.in_bytes - before.progress.in_bytes;
    done.out_bytes = after.progress.out_bytes - before.progress.out_bytes;
    done.run_ns = after.now_ns - before.now_ns;
    done.exits = after.counts.exits - before.counts.exits;
    if (after.counts.lost_bytes > before.counts.lost_bytes &&
        may_explain(worker, &done))
        guest_explain_loss(&after.counts);
    if (own && is_served_well(&done))
        acceptor_close(&worker->acceptor);
    else if (!own && worker->acceptor.listener >= 0)
        close(KEEPER_CONNECTION);
    worker->served++;
    if (done.end != WORKER_SERVED ||
        worker->served >= worker->server->requests_per_vm)
        renew(worker, &done);
    finish(worker, &done, own);
}

static _Noreturn void work(struct worker *worker)
{
    for (;;) {
        struct worker_job job = {0};
        bool own;
        int connection = take_job(worker, &job, &own);

        serve(worker, &job, connection, own);
    }
}

/* ---- Starting ----------------------------------------------------------- */

static _Noreturn void run_worker(struct worker *worker,
                                 const struct generation *generation,
                                 uint64_t start_ns)
{
    struct worker_report ready = {.event = WORKER_READY};

    if (begin(worker, generation))
        cli_end_at_once(CLI_FAILED);
    worker->look_ns = worker->server->poll_ns;
    ready.reset_ns = child_now_ns() - start_ns;
    report(worker, &ready);
    work(worker);
}

/*
 * The page is mapped by the two that need it, and not by what the supervisor
 * forks later.
 */
static int make_link(struct worker_link *link, int *page_fd, int *socket)
{
    int ends[2];

    *link = (struct worker_link){.fd = -1, .keeper = -1};
    *page_fd = memfd_create("worker", MFD_CLOEXEC);
    if (*page_fd < 0 || ftruncate(*page_fd, sizeof(*link->page)) ||
        !map_page(*page_fd, &link->page) ||
        madvise(link->page, sizeof(*link->page), MADV_DONTFORK) ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return -errno;
    link->fd = ends[0];
    *socket = ends[1];
    return fcntl(link->fd, F_SETFL, O_NONBLOCK) ? -errno : 0;
}

/* And what it takes to accept connections itself: where clients speak first,
 * and the worker serves more than one. */
static int prepare_acceptor(struct worker *worker, int listener,
                            struct worker_link *link)
{
    int ends[2];

    if (!worker->resettable || worker->server->server_first || listener < 0)
        return 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return -errno;
    worker->acceptor.listener = listener;
    link->keeper = ends[0];
    worker->acceptor.keeper = ends[1];
    fill_page(link->page);
    return 0;
}

int worker_start(const struct server_options *options,
                 const struct generation *generation, int listener,
                 struct worker_link *link)
{
    struct worker worker = {
        .server = options,
        .socket = -1,
        .page_fd = -1,
        .snapshot_fd = generation->snapshot_fd,
        .resettable = generation->resettable,
        .acceptor = {.listener = -1, .keeper = -1, .epoll_fd = -1},
    };
    uint64_t start = child_now_ns();
    int result = make_link(link, &worker.page_fd, &worker.socket);

    if (!result)
        result = prepare_acceptor(&worker, listener, link);
    if (!result)
        link->pid = child_fork();
    if (!result && link->pid == 0)
        run_worker(&worker, generation, start);
    if (!result && link->pid < 0)
        result = link->pid;
    if (worker.socket >= 0)
        close(worker.socket);
    if (worker.page_fd >= 0)
        close(worker.page_fd);
    if (worker.acceptor.keeper >= 0)
        close(worker.acceptor.keeper);
    if (result)
        worker_release(link);
    return result;
}
