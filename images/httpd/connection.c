/* SPDX-License-Identifier: MIT */
/* Connections: reading, answering, sending, and when that takes too long */
#define _GNU_SOURCE
#include "connection.h"

#include "service.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BYTES = 16 * 1024,
    ACCEPT_BATCH = 64,
    OUT_MAX = 64 * 1024 /* answers that wait; then nothing more is read */
};

struct connection {
    struct connection *next, *prev;
    uint64_t deadline_ns;
    struct buffer in, out;
    int fd;
    uint32_t watched;
    enum phase phase;
    bool ended;     /* the peer sends no more */
    bool closing;   /* once the answers are sent */
    bool continued; /* this request has been told to go on */
};

static void list_remove(struct server *server, struct connection *connection)
{
    struct connection *next = connection->next, *prev = connection->prev;

    *(prev ? &prev->next : &server->first[connection->phase]) = next;
    *(next ? &next->prev : &server->last[connection->phase]) = prev;
}

static void list_append(struct server *server, struct connection *connection)
{
    struct connection *last = server->last[connection->phase];

    connection->prev = last;
    connection->next = NULL;
    *(last ? &last->next : &server->first[connection->phase]) = connection;
    server->last[connection->phase] = connection;
}

/* Begins a phase, and its time. */
static void enter(struct server *server, struct connection *connection,
                  enum phase phase)
{
    list_remove(server, connection);
    connection->phase = phase;
    connection->deadline_ns = now_ns() + server->limit_ns[phase];
    list_append(server, connection);
}

static void connection_close(struct server *server,
                             struct connection *connection)
{
    list_remove(server, connection);
    close(connection->fd);
    buffer_free(&connection->in);
    buffer_free(&connection->out);
    free(connection);
    metrics.open--;
    if (!server->accepting && !server->stopping)
        server_watch(server, true);
}

void server_watch(struct server *server, bool watch)
{
    struct epoll_event event = {.events = EPOLLIN};

    epoll_ctl(server->epoll, watch ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
              server->listener, &event);
    server->accepting = watch;
}

static void connection_open(struct server *server, int fd)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    struct epoll_event event = {EPOLLIN, {.ptr = connection}};

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (!connection ||
        epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        free(connection);
        close(fd);
        return;
    }
    connection->fd = fd;
    connection->watched = EPOLLIN;
    connection->deadline_ns = now_ns() + server->limit_ns[PHASE_IDLE];
    list_append(server, connection);
    metrics.open++;
    metrics.accepted++;
}

void server_accept(struct server *server)
{
    for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
        int fd =
            accept4(server->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            connection_open(server, fd);
        } else if (errno != ECONNABORTED && errno != EINTR) {
            /* Out of descriptors or memory: until somebody leaves. */
            if (errno != EAGAIN && metrics.open)
                server_watch(server, false);
            return;
        }
        if (metrics.open >= server->open_max) {
            server_watch(server, false);
            return;
        }
    }
}

/* Reads what has come. Returns whether the connection is still good. */
static bool receive(struct connection *connection)
{
    static char bytes[READ_BYTES];
    ssize_t length = recv(connection->fd, bytes, sizeof(bytes), 0);

    if (length < 0)
        return errno == EAGAIN || errno == EINTR;
    if (length == 0) {
        connection->ended = true;
        return connection->phase != PHASE_LINGER;
    }
    metrics.received_bytes += (uint64_t)length;
    if (connection->phase != PHASE_LINGER)
        buffer_add(&connection->in, bytes, (size_t)length);
    return true;
}

static void refuse(struct connection *connection, int status)
{
    service_refuse(&connection->out, status);
    connection->closing = true;
    buffer_free(&connection->in);
}

/*
 * Answers the whole requests among what has been read, in their order, until
 * enough answers wait. Returns whether that was the reason to end.
 */
