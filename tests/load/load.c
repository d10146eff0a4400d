/* SPDX-License-Identifier: MIT */
/* Connections, as many at a time as asked for, in one thread. */
#include "tests/load/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/load/load_answer.h"

#define REQUEST_ROOM 8192

enum step {
    STEP_SEND,   /* the request is on its way */
    STEP_ANSWER, /* ... sent; the answer is not complete */
    STEP_END,    /* the last answer is complete; the connection's end is due */
};

struct client {
    int fd; /* -1: none */
    enum step step;
    unsigned path;
    unsigned asked; /* requests on this connection */
    uint64_t begin_ns;
    size_t sent, to_send;
    struct answer answer;
    char request[REQUEST_ROOM];
};

struct load {
    const struct load_config *config;
    struct load_results *results;
    struct answer_rule rules[LOAD_PATHS_MAX];
    struct answer_seen seen;
    struct sockaddr_storage address;
    socklen_t address_bytes;
    struct client *clients;
    int epoll;
    unsigned open;    /* connections */
    uint64_t begun;   /* requests */
    uint64_t told;    /* requests that progress() knows of */
    bool stopped;     /* nothing more is begun */
    size_t latencies; /* room for so many */
};

const char *const load_outcome_names[LOAD_OUTCOMES] = {
    [LOAD_RIGHT] = "right",   [LOAD_502] = "502",
    [LOAD_503] = "503",       [LOAD_504] = "504",
    [LOAD_CLOSED] = "closed", [LOAD_REFUSED] = "refused",
    [LOAD_LATE] = "late",     [LOAD_WRONG] = "wrong",
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Where to ------------------------------------------------------------ */

static int parse_unix(struct load *load, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&load->address;

    if (strlen(path) >= sizeof(un->sun_path))
        return -ENAMETOOLONG;
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    load->address_bytes = sizeof(*un);
    return 0;
}

static int parse_address(struct load *load, const char *to)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    const char *colon = strrchr(to, ':');
    char host[128];
    size_t length;

    if (strncmp(to, "unix:", 5) == 0)
        return parse_unix(load, to + 5);
    length = colon ? (size_t)(colon - to) : 0;
    if (length == 0 || length >= sizeof(host))
        return -EINVAL;
    memcpy(host, to + (*to == '['), length - 2 * (*to == '['));
    host[length - 2 * (*to == '[')] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, &found))
        return -EINVAL;
    memcpy(&load->address, found->ai_addr, found->ai_addrlen);
    load->address_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* ---- How requests end ---------------------------------------------------- */

static void note_latency(struct load *load, double us)
{
    struct load_results *results = load->results;

    if (results->latency_count == load->latencies) {
        load->latencies = load->latencies ? 2 * load->latencies : 4096;
        results->latencies = realloc(
            results->latencies, load->latencies * sizeof(*results->latencies));
        if (!results->latencies)
            abort();
    }
    results->latencies[results->latency_count++] = (float)us;
}

/* The first surprise; the first wrong answer counts more. */
static void complain(struct load *load, const struct client *client,
                     const char *what)
{
    struct load_results *results = load->results;
    const struct answer *answer = &client->answer;

    if (!results->complaint[0] ||
        (results->total[LOAD_WRONG] == 0 && strcmp(what, "wrong") == 0))
        snprintf(results->complaint, sizeof(results->complaint),
                 "%s to %s, request %llu: status %d, %llu bytes, '%.200s'",
                 what, load->config->paths[client->path],
                 (unsigned long long)answer->number, answer->status,
                 (unsigned long long)answer->body_got, answer->text);
}

static void note(struct load *load, struct client *client,
                 enum load_outcome outcome)
{
    struct load_results *results = load->results;

    if (outcome == LOAD_RIGHT &&
        load->rules[client->path].kind != ANSWER_VANISH)
        note_latency(load, (double)(now_ns() - client->begin_ns) / 1e3);
    if (outcome != load->rules[client->path].expected)
        complain(load, client, load_outcome_names[outcome]);
    results->outcomes[client->path][outcome]++;
    results->total[outcome]++;
    results->ended++;
}

