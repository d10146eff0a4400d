/* SPDX-License-Identifier: MIT */
/* Accepting connections, and ending them so that their clients know how. */
#include "vmm/server/clients.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Workers have the same sockets: nothing here relies on O_NONBLOCK. */
#define FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)

static void on_ready(struct watch *watch, uint32_t events);

/* ---- The table ---------------------------------------------------------- */

int clients_init(struct clients *clients, unsigned max, unsigned spare)
{
    size_t bytes = ((size_t)max + spare) * sizeof(struct client);
    void *all = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (all == MAP_FAILED)
        return -ENOMEM;
    /* What they have said is no worker's business: none inherits it. */
    (void)madvise(all, bytes, MADV_WIPEONFORK);
    clients->all = all;
    clients->max = max;
    clients->spare = spare;
    list_init(&clients->free);
    list_init(&clients->silent);
    list_init(&clients->closing);
    return 0;
}

unsigned clients_count(const struct clients *clients)
{
    unsigned count = 0;

    for (unsigned i = CLIENT_FREE + 1; i < CLIENT_STATES; i++)
        count += clients->counts[i];
    return count;
}

/* The one that was used last is the one that is in the cache. */
static struct client *take_free(struct clients *clients)
{
    struct client *client = LIST_FIRST(&clients->free, struct client, link);

    if (client) {
        list_remove(&client->link);
        return client;
    }
    if (clients->made == clients->max + clients->spare)
        return NULL;
    client = &clients->all[clients->made++];
    list_init(&client->link);
    client->clients = clients;
    client->watch.ready = on_ready;
    return client;
}

void client_set_state(struct client *client, enum client_state state)
{
    if (client->state != CLIENT_FREE)
        client->clients->counts[client->state]--;
    if (state != CLIENT_FREE)
        client->clients->counts[state]++;
    client->state = state;
}

/* ---- The end ------------------------------------------------------------ */

static bool is_path(const struct client *client)
{
    return client->peer.any.sa_family == AF_UNIX;
}

/*
 * A worker that was taken over may have asked that close() waits for the peer.
 * What honest ones ask for, that it resets the connection, stays.
 */
static void forbid_waiting(const struct client *client)
{
    struct linger linger = {0};
    socklen_t bytes = sizeof(linger);

    if (is_path(client) ||
        getsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, &bytes))
        return;
    if (linger.l_onoff && linger.l_linger > 0) {
        linger.l_onoff = 0;
        setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
}

/* Whatever other descriptors there are: the peer sees no end, but an error. */
static void cut(const struct client *client)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    if (is_path(client) || connect(client->fd, &nobody, sizeof(nobody)))
        shutdown(client->fd, SHUT_RDWR);
}

static void close_client(struct client *client)
{
    if (client->moved)
        shutdown(client->fd, SHUT_RDWR);
    if (client->handed_ns)
        forbid_waiting(client);
    close(client->fd);
    client->fd = -1;
    list_remove(&client->link);
    client_set_state(client, CLIENT_FREE);
    list_prepend(&client->clients->free, &client->link);
}