static bool answer(struct server *server, struct connection *connection)
{
    struct buffer *in = &connection->in, *out = &connection->out;
    struct http_request request = {0};
    size_t done = 0;
    bool keep = true;
    int status = HTTP_PARTIAL;

    while (keep && done < in->used && out->used < OUT_MAX) {
        status = http_parse(in->bytes + done, in->used - done, &request);
        if (status != HTTP_WHOLE)
            break;
        done += request.bytes;
        keep = request.keep_alive && !server->stopping;
        connection->continued = false;
        service_answer(out, &request, keep);
    }
    if (status > HTTP_WHOLE) {
        refuse(connection, status);
        return false;
    }
    connection->closing |= !keep;
    if (done)
        buffer_drop(in, done);
    if (status == HTTP_PARTIAL && in->used >= HTTP_BYTES_MAX) {
        refuse(connection, 413);
    } else if (status == HTTP_PARTIAL && in->used && request.expect_continue &&
               !connection->continued) {
        buffer_print(out, "HTTP/1.1 100 Continue\r\n\r\n");
        connection->continued = true;
    }
    if (keep && status == HTTP_WHOLE && in->used)
        return true;
    connection->closing |= connection->ended;
    return false;
}

/* Sends what it can. Returns whether the connection is still good. */
static bool transmit(struct connection *connection)
{
    struct buffer *out = &connection->out;
    ssize_t length;

    if (out->failed || connection->in.failed)
        return false;
    if (out->used == 0)
        return true;
    length = send(connection->fd, out->bytes, out->used, MSG_NOSIGNAL);
    if (length < 0)
        return errno == EAGAIN || errno == EINTR;
    metrics.sent_bytes += (uint64_t)length;
    buffer_drop(out, (size_t)length);
    return true;
}

/* Has epoll watch what this connection waits for. */
static void watch(struct server *server, struct connection *connection)
{
    struct epoll_event event = {0, {.ptr = connection}};

    if (connection->out.used)
        event.events |= EPOLLOUT;
    if (connection->phase == PHASE_LINGER ||
        (!connection->closing && !connection->ended &&
         connection->out.used < OUT_MAX))
        event.events |= EPOLLIN;
    if (event.events == connection->watched)
        return;
    epoll_ctl(server->epoll, EPOLL_CTL_MOD, connection->fd, &event);
    connection->watched = event.events;
}

/* The phase that follows from what is in the buffers. */
static enum phase phase_of(const struct connection *connection)
{
    if (connection->phase == PHASE_LINGER)
        return PHASE_LINGER;
    if (connection->out.used)
        return PHASE_SEND;
    return connection->in.used ? PHASE_REQUEST : PHASE_IDLE;
}

/*
 * Our last word is sent. To close now would let what the peer still sends
 * destroy it on the way (RFC 9112, 9.6): it is read and dropped for a while.
 */
static void linger(struct server *server, struct connection *connection)
{
    shutdown(connection->fd, SHUT_WR);
    buffer_free(&connection->in);
    enter(server, connection, PHASE_LINGER);
}

void connection_serve(struct server *server, struct connection *connection,
                      uint32_t events)
{
    size_t unsent = connection->out.used;
    bool good = !(events & EPOLLERR), full;
    enum phase phase;

    if (good && events & (EPOLLIN | EPOLLHUP))
        good = receive(connection);
    if (good && connection->phase != PHASE_LINGER) {
        do {
            full = !connection->closing && answer(server, connection);
            good = transmit(connection);
        } while (good && full && connection->out.used == 0);
    }
    if (!good) {
        connection_close(server, connection);
        return;
    }
    if (connection->closing && !connection->out.used &&
        connection->phase != PHASE_LINGER)
        linger(server, connection);
    phase = phase_of(connection);
    if (phase != connection->phase ||
        (phase == PHASE_SEND && connection->out.used < unsent))
        enter(server, connection, phase);
    watch(server, connection);
}

int server_expire(struct server *server)
{
    uint64_t now = now_ns(), next = UINT64_MAX;

    for (unsigned i = 0; i < PHASE_COUNT; i++) {
        struct connection *connection;

        while ((connection = server->first[i]) &&
               connection->deadline_ns <= now) {
            metrics.timeouts += i != PHASE_IDLE;
            if (i == PHASE_REQUEST) {
                refuse(connection, 408);
                connection_serve(server, connection, 0);
            } else {
                connection_close(server, connection);
            }
        }
        if (connection && connection->deadline_ns < next)
            next = connection->deadline_ns;
    }
    return next == UINT64_MAX ? -1 : (int)((next - now) / 1000000) + 1;
}

void server_stop(struct server *server)
{
    server->stopping = true;
    if (server->accepting)
        server_watch(server, false);
    close(server->listener);
    while (server->first[PHASE_IDLE])
        connection_close(server, server->first[PHASE_IDLE]);
}
