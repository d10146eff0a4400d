/* SPDX-License-Identifier: MIT */
/* The admin endpoint's peers: sockets that are never waited for. */
#include "vmm/server/admin.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "vmm/server/admin_answer.h"
#include "vmm/server/admin_request.h"

/*
 * A peer has a place. If there is none for a new one, the one whose time is
 * over first has to leave, so that idle or slow ones do not lock others out.
 */

#define PEERS      16u
#define EVENTS     32
#define MS         UINT64_C(1000000)
#define REQUEST_MS 10000u
#define CLOSE_NS   (1000 * MS) /* for the peer to take the last answer */
#define PAUSE_NS   (100 * MS)  /* where the host has no descriptors left */

_Static_assert(PEERS + 2 == ADMIN_DESCRIPTORS_MAX, "as the header says");

enum phase {
    FREE,
    READING, /* a request */
    WRITING, /* an answer */
    CLOSING, /* all is said: until the peer has closed, too */
};

struct peer {
    int fd;
    enum phase phase;
    uint32_t watched;     /* its events in the set */
    uint64_t deadline_ns; /* of CLOCK_MONOTONIC */
    bool keep;            /* goes on reading after the answer */
    size_t in_bytes;
    size_t out_bytes, sent_bytes;
    char in[ADMIN_REQUEST_BYTES];
    char out[ADMIN_ANSWER_BYTES];
};

struct admin {
    int set, timer, listener;
    bool paused; /* the listener is not watched */
    uint64_t resume_ns;
    struct admin_source source;
    struct peer peers[PEERS];
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int watch(const struct admin *admin, int how, int fd, uint32_t events,
                 void *what)
{
    struct epoll_event event = {.events = events, .data.ptr = what};

    return epoll_ctl(admin->set, how, fd, &event) ? -errno : 0;
}

/* ---- Peers -------------------------------------------------------------- */

/* A process that was just forked may hold it, too, and keep it in the set. */
static void peer_end(struct admin *admin, struct peer *peer)
{
    watch(admin, EPOLL_CTL_DEL, peer->fd, 0, NULL);
    close(peer->fd);
    peer->phase = FREE;
}

static void peer_watch(struct admin *admin, struct peer *peer)
{
    uint32_t events = peer->phase == WRITING ? EPOLLOUT : EPOLLIN;

    if (peer->phase == FREE || events == peer->watched)
        return;
    peer->watched = events;
    if (watch(admin, EPOLL_CTL_MOD, peer->fd, events, peer))
        peer_end(admin, peer);
}

/* Answers the first request that is there as a whole, if there is one. */
static void peer_take(struct admin *admin, struct peer *peer)
{
    struct admin_request request;
    size_t bytes = admin_request_parse(peer->in, peer->in_bytes, &request);

    if (bytes == 0)
        return;
    peer->in_bytes -= bytes;
    memmove(peer->in, peer->in + bytes, peer->in_bytes);
    peer->out_bytes =
        admin_answer(&request, &admin->source, time(NULL), peer->out);
    peer->sent_bytes = 0;
    peer->keep = request.keep;
    peer->phase = WRITING;
}

/* The answer is out. */
static void peer_go_on(struct admin *admin, struct peer *peer)
{
    if (peer->keep) {
        peer->phase = READING;
        peer->deadline_ns = now_ns() + admin->source.request_ms * MS;
        /* One answer at a time: the rest of the loop has its turn, too. */
        peer_take(admin, peer);
        return;
    }
    /* A close() with bytes unread takes the answer along (RFC 9112, 9.6). */
    shutdown(peer->fd, SHUT_WR);
    peer->phase = CLOSING;
    peer->deadline_ns = now_ns() + CLOSE_NS;
}

static void peer_write(struct admin *admin, struct peer *peer)
{
    ssize_t sent =
        send(peer->fd, peer->out + peer->sent_bytes,
             peer->out_bytes - peer->sent_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            peer_end(admin, peer);
        return;
    }
    peer->sent_bytes += (size_t)sent;
    if (peer->sent_bytes == peer->out_bytes)
        peer_go_on(admin, peer);
}

static void peer_read(struct admin *admin, struct peer *peer)
{
    /* Room is left: a full buffer is an error, after which nothing is read. */
    ssize_t got = recv(peer->fd, peer->in + peer->in_bytes,
                       sizeof(peer->in) - peer->in_bytes, MSG_DONTWAIT);

    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            peer_end(admin, peer);
        return;
    }
    peer->in_bytes += (size_t)got;
    peer_take(admin, peer);
    if (peer->phase == WRITING)
        peer_write(admin, peer);
}

/* Nothing of it matters any more but its end. */
static void peer_discard(struct admin *admin, struct peer *peer)
{
    ssize_t got = recv(peer->fd, peer->in, sizeof(peer->in), MSG_DONTWAIT);

    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        peer_end(admin, peer);
}