/* Whether the client says nothing more: it may not be there any more. */
static bool has_ended(const struct client *client)
{
    char byte;

    return recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/*
 * What a client that has had nothing is told: a status of HTTP, or 0 for
 * nothing. A guest that closes without a word has failed, too; most of all a
 * program that ends, whose connections are closed first.
 */
static unsigned answer_to(const struct client *client, enum connection_end end)
{
    switch (end) {
    case CONNECTION_SERVED:
        return has_ended(client) ? 0 : HTTP_BAD_GATEWAY;
    case CONNECTION_REFUSED:
    case CONNECTION_CRASHED:
    case CONNECTION_EXITED:
    case CONNECTION_FAILED:
    case CONNECTION_LOST:
        return HTTP_BAD_GATEWAY;
    case CONNECTION_TIMED_OUT:
        return HTTP_GATEWAY_TIMEOUT;
    case CONNECTION_OVERDUE:
        return HTTP_UNAVAILABLE;
    default:
        return 0;
    }
}

/* Whether what was sent may be cut off in the middle. */
static bool is_torn(const struct connection_record *record)
{
    if (record->out_bytes == 0)
        return false;
    return record->end == CONNECTION_CRASHED ||
           record->end == CONNECTION_FAILED || record->end == CONNECTION_LOST ||
           record->end == CONNECTION_TIMED_OUT;
}

/* Sends a whole answer. Returns whether it is on its way. */
static bool send_answer(const struct client *client, unsigned status)
{
    const struct linger off = {0};
    size_t bytes;
    const char *answer =
        http_refuse((enum http_refusal)status, client->http, &bytes);

    /* A guest that cut it off has asked for a reset, which loses the answer. */
    if (client->handed_ns && !is_path(client))
        setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
    return send(client->fd, answer, bytes, FLAGS) == (ssize_t)bytes &&
           shutdown(client->fd, SHUT_WR) == 0;
}

/* Throws away what comes. Returns whether that was the end. */
static bool read_away(const struct client *client)
{
    static char nowhere[16384];
    ssize_t bytes;

    for (unsigned i = 0; i < 16; i++) {
        bytes = recv(client->fd, nowhere, sizeof(nowhere), FLAGS);
        if (bytes < 0)
            return errno != EAGAIN && errno != EINTR;
        if (bytes == 0)
            return true;
    }
    return false;
}

/*
 * Bytes that nobody has read when a socket is closed reset the connection, and
 * the answer is lost: so they are read.
 */
static void begin_closing(struct client *client)
{
    struct clients *clients = client->clients;

    if (read_away(client) ||
        loop_add(clients->loop, client->fd, EPOLLIN, &client->watch)) {
        close_client(client);
        return;
    }
    list_remove(&client->link);
    client_set_state(client, CLIENT_CLOSING);
    client->deadline_ns = clients->loop->now_ns + CLIENTS_CLOSING_NS;
    list_append(&clients->closing, &client->link);
}

static uint64_t realtime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t since(uint64_t end_ns, uint64_t start_ns)
{
    return end_ns > start_ns ? end_ns - start_ns : 0;
}

/* When it was not waiting any more: a worker that had it in advance may have
 * begun before its supervisor has heard that it could. */
static uint64_t begin_of(const struct client *client, uint64_t vm_ns)
{
    uint64_t now_ns = client->clients->loop->now_ns;
    uint64_t given_ns = client->given_ns ? client->given_ns : now_ns;

    return loop_earlier(given_ns, now_ns - vm_ns);
}

static void tell(struct client *client, struct connection_record *record)
{
    struct clients *clients = client->clients;
    uint64_t now_ns = clients->loop->now_ns;

    record->id = client->id;
    record->peer = client->peer_bytes ? &client->peer.any : NULL;
    record->peer_bytes = client->peer_bytes;
    if (client->http != HTTP_NOT) {
        record->request = client->look;
        record->request_bytes = client->look_bytes;
    }
    if (client->ready_ns)
        record->queue_ns =
            since(begin_of(client, record->vm_ns), client->ready_ns);
    record->total_ns = since(now_ns, client->accepted_ns);
    metrics_connection_ended(clients->metrics, record);
    if (clients->log->path)
        access_log_add(clients->log, record, realtime_ns());
}

void client_end(struct client *client, struct connection_record *record)
{
    unsigned status = 0;

    if (client->http != HTTP_NOT && record->out_bytes == 0)
        status = answer_to(client, record->end);
    if (status && !send_answer(client, status))
        status = 0;
    record->status = status;
    tell(client, record);
    if (status) {
        begin_closing(client);
        return;
    }
    if (is_torn(record))
        cut(client);
    close_client(client);
}

static void end_unserved(struct client *client, enum connection_end end)
{
    struct connection_record record = {.end = end};

    client_end(client, &record);
}

/* ---- The beginning ------------------------------------------------------ */

static void become_ready(struct client *client)
{
    struct clients *clients = client->clients;

    list_remove(&client->link);
    client_set_state(client, CLIENT_QUEUED);
    client->ready_ns = clients->loop->now_ns;
    client->deadline_ns = client->ready_ns + clients->timeout_ns;
    clients->queue(clients->context, client);
}

/* Looks at the first bytes. Returns -EAGAIN if there are none yet. */
static int look(struct client *client)
{
    ssize_t bytes =
        recv(client->fd, client->look, sizeof(client->look), FLAGS | MSG_PEEK);

    if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    if (bytes <= 0)
        return -EPIPE;
    client->look_bytes = (size_t)bytes;
    client->http = http_look(client->look, client->look_bytes);
    return 0;
}

static void on_ready(struct watch *watch, uint32_t events)
{
    struct client *client = LIST_OWNER(watch, struct client, watch);
    struct loop *loop = client->clients->loop;
    int result;

    (void)events;
    if (client->state == CLIENT_CLOSING) {
        if (read_away(client)) {
            loop_remove(loop, client->fd);
            close_client(client);
        }
        return;
    }
    result = look(client);
    if (result == -EAGAIN)
        return;
    loop_remove(loop, client->fd);
    if (result)
        end_unserved(client, CONNECTION_LEFT);
    else
        become_ready(client);
}

bool clients_make_room(struct clients *clients)
{
    struct client *client;

    while (!clients_have_room(clients) &&
           (client = LIST_FIRST(&clients->silent, struct client, link))) {
        int result = look(client);

        loop_remove(clients->loop, client->fd);
        if (result == 0)
            become_ready(client);
        else
            end_unserved(client, result == -EAGAIN ? CONNECTION_SILENT
                                                   : CONNECTION_LEFT);
    }
    return clients_have_room(clients);
}

static void become_silent(struct client *client)
{
    struct clients *clients = client->clients;

    client->deadline_ns = client->accepted_ns + clients->timeout_ns;
    list_append(&clients->silent, &client->link);
    if (loop_add(clients->loop, client->fd, EPOLLIN, &client->watch))
        end_unserved(client, CONNECTION_FAILED);
}

static void start(struct client *client, int fd)
{
    struct clients *clients = client->clients;

    client->fd = fd;
    client->id = ++clients->last_id;
    client->http = HTTP_NOT;
    client->deaths = client->strays = 0;
    client->moved = false;
    client->accepted_ns = clients->loop->now_ns;
    client->ready_ns = client->handed_ns = client->given_ns = 0;
    client->look_bytes = 0;
    client_set_state(client, CLIENT_SILENT);
    metrics_connection_accepted(clients->metrics);
}

static void admit(struct client *client)
{
    int result = client->clients->server_first ? 0 : look(client);

    if (result == -EAGAIN)
        become_silent(client);
    else if (result)
        end_unserved(client, CONNECTION_LEFT);
    else
        become_ready(client);
}

/* Reasons of one connection, and none to wait. */
static bool is_passing(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO ||
           error == EPERM || error == ENETDOWN || error == EHOSTDOWN ||
           error == ENETUNREACH || error == EHOSTUNREACH;
}

int clients_accept(struct clients *clients, int listener)
{
    struct client *client = take_free(clients);
    int fd;

    client->peer_bytes = sizeof(client->peer);
    fd = accept4(listener, &client->peer.any, &client->peer_bytes,
                 SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        int result = is_passing(errno) ? 0 : -errno;

        list_prepend(&clients->free, &client->link);
        return result;
    }
    if (client->peer_bytes > sizeof(client->peer)) /* a path, cut short */
        client->peer_bytes = sizeof(client->peer.any.sa_family);
    start(client, fd);
    admit(client);
    return 0;
}

/* ---- Connections that workers have accepted ----------------------------- */

static bool is_connection(int fd)
{
    int type = 0, listens = 1;
    socklen_t bytes = sizeof(int);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &bytes) == 0 &&
           type == SOCK_STREAM && !listens;
}

