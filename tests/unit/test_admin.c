/* SPDX-License-Identifier: MIT */
/* The admin endpoint: requests, answers, and peers of all kinds. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/server/admin_answer.h"

static bool healthy = true;
static size_t page_bytes = 3;
static unsigned pages;

static size_t write_page(void *context, char *to)
{
    cr_assert_eq(context, &healthy);
    memset(to, 'm', page_bytes);
    pages++;
    return page_bytes;
}

static bool is_healthy(void *context)
{
    return *(bool *)context;
}

static struct admin_source source = {write_page, is_healthy, &healthy, 0};

/* ---- Requests ----------------------------------------------------------- */

static struct admin_request request;

static size_t parse(const char *text)
{
    return admin_request_parse(text, strlen(text), &request);
}

#define HOST "Host: x\r\n"
#define END  "\r\n"

static void assert_error(const char *text, unsigned error)
{
    cr_assert_eq(parse(text), strlen(text), "%s", text);
    cr_assert_eq(request.error, error, "%u, not %u: %s", request.error, error,
                 text);
    cr_assert_not(error && request.keep);
}

Test(admin_request, is_understood_when_its_last_byte_is_there)
{
    static const char text[] = "\r\nGET /metrics HTTP/1.1\r\n" HOST END;

    for (size_t i = 0; i < sizeof(text) - 1; i++)
        cr_assert_eq(admin_request_parse(text, i, &request), 0, "%zu", i);
    cr_assert_eq(parse(text), sizeof(text) - 1);
    cr_assert(request.error == 0 && request.path == ADMIN_METRICS);
    cr_assert(request.keep && !request.head && !request.http_1_0);
}

Test(admin_request, may_be_followed_by_another)
{
    static const char text[] = "HEAD /healthz HTTP/1.1\r\n" HOST END;
    char two[200];

    snprintf(two, sizeof(two), "%sGET /x HTTP/1.1\r\nHost: x\r\n\r\n", text);
    cr_assert_eq(parse(two), sizeof(text) - 1);
    cr_assert(request.head && request.path == ADMIN_HEALTH);
    parse(two + sizeof(text) - 1);
    cr_assert(!request.head && request.path == ADMIN_NOWHERE);
}

Test(admin_request, may_end_its_lines_with_a_line_feed_alone)
{
    assert_error("GET /metrics HTTP/1.1\nHost: x\n\n", 0);
    assert_error("GET /metrics HTTP/1.1\nHost: x\r\n\n", 0);
    assert_error("\nGET /metrics HTTP/1.1\r\nHost: x\n\r\n", 0);
}

static void assert_path(const char *target, enum admin_path path)
{
    char text[200];

    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", target);
    assert_error(text, 0);
    cr_assert_eq(request.path, path, "%s", target);
}

Test(admin_request, names_its_path_in_every_form)
{
    assert_path("/metrics", ADMIN_METRICS);
    assert_path("/metrics?x=1", ADMIN_METRICS);
    assert_path("/metrics?", ADMIN_METRICS);
    assert_path("http://x/healthz", ADMIN_HEALTH);
    assert_path("HTTP://x:1/metrics?a/b", ADMIN_METRICS);
    assert_path("/metrics/", ADMIN_NOWHERE);
    assert_path("/Metrics", ADMIN_NOWHERE);
    assert_path("/", ADMIN_NOWHERE);
    assert_path("metrics", ADMIN_NOWHERE);
    assert_path("*", ADMIN_NOWHERE);
    assert_path("http://", ADMIN_NOWHERE);
    assert_path("http://metrics", ADMIN_NOWHERE);
    assert_path("?/metrics", ADMIN_NOWHERE);
}

