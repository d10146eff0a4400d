/* SPDX-License-Identifier: MIT */
/* What the server's paths answer, and how some of them do not. */
#include "function.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void answer_hello(struct connection *c)
{
    answer(c, "200 OK", "Hello from a function.\n");
}

/* ---- Bodies -------------------------------------------------------------- */

/* Part by part, through the room that is behind the header. */
static void answer_echo(struct connection *c)
{
    size_t had = c->got - c->header_bytes, rest, room;
    char *body = c->in + c->header_bytes;

    if (had > c->body_bytes)
        had = c->body_bytes;
    c->body_read = had;
    rest = c->body_bytes - had;
    room = sizeof(c->in) - c->header_bytes;
    if (!send_all(c, c->out, put_header(c, "200 OK", c->body_bytes)) ||
        !send_all(c, body, had))
        return;
    if (rest)
        c->keep = false; /* its place in `in` is taken */
    while (rest) {
        ssize_t part = read(c->fd, body, rest < room ? rest : room);

        if (part <= 0 || !send_all(c, body, (size_t)part))
            return;
        rest -= (size_t)part;
    }
}

static void answer_big(struct connection *c)
{
    static char part[26 * 630];
    size_t bytes = strtoul(c->query, NULL, 10);

    for (size_t i = 0; i < sizeof(part); i++)
        part[i] = (char)('a' + i % 26);
    if (!send_all(c, c->out, put_header(c, "200 OK", bytes)))
        return;
    for (size_t done = 0, now; done < bytes; done += now) {
        now = sizeof(part) < bytes - done ? sizeof(part) : bytes - done;
        if (!send_all(c, part, now))
            return;
    }
}

static void answer_half(struct connection *c)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    size_t header = put_header(c, "200 OK", 1000);

    memset(c->out + header, 'h', 100);
    send_all(c, c->out, header + 100);
    nanosleep(&moment, NULL);
    abort();
}

/* ---- Random numbers and time --------------------------------------------- */

static void answer_hex(struct connection *c, const unsigned char bytes[16],
                       unsigned dashes)
{
    char text[48];
    size_t at = 0;

    for (unsigned i = 0; i < 16; i++) {
        if (dashes >> i & 1)
            text[at++] = '-';
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%02x", bytes[i]);
    }
    snprintf(text + at, sizeof(text) - at, "\n");
    answer(c, "200 OK", text);
}

static void answer_random(struct connection *c)
{
    unsigned char bytes[16];

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        answer(c, "500 Internal Server Error", "no random numbers\n");
    else
        answer_hex(c, bytes, 0);
}

/* RFC 9562, version 4; from the other place where random numbers are. */
static void answer_uuid(struct connection *c)
{
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    unsigned char bytes[16];

    if (fd < 0 || read(fd, bytes, sizeof(bytes)) != sizeof(bytes)) {
        answer(c, "500 Internal Server Error", "no random numbers\n");
    } else {
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        answer_hex(c, bytes, 1u << 4 | 1u << 6 | 1u << 8 | 1u << 10);
    }
    if (fd >= 0)
        close(fd);
}

static void answer_time(struct connection *c)
{
    struct timespec now;
    char text[48];

    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(text, sizeof(text), "%lld.%09ld\n", (long long)now.tv_sec,
             now.tv_nsec);
    answer(c, "200 OK", text);
}

static void answer_slow(struct connection *c)
{
    unsigned long ms = strtoul(c->query, NULL, 10);
    struct timespec time = {.tv_sec = (time_t)(ms / 1000),
                            .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&time, NULL);
    answer(c, "200 OK", "slow\n");
}

/* ---- How a server ends --------------------------------------------------- */

static void crash(struct connection *c)
{
    static char *volatile nowhere;

    *nowhere = c->keep;
}

static void hang(struct connection *c)
{
    for (volatile bool forever = true; forever;)
        c->keep = !c->keep;
}

/* As a process it gets no more than this, and the machine keeps the rest. */
static void exhaust(struct connection *c)
{
    const struct rlimit limit = {256 << 20, 256 << 20};
    const size_t bytes = 1 << 20;
    void *volatile more;

    setrlimit(RLIMIT_AS, &limit);
    while ((more = malloc(bytes)))
        memset(more, c->fd + 1, bytes);
    abort();
}

static void leave(struct connection *c)
{
    (void)c;
    exit(3);
}

/* ---- Elsewhere ----------------------------------------------------------- */

/* Connects, sends a line, and gives back what comes. */
static const char *ask(const char *host, const char *port, char *text,
                       size_t room)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *to;
    const char *problem = NULL;
    ssize_t bytes;
    int error = getaddrinfo(host, port, &hints, &to), fd;

    if (error)
        return gai_strerror(error);
    fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, to->ai_addr, to->ai_addrlen) ||
        send(fd, "question\n", 9, MSG_NOSIGNAL) != 9 ||
        (bytes = recv(fd, text, room - 1, 0)) < 0)
        problem = strerror(errno);
    else
        text[bytes] = '\0';
    if (fd >= 0)
        close(fd);
    freeaddrinfo(to);
    return problem;
}

static void answer_connect(struct connection *c)
{
    char host[128], text[256];
    const char *colon = strrchr(c->query, ':'), *problem;

    if (!colon || (size_t)(colon - c->query) >= sizeof(host)) {
        answer(c, "400 Bad Request", "/connect?HOST:PORT\n");
        return;
    }
    snprintf(host, sizeof(host), "%.*s", (int)(colon - c->query), c->query);
    problem = ask(host, colon + 1, text, sizeof(text));
    answer(c, problem ? "502 Bad Gateway" : "200 OK", problem ? problem : text);
}

static void answer_fresh(struct connection *c)
{
    char text[160];

    fresh_check(text, sizeof(text));
    answer(c, "200 OK", text);
}

void answer_path(struct connection *c)
{
    static const struct {
        const char *path;
        void (*answer)(struct connection *c);
    } paths[] = {
        {"/", answer_hello},      {"/echo", answer_echo},
        {"/fresh", answer_fresh}, {"/random", answer_random},
        {"/uuid", answer_uuid},   {"/big", answer_big},
        {"/slow", answer_slow},   {"/crash", crash},
        {"/hang", hang},          {"/exhaust", exhaust},
        {"/exit", leave},         {"/half", answer_half},
        {"/time", answer_time},   {"/connect", answer_connect},
    };

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (strcmp(c->path, paths[i].path) == 0) {
            paths[i].answer(c);
            return;
        }
    answer(c, "404 Not Found", "no such path\n");
}
