/* SPDX-License-Identifier: MIT */
/* TCP: arguments, options, connections, resets, bulk, many at once. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include "sockets.h"

void test_arguments(void)
{
    union address address = {0};
    int fd, number;

    printf("-- arguments\n");
    show_fd("socket of no family", socket(77, SOCK_STREAM, 0));
    show_fd("socket of no type", socket(AF_INET, 77, 0));
    show_fd("socket of a type that is not there",
            socket(AF_INET, SOCK_SEQPACKET, 0));
    show_fd("socket of another protocol",
            socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    show_fd("socket of unix of another protocol",
            socket(AF_UNIX, SOCK_STREAM, 5));
    show("bind of no descriptor", bind(99, &address.any, sizeof(address)));
    show("bind of standard output", bind(1, &address.any, sizeof(address)));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    show("flags", (fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE)));
    show("descriptor flags", fcntl(fd, F_GETFD));
    show("bind, too short", bind(fd, &address.any, 3));
    address.any.sa_family = AF_INET6;
    show("bind of another family", bind(fd, &address.any, sizeof(address.in6)));
    loopback(&address, AF_INET, 0);
    address.in.sin_addr.s_addr = inet_addr("203.0.113.77");
    show("bind to another's address",
         bind(fd, &address.any, sizeof(address.in)));
    show("accept without listen", accept(fd, NULL, NULL));
    show("send without connection", send(fd, "x", 1, MSG_NOSIGNAL));
    show("receive without connection", recv(fd, &number, 1, 0));
    show("shutdown without connection", shutdown(fd, SHUT_WR));
    show("shutdown of nothing", shutdown(fd, 7));
    show_name("name", fd, false);
    show_name("peer", fd, true);
    show_events("events of a new one", fd);
    show("option that is not there", set_int(fd, SOL_SOCKET, 9999, 1));
    show("option of TCP that is not there", set_int(fd, IPPROTO_TCP, 9999, 1));
    show("option that is short",
         setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &number, 1));
    show("lseek", lseek(fd, 0, SEEK_SET));
    show("pread", pread(fd, &number, 1, 0));
    close(fd);
    show("close", fcntl(fd, F_GETFD));
}

void test_options(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int fd6 = socket(AF_INET6, SOCK_DGRAM, 0);
    struct timeval time = {3, 500000};
    struct linger linger = {1, 7};
    socklen_t bytes;

    printf("-- options\n");
    show("SO_TYPE", get_int(fd, SOL_SOCKET, SO_TYPE));
    show("SO_DOMAIN", get_int(fd, SOL_SOCKET, SO_DOMAIN));
    show("SO_PROTOCOL", get_int(fd, SOL_SOCKET, SO_PROTOCOL));
    show("SO_ERROR", get_int(fd, SOL_SOCKET, SO_ERROR));
    show("SO_ACCEPTCONN", get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
    show("SO_REUSEADDR before", get_int(fd, SOL_SOCKET, SO_REUSEADDR));
    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 5);
    show("SO_REUSEADDR", get_int(fd, SOL_SOCKET, SO_REUSEADDR));
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    show("SO_KEEPALIVE", get_int(fd, SOL_SOCKET, SO_KEEPALIVE));
    set_int(fd, SOL_SOCKET, SO_SNDBUF, 50000);
    show("SO_SNDBUF", get_int(fd, SOL_SOCKET, SO_SNDBUF));
    set_int(fd, SOL_SOCKET, SO_RCVBUF, 1);
    show("SO_RCVBUF", get_int(fd, SOL_SOCKET, SO_RCVBUF));
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    show("TCP_NODELAY", get_int(fd, IPPROTO_TCP, TCP_NODELAY));
    show("TCP_KEEPIDLE", get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE));
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
    show("TCP_KEEPIDLE set", get_int(fd, IPPROTO_TCP, TCP_KEEPIDLE));
    show("TCP_KEEPIDLE of 0", set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 0));
    show("TCP_KEEPCNT", get_int(fd, IPPROTO_TCP, TCP_KEEPCNT));
    show("IP_TTL", get_int(fd, IPPROTO_IP, IP_TTL));
    set_int(fd, IPPROTO_IP, IP_TOS, 0x10);
    show("IP_TOS", get_int(fd, IPPROTO_IP, IP_TOS));
    show("IPV6_V6ONLY of IPv4", set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    show("IPV6_V6ONLY before", get_int(fd6, IPPROTO_IPV6, IPV6_V6ONLY));
    set_int(fd6, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    show("IPV6_V6ONLY", get_int(fd6, IPPROTO_IPV6, IPV6_V6ONLY));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
    memset(&time, 0, sizeof(time));
    bytes = sizeof(time);
    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &bytes);
    printf("SO_RCVTIMEO: %ld.%06ld\n", (long)time.tv_sec, (long)time.tv_usec);
    time.tv_usec = 1000000;
    show("SO_SNDTIMEO out of range",
         setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    memset(&linger, 0, sizeof(linger));
    bytes = sizeof(linger);
    getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &bytes);
    printf("SO_LINGER: %d %d\n", linger.l_onoff, linger.l_linger);
    close(fd);
    close(fd6);
}

void test_connection(int family)
{
    int listener = listen_on(family, 0, 5), client, server, again;
    unsigned port = port_of(listener);
    char buffer[64] = {0};
    union address address;
    socklen_t bytes;
    int count;

    printf("-- connection, family %s\n", family == AF_INET ? "4" : "6");
    show_events("listening", listener);
    show("SO_ACCEPTCONN", get_int(listener, SOL_SOCKET, SO_ACCEPTCONN));
    again = socket(family, SOCK_STREAM, 0);
    bytes = loopback(&address, family, port);
    show("bind to a port in use", bind(again, &address.any, bytes));
    close(again);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    show("accept of nobody", accept(listener, NULL, NULL));
    client = socket(family, SOCK_STREAM, 0);
    fcntl(client, F_SETFL, O_NONBLOCK);
    show("connect", connect(client, &address.any, bytes));
    wait_for(client, POLLOUT);
    show("SO_ERROR", get_int(client, SOL_SOCKET, SO_ERROR));
    show("connect again", connect(client, &address.any, bytes));
    show("connect once more", connect(client, &address.any, bytes));
    wait_for(listener, POLLIN);
    show_events("somebody to accept", listener);
    server = show_fd("accept", accept4(listener, NULL, NULL, SOCK_CLOEXEC));
    show("not O_NONBLOCK", fcntl(server, F_GETFL) & O_NONBLOCK);
    show_name("client", client, false);
    show_name("client's peer", client, true);
    show_name("server's peer", server, true);
    show("receive of nothing", recv(client, buffer, 1, 0));
    show_events("client", client);
    show("send", send(client, "hello", 5, 0));
    wait_for(server, POLLIN);
    show_events("server has data", server);
    ioctl(server, FIONREAD, &count);
    show("FIONREAD", count);
    show("peek", recv(server, buffer, 3, MSG_PEEK));
    show("receive", recv(server, buffer, sizeof(buffer), 0));
    printf("%s\n", buffer);
    show("send back", send(server, "world!", 6, 0));
    wait_for(client, POLLIN);
    show("receive part", recv(client, buffer, 2, 0));
    show("receive rest", recv(client, buffer + 2, 60, 0));
    printf("%s\n", buffer);
    show("shutdown", shutdown(client, SHUT_WR));
    wait_for(server, POLLIN);
    show_events("server at the end", server);
    show("end", recv(server, buffer, 1, 0));
    show_events("client half closed", client);
    show("send after shutdown", send(client, "x", 1, MSG_NOSIGNAL));
    show("server still sends", send(server, "bye", 3, 0));
    wait_for(client, POLLIN);
    show("client receives", recv(client, buffer, 60, 0));
    close(server);
    wait_for(client, POLLRDHUP);
    show("client's end", recv(client, buffer, 60, 0));
    show_events("client closed", client);
    close(client);
    close(listener);
}

void test_reset(void)
{
    struct pair pair = make_pair(AF_INET);
    struct linger linger = {1, 0};
    char buffer[16];
    int fd;

    printf("-- reset\n");
    setsockopt(pair.server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(pair.server);
    wait_for(pair.client, POLLIN);
    show_events("events", pair.client);
    show("receive", recv(pair.client, buffer, 1, 0));
    show("receive again", recv(pair.client, buffer, 1, 0));
    show("send", send(pair.client, "x", 1, MSG_NOSIGNAL));
    show_events("events after", pair.client);
    close(pair.client);

    pair = make_pair(AF_INET);
    send(pair.client, "unread", 6, 0);
    wait_for(pair.server, POLLIN);
    close(pair.server);
    wait_for(pair.client, POLLIN);
    show("closed with data unread", recv(pair.client, buffer, 1, 0));
    close(pair.client);

    fd = listen_on(AF_INET, 0, 1);
    pair.client = port_of(fd);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    {
        union address address;
        socklen_t bytes = loopback(&address, AF_INET, (unsigned)pair.client);

        show("connect to nobody", connect(fd, &address.any, bytes));
        fcntl(fd, F_SETFL, O_NONBLOCK);
        show("connect without waiting", connect(fd, &address.any, bytes));
        wait_for(fd, POLLOUT);
        show_events("refused", fd);
        show("SO_ERROR is ECONNREFUSED",
             get_int(fd, SOL_SOCKET, SO_ERROR) == ECONNREFUSED);
        show("SO_ERROR again", get_int(fd, SOL_SOCKET, SO_ERROR));
        show_events("after SO_ERROR", fd);
    }
    close(fd);
}

static volatile sig_atomic_t pipes;

static void count_pipe(int number)
{
    (void)number;
    pipes = pipes + 1;
}

void test_pipe_signal(void)
{
    struct pair pair = make_pair(AF_INET);
    int fds[2];

    printf("-- SIGPIPE\n");
    signal(SIGPIPE, count_pipe);
    shutdown(pair.client, SHUT_WR);
    show("write", write(pair.client, "x", 1));
    show("signals", pipes);
    show("send quietly", send(pair.client, "x", 1, MSG_NOSIGNAL));
    show("signals", pipes);
    socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    close(fds[1]);
    show("unix", write(fds[0], "x", 1));
    show("signals", pipes);
    close(fds[0]);
    close(pair.client);
    close(pair.server);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Sends and receives at once, in pieces of all sizes, and compares. */
