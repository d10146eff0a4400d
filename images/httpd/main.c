/* SPDX-License-Identifier: MIT */
/* A small web service: JSON over HTTP/1.1, metrics, graceful shutdown */
#include "connection.h"
#include "service.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, GRACE_MS = 5000 };

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = number;
}

static void die(const char *what)
{
    fprintf(stderr, "httpd: %s: %s\n", what, strerror(errno));
    exit(1);
}

static unsigned long parse_number(const char *text, unsigned long max)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (end == text || *end || number == 0 || number > max) {
        fprintf(stderr, "httpd: \"%s\": expected 1 to %lu\n", text, max);
        exit(2);
    }
    return number;
}

/* Listens on all addresses: of both families, or of IPv4 where that is all. */
static int listen_on(unsigned port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in four = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port)};
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    struct sockaddr *address = (struct sockaddr *)&six;
    socklen_t length = sizeof(six);
    int fd = socket(AF_INET6, type, 0);

    if (fd >= 0) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
    } else {
        fd = socket(AF_INET, type, 0);
        address = (struct sockaddr *)&four;
        length = sizeof(four);
    }
    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, address, length) < 0)
        die("bind");
    if (listen(fd, 1024) < 0)
        die("listen");
    return fd;
}

/* Signals arrive during epoll_pwait() only, so that none is overlooked. */
static void catch_signals(sigset_t *waiting)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigprocmask(SIG_BLOCK, &blocked, waiting);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static void serve(struct server *server, const sigset_t *waiting)
{
    static struct epoll_event events[EVENTS];
    uint64_t end_ns = UINT64_MAX;

    while (now_ns() < end_ns && (!server->stopping || metrics.open)) {
        int timeout = server_expire(server);
        int count;

        if (server->stopping && (timeout < 0 || timeout > 100))
            timeout = 100;
        count = epoll_pwait(server->epoll, events, EVENTS, timeout, waiting);
        if (count < 0 && errno != EINTR)
            die("epoll_pwait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                connection_serve(server, events[i].data.ptr, events[i].events);
            else
                server_accept(server);
        }
        if (stop && !server->stopping) {
            server_stop(server);
            end_ns = now_ns() + GRACE_MS * UINT64_C(1000000);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", required_argument, NULL, 'p'},
        {"connections", required_argument, NULL, 'c'},
        {"timeout", required_argument, NULL, 't'},
        {0}};
    unsigned port = 80;
    uint64_t second = UINT64_C(1000000000), limit = 10 * second;
    struct server server = {.open_max = 4096};
    sigset_t waiting;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'p')
            port = (unsigned)parse_number(optarg, 65535);
        else if (c == 'c')
            server.open_max = (unsigned)parse_number(optarg, 1000000);
        else if (c == 't')
            limit = parse_number(optarg, 3600) * second;
        else
            return 2;
    }
    server.limit_ns[PHASE_IDLE] = 6 * limit;
    server.limit_ns[PHASE_REQUEST] = limit;
    server.limit_ns[PHASE_SEND] = limit;
    server.limit_ns[PHASE_LINGER] = 2 * second;
    setrlimit(RLIMIT_NOFILE,
              &(struct rlimit){server.open_max + 16, server.open_max + 16});
    catch_signals(&waiting);
    server.listener = listen_on(port);
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (server.epoll < 0)
        die("epoll_create1");
    server_watch(&server, true);
    printf("httpd: listening on port %u\n", port);
    fflush(stdout);
    serve(&server, &waiting);
    printf("httpd: stopped after %llu connections\n",
           (unsigned long long)metrics.accepted);
    return 0;
}