Test(admin_request, keeps_the_connection_as_its_version_says)
{
    assert_error("GET / HTTP/1.1\r\nConnection: close\r\n" HOST END, 0);
    cr_assert_not(request.keep);
    assert_error("GET / HTTP/1.1\r\nconnection: x ,\tCLOSE\r\n" HOST END, 0);
    cr_assert_not(request.keep);
    assert_error("GET / HTTP/1.1\r\nConnection: closed\r\n" HOST END, 0);
    cr_assert(request.keep);
    assert_error("GET / HTTP/1.0\r\n\r\n", 0);
    cr_assert_not(request.keep);
    assert_error("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0);
    cr_assert(request.keep && request.http_1_0);
    assert_error("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", 0);
    cr_assert_not(request.keep);
}

Test(admin_request, is_refused_if_its_line_is_wrong)
{
    assert_error("POST /metrics HTTP/1.1\r\n" HOST END, 405);
    assert_error("get /metrics HTTP/1.1\r\n" HOST END, 405);
    assert_error("HEADS /metrics HTTP/1.1\r\n" HOST END, 405);
    assert_error("GET /metrics HTTP/2.0\r\n" HOST END, 505);
    assert_error("GET /metrics HTTP/1.1 \r\n" HOST END, 400);
    assert_error("GET /metrics HTTP/1\r\n" HOST END, 400);
    assert_error("GET /metrics http/1.1\r\n" HOST END, 400);
    assert_error("GET  /metrics HTTP/1.1\r\n" HOST END, 400);
    assert_error("GET /met rics HTTP/1.1\r\n" HOST END, 400);
    assert_error("GET /met\trics HTTP/1.1\r\n" HOST END, 400);
    assert_error("GET /\xff HTTP/1.1\r\n" HOST END, 400);
    assert_error("G(T / HTTP/1.1\r\n" HOST END, 400);
    assert_error(" GET / HTTP/1.1\r\n" HOST END, 400);
    assert_error("GET /metrics\r\n\r\n", 400);
    assert_error("x\n\n", 400);
    assert_error("\x16\x03\x01\n\n", 400);
}

Test(admin_request, is_refused_if_a_field_is_wrong)
{
#define LINE "GET /metrics HTTP/1.1\r\n"
    assert_error(LINE END, 400);
    assert_error(LINE HOST HOST END, 400);
    assert_error(LINE HOST "x\r\n" END, 400);
    assert_error(LINE HOST ": x\r\n" END, 400);
    assert_error(LINE HOST "x : y\r\n" END, 400);
    assert_error(LINE HOST " folded: x\r\n" END, 400);
    assert_error(LINE "x: y\r\n folded\r\n" HOST END, 400);
    assert_error(LINE HOST "x: a\rb\r\n" END, 400);
    assert_error(LINE HOST "x: a\x01\r\n" END, 400);
    assert_error(LINE HOST "Content-Length: 1\r\n" END, 400);
    assert_error(LINE HOST "Content-Length: 0, 1\r\n" END, 400);
    assert_error(LINE HOST "transfer-encoding: identity\r\n" END, 400);
    assert_error(LINE HOST "Content-Length: 0\r\n" END, 0);
    assert_error(LINE HOST "X: \xff a\tb:\r\n" END, 0);
    assert_error(LINE HOST "X:\r\n" END, 0);
}

Test(admin_request, has_room_for_4_kib)
{
    char text[ADMIN_REQUEST_BYTES + 1];
    int start = sprintf(text, LINE HOST "X: ");

    memset(text + start, 'x', sizeof(text) - (size_t)start);
    memcpy(text + ADMIN_REQUEST_BYTES - 4, "\r\n\r\n", 4);
    cr_assert_eq(admin_request_parse(text, ADMIN_REQUEST_BYTES, &request),
                 ADMIN_REQUEST_BYTES);
    cr_assert_eq(request.error, 0);
    text[ADMIN_REQUEST_BYTES - 1] = 'x';
    cr_assert_eq(admin_request_parse(text, ADMIN_REQUEST_BYTES - 1, &request),
                 0);
    cr_assert_eq(admin_request_parse(text, ADMIN_REQUEST_BYTES, &request),
                 ADMIN_REQUEST_BYTES);
    cr_assert_eq(request.error, 431);
    memset(text, 'x', sizeof(text));
    admin_request_parse(text, ADMIN_REQUEST_BYTES, &request);
    cr_assert_eq(request.error, 414);
}

/* ---- Answers ------------------------------------------------------------ */

static char answer[ADMIN_ANSWER_BYTES + 1];

static void assert_answer(const char *text, const char *expected)
{
    parse(text);
    size_t bytes = admin_answer(&request, &source, 784111777, answer);

    answer[bytes] = '\0';
    cr_assert_str_eq(answer, expected);
}

#define DATE      "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define PLAIN     "Content-Type: text/plain; charset=utf-8\r\n"
#define METRICS   "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
#define LENGTH(n) "Content-Length: " n "\r\nCache-Control: no-store\r\n\r\n"

Test(admin_answer, has_the_metrics)
{
    assert_answer(LINE HOST END,
                  "HTTP/1.1 200 OK\r\n" DATE METRICS LENGTH("3") "mmm");
    assert_answer("HEAD /metrics HTTP/1.1\r\n" HOST END,
                  "HTTP/1.1 200 OK\r\n" DATE METRICS LENGTH("3"));
    assert_answer("GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                  "HTTP/1.1 200 OK\r\n" DATE
                  "Connection: keep-alive\r\n" METRICS LENGTH("3") "mmm");
}

Test(admin_answer, has_room_for_all_metrics)
{
    page_bytes = METRICS_TEXT_BYTES;
    parse(LINE HOST END);
    size_t bytes = admin_answer(&request, &source, 0, answer);
    cr_assert_leq(bytes, ADMIN_ANSWER_BYTES);
    cr_assert(strstr(answer, "Content-Length: 32768\r\n"));
    cr_assert_eq(answer[bytes - 1], 'm');
}

Test(admin_answer, tells_of_health)
{
    assert_answer("GET /healthz HTTP/1.1\r\n" HOST END,
                  "HTTP/1.1 200 OK\r\n" DATE PLAIN LENGTH("3") "OK\n");
    healthy = false;
    assert_answer(
        "GET /healthz HTTP/1.1\r\nConnection: close\r\n" HOST END,
        "HTTP/1.1 503 Service Unavailable\r\n" DATE
        "Connection: close\r\n" PLAIN LENGTH("20") "Service Unavailable\n");
}

Test(admin_answer, tells_what_is_wrong)
{
    assert_answer("POST / HTTP/1.1\r\n" HOST END,
                  "HTTP/1.1 405 Method Not Allowed\r\n" DATE
                  "Allow: GET, HEAD\r\nConnection: close\r\n" PLAIN LENGTH(
                      "19") "Method Not Allowed\n");
    assert_answer("GET / HTTP/1.1\r\n" HOST END,
                  "HTTP/1.1 404 Not Found\r\n" DATE PLAIN LENGTH(
                      "36") "Not Found: try /metrics or /healthz\n");
    assert_answer("x\n\n",
                  "HTTP/1.1 400 Bad Request\r\n" DATE
                  "Connection: close\r\n" PLAIN LENGTH("12") "Bad Request\n");
}

/* ---- Peers -------------------------------------------------------------- */

static struct admin *admin;
static int listener;
static struct sockaddr_in address = {.sin_family = AF_INET};
static char got[4 * ADMIN_ANSWER_BYTES];
static size_t got_bytes;

static void start(void)
{
    socklen_t bytes = sizeof(address);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, bytes), 0);
    cr_assert_eq(listen(listener, 64), 0);
    getsockname(listener, (struct sockaddr *)&address, &bytes);
    cr_assert_eq(admin_create(&admin, listener, &source), 0);
}