void test_bulk(int family)
{
    enum { BYTES = 4 << 20, PIECE = 100000 };
    static unsigned char out[PIECE], in[PIECE];
    struct pair pair = make_pair(family);
    uint32_t write_state = 1, read_state = 1, sizes = 7;
    size_t sent = 0, got = 0, wrong = 0, left = 0;

    printf("-- bulk, family %s\n", family == AF_INET ? "4" : "6");
    fcntl(pair.client, F_SETFL, O_NONBLOCK);
    fcntl(pair.server, F_SETFL, O_NONBLOCK);
    while (got < BYTES) {
        ssize_t n;

        if (left == 0 && sent < BYTES) {
            left = next_random(&sizes) % PIECE + 1;
            if (left > BYTES - sent)
                left = BYTES - sent;
            for (size_t i = 0; i < left; i++)
                out[PIECE - left + i] =
                    (unsigned char)next_random(&write_state);
        }
        if (left > 0) {
            n = send(pair.client, out + PIECE - left, left, 0);
            if (n > 0) {
                left -= (size_t)n;
                sent += (size_t)n;
            }
        }
        if (next_random(&sizes) % 3 == 0)
            continue;
        n = recv(pair.server, in, next_random(&sizes) % PIECE + 1, 0);
        for (ssize_t i = 0; i < n; i++)
            wrong += in[i] != (unsigned char)next_random(&read_state);
        if (n > 0)
            got += (size_t)n;
    }
    printf("received %zu, wrong %zu\n", got, wrong);
    close(pair.client);
    close(pair.server);
}

void test_many(void)
{
    enum { MANY = 200 };
    int listener = listen_on(AF_INET, 0, 511), fds[MANY], sum = 0;
    unsigned port = port_of(listener);
    int accepted[MANY];

    printf("-- many\n");
    for (int i = 0; i < MANY; i++)
        fds[i] = connect_to(AF_INET, port);
    for (int i = 0; i < MANY; i++)
        accepted[i] = accept(listener, NULL, NULL);
    for (int i = 0; i < MANY; i++) {
        unsigned char byte = (unsigned char)i;

        send(fds[i], &byte, 1, 0);
    }
    for (int i = 0; i < MANY; i++) {
        unsigned char byte = 0;

        sum += (int)recv(accepted[i], &byte, 1, 0) + byte;
    }
    printf("sum %d\n", sum);
    for (int i = 0; i < MANY; i++) {
        close(fds[i]);
        close(accepted[i]);
    }
    close(listener);
}
