/* SPDX-License-Identifier: MIT */
/* Sends back what comes, by TCP and UDP, over IPv4 and IPv6: tcpecho [PORT] */
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * One loop over epoll, level-triggered, with thousands of connections. A
 * connection whose peer has said all gets the rest, and is closed. A datagram
 * of "quit" ends the program.
 */

#define EVENTS      256
#define BUFFER_MAX  (256u << 10)
#define DESCRIPTORS 20000

/* What waits to go back. */
struct connection {
    int fd;
    bool ended;
    size_t bytes, sent;
    char *buffer; /* BUFFER_MAX bytes while there are any */
};

static struct connection *connections[DESCRIPTORS];
static int loop, listener, datagrams;

static void die(const char *what)
{
    fprintf(stderr, "tcpecho: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    if (epoll_ctl(loop, operation, fd, &event))
        die("epoll_ctl");
}

static int open_socket(int type, unsigned port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)port)};
    int fd = socket(AF_INET6, type | SOCK_NONBLOCK, 0), on = 1;

    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&any, sizeof(any)))
        die("bind");
    watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    return fd;
}

static void accept_all(void)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *connection = calloc(1, sizeof(*connection));

        if (!connection || fd >= DESCRIPTORS)
            die("too many connections");
        connection->fd = fd;
        connections[fd] = connection;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
    if (errno != EAGAIN)
        die("accept");
}

static void drop(struct connection *connection)
{
    connections[connection->fd] = NULL;
    close(connection->fd);
    free(connection->buffer);
    free(connection);
}

/* Sends what is left. Returns false if the connection is over. */
static bool send_rest(struct connection *connection)
{
    while (connection->sent < connection->bytes) {
        ssize_t n = send(connection->fd, connection->buffer + connection->sent,
                         connection->bytes - connection->sent, MSG_NOSIGNAL);

        if (n < 0)
            return errno == EAGAIN;
        connection->sent += (size_t)n;
    }
    connection->bytes = connection->sent = 0;
    free(connection->buffer);
    connection->buffer = NULL;
    return !connection->ended;
}

static bool receive(struct connection *connection)
{
    ssize_t n;

    if (connection->bytes)
        return true;
    connection->buffer = malloc(BUFFER_MAX);
    if (!connection->buffer)
        die("malloc");
    n = recv(connection->fd, connection->buffer, BUFFER_MAX, 0);
    if (n < 0 && errno != EAGAIN)
        return false;
    connection->ended = n == 0;
    connection->bytes = n > 0 ? (size_t)n : 0;
    return true;
}

static void serve(struct connection *connection, uint32_t events)
{
    bool waited = connection->bytes > 0, alive = true;

    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        alive = receive(connection);
    if (alive)
        alive = send_rest(connection);
    if (!alive) {
        drop(connection);
        return;
    }
    if (waited != (connection->bytes > 0))
        watch(EPOLL_CTL_MOD, connection->fd,
              connection->bytes ? EPOLLOUT : EPOLLIN);
}

static bool echo_datagrams(void)
{
    static char buffer[65536];
    struct sockaddr_in6 from;
    socklen_t bytes = sizeof(from);
    ssize_t n;

    while ((n = recvfrom(datagrams, buffer, sizeof(buffer), 0,
                         (struct sockaddr *)&from, &bytes)) >= 0) {
        sendto(datagrams, buffer, (size_t)n, 0, (struct sockaddr *)&from,
               bytes);
        if (n == 4 && memcmp(buffer, "quit", 4) == 0)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    unsigned port = argc > 1 ? (unsigned)atoi(argv[1]) : 7;
    struct epoll_event events[EVENTS];

    loop = epoll_create1(0);
    listener = open_socket(SOCK_STREAM, port);
    datagrams = open_socket(SOCK_DGRAM, port);
    if (listen(listener, 4096))
        die("listen");
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(loop, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;

            if (fd == listener)
                accept_all();
            else if (fd == datagrams && !echo_datagrams())
                return 0;
            else if (fd != datagrams && connections[fd])
                serve(connections[fd], events[i].events);
        }
    }
}