/* Lets the endpoint do all it has to do. */
static void serve(void)
{
    struct pollfd ready = {.fd = admin_fd(admin), .events = POLLIN};

    for (unsigned i = 0; poll(&ready, 1, 0) == 1; i++) {
        cr_assert_lt(i, 1000, "it is ready for nothing");
        admin_serve(admin);
    }
}

static int connect_peer(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    serve();
    return fd;
}

static void say(int fd, const char *text)
{
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL),
                 (ssize_t)strlen(text));
    serve();
}

static unsigned count_answers(void)
{
    unsigned count = 0;

    for (const char *at = got; (at = strstr(at, "HTTP/1.1 200 OK\r\n")); at++)
        count++;
    return count;
}

/* Waits until this end, or the endpoint, has something to do. */
static void wait_for(int fd)
{
    struct pollfd ready[] = {{.fd = fd, .events = POLLIN},
                             {.fd = admin_fd(admin), .events = POLLIN}};

    cr_assert_gt(poll(ready, 2, 5000), 0, "nothing comes after: %s", got);
    serve();
}

/* Adds what has come to `got`. Returns whether there will be no more. */
static bool hear(int fd)
{
    ssize_t part =
        recv(fd, got + got_bytes, sizeof(got) - 1 - got_bytes, MSG_DONTWAIT);

    got_bytes += part > 0 ? (size_t)part : 0;
    got[got_bytes] = '\0';
    return part == 0 || (part < 0 && errno == ECONNRESET);
}

/* Waits for so many good answers; nothing else comes. */
static void hear_answers(int fd, unsigned count)
{
    got_bytes = 0;
    do {
        wait_for(fd);
        cr_assert_not(hear(fd), "%s", got);
    } while (count_answers() < count);
    cr_assert_eq(count_answers(), count, "%s", got);
}

/* Waits for the end of the connection. */
static void hear_end(int fd)
{
    got_bytes = 0;
    while (!hear(fd))
        wait_for(fd);
}

Test(admin, answers_one_request_after_the_other, .timeout = 20)
{
    start();
    int fd = connect_peer();
    for (unsigned i = 0; i < 3; i++) {
        say(fd, LINE HOST END);
        hear_answers(fd, 1);
    }
    say(fd, LINE HOST "Connection: close\r\n" END);
    hear_end(fd);
    cr_assert_eq(count_answers(), 1, "%s", got);
    close(fd);
    serve();
    admin_destroy(admin);
    cr_assert_eq(pages, 4);
}