static void hang_up(struct load *load, struct client *client)
{
    close(client->fd);
    client->fd = -1;
    load->open--;
}

static void fail(struct load *load, struct client *client,
                 enum load_outcome outcome)
{
    note(load, client, outcome);
    hang_up(load, client);
}

/* ---- Steps --------------------------------------------------------------- */

/* The same choice in each run. */
static unsigned choose_path(const struct load *load, uint64_t number)
{
    uint64_t x = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

    return (unsigned)((x >> 32) % load->config->path_count);
}

static bool may_ask(const struct load *load)
{
    return !load->stopped && load->begun < load->config->requests;
}

static void prepare(struct load *load, struct client *client)
{
    unsigned most = load->config->per_connection;
    uint64_t number = load->begun++;
    bool last = ++client->asked >= (most ? most : 1) || !may_ask(load);
    const struct answer_rule *rule;

    client->path = choose_path(load, number);
    rule = &load->rules[client->path];
    client->to_send =
        answer_request(rule, load->config->paths[client->path], number, last,
                       client->request, sizeof(client->request));
    client->sent = 0;
    client->step = STEP_SEND;
    client->begin_ns = now_ns();
    answer_begin(&client->answer, rule, number);
}

static void watch(struct load *load, struct client *client, uint32_t events,
                  int operation)
{
    struct epoll_event event = {.events = events, .data.ptr = client};

    if (epoll_ctl(load->epoll, operation, client->fd, &event))
        abort();
}

/* A client who does not behave: it is over as far as it is concerned. */
static bool vanish(struct load *load, struct client *client)
{
    unsigned how = load->rules[client->path].vanish;

    if (how == VANISH_HALF)
        client->to_send = 10;
    return how == VANISH_SILENT;
}