struct client *clients_adopt(struct clients *clients, int fd)
{
    struct client *client = is_connection(fd) ? take_free(clients) : NULL;

    if (!client) {
        close(fd);
        return NULL;
    }
    client->peer_bytes = sizeof(client->peer);
    if (getpeername(fd, &client->peer.any, &client->peer_bytes))
        client->peer_bytes = 0;
    if (client->peer_bytes > sizeof(client->peer))
        client->peer_bytes = sizeof(client->peer.any.sa_family);
    start(client, fd);
    client_set_state(client, CLIENT_SERVED);
    client->handed_ns = clients->loop->now_ns;
    return client;
}

void client_admit(struct client *client)
{
    client->handed_ns = 0;
    client_set_state(client, CLIENT_SILENT);
    admit(client);
}

void client_recall(struct client *client, const char *look, size_t bytes)
{
    memcpy(client->look, look, bytes);
    client->look_bytes = bytes;
    client->http = http_look(client->look, bytes);
}

bool clients_have(const struct clients *clients, int fd)
{
    struct stat this, other;

    if (fstat(fd, &this))
        return false;
    for (unsigned i = 0; i < clients->made; i++) {
        const struct client *client = &clients->all[i];

        if (client->state != CLIENT_FREE && client->handed_ns &&
            fstat(client->fd, &other) == 0 && other.st_ino == this.st_ino &&
            other.st_dev == this.st_dev)
            return true;
    }
    return false;
}