Test(admin, answers_requests_that_come_together_or_in_pieces, .timeout = 20)
{
    start();
    int fd = connect_peer();
    say(fd, LINE HOST END LINE HOST END "HEAD /healthz HTTP/1.1\r\n" HOST END);
    hear_answers(fd, 3);
    got_bytes = 0;
    for (const char *at = LINE HOST END; *at; at++) {
        char byte[2] = {*at, '\0'};

        cr_assert_not(hear(fd));
        cr_assert_str_eq(got, "");
        say(fd, byte);
    }
    hear_answers(fd, 1);
    /* The peer has nothing more to say, but listens. */
    say(fd, LINE HOST END);
    shutdown(fd, SHUT_WR);
    hear_end(fd);
    cr_assert_eq(count_answers(), 1, "%s", got);
    admin_destroy(admin);
}

/* The answer arrives although the rest of the request was never read. */
Test(admin, refuses_what_is_too_long, .timeout = 20)
{
    static char text[65536];

    start();
    int fd = connect_peer();
    memset(text, 'x', sizeof(text) - 1);
    say(fd, text);
    hear_end(fd);
    cr_assert_eq(strncmp(got, "HTTP/1.1 414 ", 13), 0, "%s", got);
    cr_assert_eq(send(fd, text, 100, MSG_NOSIGNAL), 100);
    admin_destroy(admin);
}

/* Asks and asks, until nobody listens any more. Returns how often. */
static size_t ask_all(int fd)
{
    static const char text[] = LINE HOST END;
    const size_t bytes = sizeof(text) - 1;
    size_t sent = 0;
    ssize_t part;

    do {
        part = send(fd, text + sent % bytes, bytes - sent % bytes,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += part > 0 ? (size_t)part : 0;
        serve();
    } while (part > 0);
    return sent / bytes;
}

Test(admin, does_not_wait_for_a_slow_reader, .timeout = 20)
{
    int small = 4096, other;
    size_t bytes = 0;

    page_bytes = METRICS_TEXT_BYTES;
    start();
    setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    int fd = connect_peer();
    cr_assert_gt(ask_all(fd), pages + 10);
    /* Others are answered. */
    other = connect_peer();
    say(other, "GET /healthz HTTP/1.1\r\n" HOST END);
    hear_answers(other, 1);
    /* So is this one, as it reads. */
    size_t some = (pages + 10) * (size_t)METRICS_TEXT_BYTES;
    while (bytes < some) {
        got_bytes = 0;
        wait_for(fd);
        cr_assert_not(hear(fd));
        bytes += got_bytes;
    }
    admin_destroy(admin);
}

Test(admin, has_places_for_new_peers_when_others_are_idle, .timeout = 20)
{
    int fds[40];

    start();
    for (unsigned i = 0; i < 40; i++) {
        fds[i] = connect_peer();
        say(fds[i], i % 2 ? "GET" : "GET /healthz HTTP/1.1\r\n" HOST END);
        if (i % 2 == 0)
            hear_answers(fds[i], 1);
    }
    /* The first ones had to leave, the last ones did not. */
    for (unsigned i = 0; i < 24; i++)
        hear_end(fds[i]);
    for (unsigned i = 24; i < 40; i++) {
        say(fds[i], i % 2 ? " /healthz HTTP/1.1\r\n" HOST END : LINE HOST END);
        hear_answers(fds[i], 1);
    }
    admin_destroy(admin);
}

Test(admin, leaves_peers_that_take_their_time, .timeout = 20)
{
    int slow, idle;

    source.request_ms = 50;
    start();
    slow = connect_peer();
    idle = connect_peer();
    say(slow, "GET /me");
    hear_end(slow);
    hear_end(idle);
    cr_assert_str_eq(got, "");
    admin_destroy(admin);
}

Test(admin, leaves_peers_that_never_close, .timeout = 20)
{
    start();
    int fd = connect_peer();
    say(fd, "x\n\n");
    hear_end(fd);
    /* A second later. */
    while (send(fd, "x", 1, MSG_NOSIGNAL) == 1) {
        usleep(10000);
        serve();
    }
    admin_destroy(admin);
}

Test(admin, waits_for_descriptors_where_there_are_none, .timeout = 20)
{
    struct rlimit few, many;

    start();
    getrlimit(RLIMIT_NOFILE, &many);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    few = many;
    few.rlim_cur = (rlim_t)fd + 1;
    setrlimit(RLIMIT_NOFILE, &few);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    say(fd, "GET /healthz HTTP/1.1\r\n" HOST END);
    setrlimit(RLIMIT_NOFILE, &many);
    hear_answers(fd, 1);
    admin_destroy(admin);
}

Test(admin, forgets_peers_that_are_gone, .timeout = 20)
{
    int before = dup(0);

    close(before);
    start();
    for (unsigned i = 0; i < 100; i++) {
        struct linger reset = {.l_onoff = 1};
        int fd = connect_peer();

        say(fd, i % 2 ? LINE HOST END : "GET");
        if (i % 3 == 0)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(fd);
        serve();
    }
    admin_destroy(admin);
    close(listener);
    cr_assert_eq(dup(0), before);
}