static void peer_serve(struct admin *admin, struct peer *peer)
{
    switch (peer->phase) {
    case FREE: /* it has ended meanwhile */
        return;
    case READING:
        peer_read(admin, peer);
        break;
    case WRITING:
        peer_write(admin, peer);
        break;
    case CLOSING:
        peer_discard(admin, peer);
        break;
    }
    peer_watch(admin, peer);
}

/* ---- New ones ----------------------------------------------------------- */

/* A free place, or the one that has the least time left. */
static struct peer *find_place(struct admin *admin)
{
    struct peer *found = &admin->peers[0];

    for (unsigned i = 0; i < PEERS; i++) {
        struct peer *peer = &admin->peers[i];

        if (peer->phase == FREE)
            return peer;
        if (peer->deadline_ns < found->deadline_ns)
            found = peer;
    }
    return found;
}

static void pause_listening(struct admin *admin, bool pause)
{
    uint32_t events = pause ? 0 : EPOLLIN;

    if (watch(admin, EPOLL_CTL_MOD, admin->listener, events, NULL))
        return;
    admin->paused = pause;
    admin->resume_ns = now_ns() + PAUSE_NS;
}

static void accept_peer(struct admin *admin)
{
    int fd = accept4(admin->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        /* It would be readable all the time. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
            errno == ENOMEM)
            pause_listening(admin, true);
        return;
    }
    struct peer *peer = find_place(admin);
    if (peer->phase != FREE)
        peer_end(admin, peer);
    if (watch(admin, EPOLL_CTL_ADD, fd, EPOLLIN, peer)) {
        close(fd);
        return;
    }
    peer->fd = fd;
    peer->phase = READING;
    peer->watched = EPOLLIN;
    peer->deadline_ns = now_ns() + admin->source.request_ms * MS;
    peer->in_bytes = 0;
}

/* ---- Time --------------------------------------------------------------- */

static void end_late_peers(struct admin *admin, uint64_t now)
{
    for (unsigned i = 0; i < PEERS; i++)
        if (admin->peers[i].phase != FREE && admin->peers[i].deadline_ns <= now)
            peer_end(admin, &admin->peers[i]);
    if (admin->paused && admin->resume_ns <= now)
        pause_listening(admin, false);
}

/* Has the timer wake the loop for whatever is due first. */
static void set_timer(struct admin *admin)
{
    uint64_t first = admin->paused ? admin->resume_ns : UINT64_MAX;
    struct itimerspec when = {0};

    for (unsigned i = 0; i < PEERS; i++) {
        const struct peer *peer = &admin->peers[i];

        if (peer->phase != FREE && peer->deadline_ns < first)
            first = peer->deadline_ns;
    }
    if (first != UINT64_MAX) {
        when.it_value.tv_sec = (time_t)(first / 1000000000);
        when.it_value.tv_nsec = (long)(first % 1000000000);
    }
    /* Setting it also makes it unreadable until then. */
    timerfd_settime(admin->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* ---- The whole ---------------------------------------------------------- */

void admin_serve(struct admin *admin)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(admin->set, events, EVENTS, 0);

    for (int i = 0; i < count; i++) {
        void *what = events[i].data.ptr;

        if (!what)
            accept_peer(admin);
        else if (what != admin)
            peer_serve(admin, what);
    }
    end_late_peers(admin, now_ns());
    set_timer(admin);
}

int admin_fd(const struct admin *admin)
{
    return admin->set;
}

/* Returns 0 or -errno; what was opened is in `admin`. */
static int open_all(struct admin *admin)
{
    int error;

    admin->set = epoll_create1(EPOLL_CLOEXEC);
    if (admin->set < 0)
        return -errno;
    admin->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (admin->timer < 0)
        return -errno;
    error = watch(admin, EPOLL_CTL_ADD, admin->timer, EPOLLIN, admin);
    if (error)
        return error;
    return watch(admin, EPOLL_CTL_ADD, admin->listener, EPOLLIN, NULL);
}

int admin_create(struct admin **admin, int listener,
                 const struct admin_source *source)
{
    struct admin *made = calloc(1, sizeof(*made));

    if (!made)
        return -ENOMEM;
    made->set = made->timer = -1;
    made->listener = listener;
    made->source = *source;
    if (!made->source.request_ms)
        made->source.request_ms = REQUEST_MS;
    int error = open_all(made);
    if (error)
        admin_destroy(made);
    else
        *admin = made;
    return error;
}

void admin_destroy(struct admin *admin)
{
    if (!admin)
        return;
    for (unsigned i = 0; i < PEERS; i++)
        if (admin->peers[i].phase != FREE)
            peer_end(admin, &admin->peers[i]);
    if (admin->timer >= 0)
        close(admin->timer);
    if (admin->set >= 0)
        close(admin->set);
    free(admin);
}