void clients_note(struct clients *clients, struct connection_record *record,
                  uint64_t age_ns, const char *look, size_t bytes)
{
    record->id = ++clients->last_id;
    metrics_connection_accepted(clients->metrics);
    metrics_connection_ended(clients->metrics, record);
    if (!clients->log->path)
        return;
    if (http_look(look, bytes) != HTTP_NOT) {
        record->request = look;
        record->request_bytes = bytes;
    }
    access_log_add(clients->log, record, realtime_ns() - age_ns);
}

/* ---- Time --------------------------------------------------------------- */

void clients_expire(struct clients *clients)
{
    uint64_t now_ns = clients->loop->now_ns;
    struct client *client;

    while ((client = LIST_FIRST(&clients->silent, struct client, link)) &&
           client->deadline_ns <= now_ns) {
        loop_remove(clients->loop, client->fd);
        end_unserved(client, CONNECTION_SILENT);
    }
    while ((client = LIST_FIRST(&clients->closing, struct client, link)) &&
           client->deadline_ns <= now_ns) {
        loop_remove(clients->loop, client->fd);
        close_client(client);
    }
}

uint64_t clients_deadline(const struct clients *clients)
{
    const struct client *silent =
        LIST_FIRST(&clients->silent, struct client, link);
    const struct client *closing =
        LIST_FIRST(&clients->closing, struct client, link);

    return loop_earlier(silent ? silent->deadline_ns : LOOP_NEVER,
                        closing ? closing->deadline_ns : LOOP_NEVER);
}

void clients_hurry(struct clients *clients, uint64_t latest_ns)
{
    /* The list stays in order: no deadline comes before an earlier one's. */
    for (struct link *at = clients->silent.next; at != &clients->silent;
         at = at->next) {
        struct client *client = LIST_OWNER(at, struct client, link);

        client->deadline_ns = loop_earlier(client->deadline_ns, latest_ns);
    }
}

void clients_drop(struct clients *clients)
{
    for (unsigned i = 0; i < clients->made; i++) {
        struct client *client = &clients->all[i];

        if (client->state == CLIENT_CLOSING)
            close_client(client);
        else if (client->state != CLIENT_FREE)
            end_unserved(client, CONNECTION_DROPPED);
    }
}

void clients_fini(struct clients *clients)
{
    munmap(clients->all,
           ((size_t)clients->max + clients->spare) * sizeof(struct client));
}