/* True if what was to be sent has been. */
static bool send_request(struct load *load, struct client *client)
{
    ssize_t part =
        send(client->fd, client->request + client->sent,
             client->to_send - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (part < 0 && errno != EAGAIN && errno != ENOTCONN) {
        fail(load, client, errno == ECONNREFUSED ? LOAD_REFUSED : LOAD_CLOSED);
        return false;
    }
    client->sent += part > 0 ? (size_t)part : 0;
    if (client->sent < client->to_send)
        return false;
    client->step = STEP_ANSWER;
    if (load->rules[client->path].vanish == VANISH_HALF) {
        fail(load, client, LOAD_RIGHT);
        return false;
    }
    return true;
}

static void begin_connection(struct load *load, struct client *client)
{
    const int family = load->address.ss_family;

    client->asked = 0;
    prepare(load, client);
    /* A local one would not wait in the listener's queue, but fail. */
    client->fd = socket(family,
                        SOCK_STREAM | SOCK_CLOEXEC |
                            (family == AF_UNIX ? 0 : SOCK_NONBLOCK),
                        0);
    if (client->fd < 0)
        abort();
    load->open++;
    if (connect(client->fd, (struct sockaddr *)&load->address,
                load->address_bytes) &&
        errno != EINPROGRESS) {
        fail(load, client, LOAD_REFUSED);
        return;
    }
    if (vanish(load, client)) {
        fail(load, client, LOAD_RIGHT);
        return;
    }
    if (send_request(load, client))
        watch(load, client, EPOLLIN, EPOLL_CTL_ADD);
    else if (client->fd >= 0)
        watch(load, client, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
}

/* A complete answer: the connection's end is next, or another request. */
static void finish_answer(struct load *load, struct client *client)
{
    unsigned most = load->config->per_connection;
    enum load_outcome outcome = answer_judge(&client->answer, &load->seen);

    note(load, client, outcome);
    client->step = STEP_END;
    if (client->answer.closes || client->asked >= (most ? most : 1))
        return;
    if (!may_ask(load)) {
        hang_up(load, client);
        return;
    }
    prepare(load, client);
    if (!send_request(load, client) && client->fd >= 0)
        watch(load, client, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static void take_end(struct load *load, struct client *client, ssize_t bytes)
{
    const struct answer *answer = &client->answer;

    if (client->step == STEP_END) {
        if (bytes > 0) /* behind an answer that was complete */
            complain(load, client, "more than an answer");
        if (bytes > 0)
            load->results->total[LOAD_WRONG]++;
        hang_up(load, client);
    } else if (bytes == 0 && answer->in_body && !answer->has_length) {
        note(load, client, answer_judge(&client->answer, &load->seen));
        hang_up(load, client);
    } else {
        fail(load, client, LOAD_CLOSED);
    }
}

static void receive(struct load *load, struct client *client)
{
    static char data[65536];

    for (;;) {
        ssize_t bytes = recv(client->fd, data, sizeof(data), MSG_DONTWAIT);

        if (bytes < 0 && errno == EAGAIN)
            return;
        if (bytes <= 0 || client->step == STEP_END) {
            take_end(load, client, bytes);
            return;
        }
        if (load->rules[client->path].vanish) {
            fail(load, client, LOAD_RIGHT);
            return;
        }
        if (answer_take(&client->answer, data, (size_t)bytes)) {
            finish_answer(load, client);
            return;
        }
        if (bytes < (ssize_t)sizeof(data))
            return;
    }
}

static void serve_event(struct load *load, const struct epoll_event *event)
{
    struct client *client = event->data.ptr;

    if (client->step == STEP_SEND && event->events & EPOLLOUT) {
        if (send_request(load, client))
            watch(load, client, EPOLLIN, EPOLL_CTL_MOD);
        if (client->fd < 0)
            return;
    }
    if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive(load, client);
}

/* ---- All of it ----------------------------------------------------------- */

static void look_for_late_ones(struct load *load)
{
    uint64_t limit = load->config->limit_ns;
    uint64_t now = now_ns();

    for (unsigned i = 0; i < load->config->connections; i++) {
        struct client *client = &load->clients[i];

        if (client->fd < 0 ||
            now - client->begin_ns < (limit ? limit : 30000000000u))
            continue;
        if (client->step == STEP_END) { /* an end is part of the answer */
            complain(load, client, "no end");
            load->results->total[LOAD_LATE]++;
            hang_up(load, client);
        } else {
            fail(load, client, LOAD_LATE);
        }
    }
}

static void tell(struct load *load)
{
    const struct load_config *config = load->config;

    while (config->progress_every && !load->stopped &&
           load->results->ended - load->told >= config->progress_every) {
        load->told += config->progress_every;
        load->stopped = !config->progress(config->context, load->told);
    }
}

/* At first, and where one has ended at once. */
static void begin_connections(struct load *load)
{
    if (load->open == load->config->connections)
        return;
    for (unsigned i = 0; i < load->config->connections; i++)
        if (load->clients[i].fd < 0 && may_ask(load))
            begin_connection(load, &load->clients[i]);
}

static void run(struct load *load)
{
    struct epoll_event events[256];
    uint64_t look_ns = now_ns();

    do {
        begin_connections(load);
        int count = epoll_wait(load->epoll, events, 256, 100);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;

            serve_event(load, &events[i]);
            if (client->fd < 0 && may_ask(load))
                begin_connection(load, client);
        }
        if (now_ns() - look_ns > 100000000) {
            look_for_late_ones(load);
            look_ns = now_ns();
        }
        tell(load);
    } while (load->open || may_ask(load));
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

int load_run(const struct load_config *config, struct load_results *results)
{
    struct load load = {.config = config, .results = results};
    int error = parse_address(&load, config->to);

    memset(results, 0, sizeof(*results));
    if (error || config->path_count == 0 ||
        config->path_count > LOAD_PATHS_MAX || config->connections == 0)
        return error ? error : -EINVAL;
    for (unsigned i = 0; i < config->path_count; i++)
        answer_rule_of(config->paths[i], &load.rules[i]);
    load.clients = calloc(config->connections, sizeof(*load.clients));
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load.clients || load.epoll < 0) {
        free(load.clients);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < config->connections; i++)
        load.clients[i].fd = -1;
    uint64_t begin = now_ns();
    run(&load);
    results->seconds = (double)(now_ns() - begin) / 1e9;
    qsort(results->latencies, results->latency_count,
          sizeof(*results->latencies), compare);
    close(load.epoll);
    free(load.clients);
    free(load.seen.values);
    return 0;
}
