/* SPDX-License-Identifier: MIT */
/* Connections that a worker accepts itself. */
#include "vmm/server/acceptor.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/cli.h"
#include "vmm/server/child.h"
#include "vmm/server/keeper.h"

/* The supervisor is expected to hear sooner. */
#define PATIENCE_NS 200000u

enum { FROM_LISTENER, FROM_SUPERVISOR };

static int watch(const struct acceptor *acceptor, int fd, uint32_t events,
                 uint64_t from)
{
    struct epoll_event event = {.events = events, .data = {.u64 = from}};

    return epoll_ctl(acceptor->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno
                                                                    : 0;
}

int acceptor_open(struct acceptor *acceptor)
{
    int result;

    result = watch(acceptor, acceptor->socket, EPOLLIN, FROM_SUPERVISOR);
    if (result)
        return result;
    return keeper_start(acceptor->keeper);
}

void acceptor_enable(struct acceptor *acceptor)
{
    if (!acceptor->enabled)
        acceptor->enabled = watch(acceptor, acceptor->listener,
                                  EPOLLIN | EPOLLEXCLUSIVE, FROM_LISTENER) == 0;
}

static void disable(struct acceptor *acceptor)
{
    (void)epoll_ctl(acceptor->epoll_fd, EPOLL_CTL_DEL, acceptor->listener,
                    NULL);
    acceptor->enabled = false;
}

/* ---- The page ----------------------------------------------------------- */

static struct worker_own *find(struct worker_owns *own, uint64_t number)
{
    return &own->all[(number - 1) % WORKER_OWN_MAX];
}

static bool is_full(const struct worker_owns *own)
{
    return own->begun - own->taken >= WORKER_OWN_MAX;
}

/* One that dozes learns of the first connection, one that is behind of a ring
 * that gets full. */
static void wake_supervisor(const struct acceptor *acceptor)
{
    const struct worker_report awake = {.event = WORKER_AWAKE};
    struct worker_owns *own = &acceptor->page->own;
    bool behind = own->begun - own->taken == WORKER_OWN_MAX * 3 / 4;

    if (own->dozes || behind) {
        own->dozes = 0;
        (void)child_send(acceptor->socket, &awake, sizeof(awake), NULL, 0);
    }
}

/* ---- Accepting ---------------------------------------------------------- */

int acceptor_copy(const struct acceptor *acceptor)
{
    (void)acceptor;
    return dup(KEEPER_CONNECTION);
}

void acceptor_close(struct acceptor *acceptor)
{
    struct worker_owns *own = &acceptor->page->own;

    own->answered = own->begun;
    close(KEEPER_CONNECTION);
}

/* A supervisor without room for a descriptor asks the keeper for it later. */
static bool await_receipt(const struct acceptor *acceptor, uint64_t number)
{
    struct pollfd end = {.fd = acceptor->socket};
    uint64_t start_ns = child_now_ns();

    while (acceptor->page->own.received < number)
        if (child_now_ns() - start_ns < PATIENCE_NS)
            sched_yield();
        else if (poll(&end, 1, 1) > 0)
            return false;
    return true;
}

/* Sends it with its report. */
static bool give_back(struct acceptor *acceptor, struct worker_own *mine,
                      const struct worker_report *report)
{
    const int connection = KEEPER_CONNECTION;
    int result =
        child_send(acceptor->socket, report, sizeof(*report), &connection, 1);

    if (result || !await_receipt(acceptor, report->id))
        return false;
    mine->returned = 1;
    close(KEEPER_CONNECTION);
    acceptor->page->own.done = report->id;
    return true;
}

/* Whether there is something to serve. */
static bool look(struct worker_own *mine)
{
    struct iovec data = {mine->look, sizeof(mine->look)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    ssize_t bytes =
        recvmsg(KEEPER_CONNECTION, &message, MSG_PEEK | MSG_DONTWAIT);

    mine->look_bytes = bytes > 0 ? (uint32_t)bytes : 0;
    return bytes > 0;
}

/* It is there: its number, and what is known of it. */
static int begin(struct acceptor *acceptor, struct worker_own *mine)
{
    struct worker_owns *own = &acceptor->page->own;
    struct worker_report silent = {.event = WORKER_OWN_SILENT,
                                   .id = own->begun + 1};
    int copy;

    mine->returned = 0;
    mine->report = (struct worker_report){0};
    own->begun = silent.id;
    own->trying = 0;
    acceptor->begin_ns = child_now_ns();
    wake_supervisor(acceptor);
    copy = look(mine) ? acceptor_copy(acceptor) : -1;
    if (copy < 0 && !give_back(acceptor, mine, &silent))
        cli_end_at_once(CLI_OK); /* the supervisor has closed its end */
    return copy;
}

/* `trying` is set before `accepts` is looked at: see own_is_over(). */
int acceptor_try(struct acceptor *acceptor)
{
    struct worker_owns *own = &acceptor->page->own;
    struct worker_own *mine = find(own, own->begun + 1);
    int fd = -1;

    if (!acceptor->enabled || is_full(own))
        return -1;
    own->trying = 1;
    if (own->accepts) {
        mine->peer_bytes = sizeof(mine->peer);
        fd = accept4(acceptor->listener, &mine->peer.any, &mine->peer_bytes,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    if (fd >= 0)
        return begin(acceptor, mine);
    if (!own->accepts || (errno != EAGAIN && errno != ECONNABORTED &&
                          errno != EINTR && errno != EPROTO))
        disable(acceptor);
    own->trying = 0;
    return -1;
}

bool acceptor_wait(struct acceptor *acceptor)
{
    struct pollfd packets = {.fd = acceptor->socket, .events = POLLIN};
    struct epoll_event event;

    if (!acceptor->enabled)
        return true;
    if (is_full(&acceptor->page->own))
        return poll(&packets, 1, 1) > 0;
    /* Not epoll_wait(), which is another call in some C libraries. */
    return syscall(SYS_epoll_wait, acceptor->epoll_fd, &event, 1, -1) == 1 &&
           event.data.u64 == FROM_SUPERVISOR;
}

bool acceptor_finish(struct acceptor *acceptor,
                     const struct worker_report *report)
{
    struct worker_owns *own = &acceptor->page->own;
    struct worker_own *mine = find(own, report->id);

    mine->report = *report;
    mine->end_ns = child_now_ns();
    mine->total_ns = mine->end_ns - acceptor->begin_ns;
    if (report->event == WORKER_OWN_DONE)
        return give_back(acceptor, mine, report);
    own->done = report->id;
    return true;
}
