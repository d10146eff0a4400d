/* SPDX-License-Identifier: MIT */
/* Sockets within one machine: prints what each call returns. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* struct ucred */
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/*
 * As a Linux process it prints the same lines: tests compare them. Numbers that
 * differ from run to run (ports) are not printed.
 */

static const char *error_name(int error)
{
    static char number[16];

    switch (error) {
#define NAME(e) \
    case e:     \
        return #e
        NAME(EAGAIN);
        NAME(EBADF);
        NAME(EINVAL);
        NAME(ENOTSOCK);
        NAME(EPIPE);
        NAME(ENOENT);
        NAME(EFAULT);
        NAME(ENOTCONN);
        NAME(EISCONN);
        NAME(EALREADY);
        NAME(EINPROGRESS);
        NAME(ECONNREFUSED);
        NAME(ECONNRESET);
        NAME(EADDRINUSE);
        NAME(EADDRNOTAVAIL);
        NAME(EAFNOSUPPORT);
        NAME(EPROTONOSUPPORT);
        NAME(ESOCKTNOSUPPORT);
        NAME(EOPNOTSUPP);
        NAME(ENOPROTOOPT);
        NAME(EDESTADDRREQ);
        NAME(EMSGSIZE);
        NAME(EACCES);
        NAME(EPROTOTYPE);
        NAME(ENETUNREACH);
        NAME(ETIMEDOUT);
        NAME(EDOM);
#undef NAME
    default:
        snprintf(number, sizeof(number), "errno %d", error);
        return number;
    }
}

static long show(const char *what, long result)
{
    int error = errno;

    if (result < 0)
        printf("%s: %s\n", what, error_name(error));
    else
        printf("%s: %ld\n", what, result);
    return result;
}

/* For calls that return a descriptor. */
static int show_fd(const char *what, int fd)
{
    show(what, fd < 0 ? -1 : 0);
    return fd;
}

static void show_events(const char *what, int fd)
{
    static const struct {
        short bit;
        const char *name;
    } names[] = {{POLLIN, "IN"},   {POLLOUT, "OUT"},     {POLLERR, "ERR"},
                 {POLLHUP, "HUP"}, {POLLRDHUP, "RDHUP"}, {POLLNVAL, "NVAL"}};
    struct pollfd entry = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};

    poll(&entry, 1, 0);
    printf("%s:", what);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (entry.revents & names[i].bit)
            printf(" %s", names[i].name);
    printf("\n");
}

static void wait_for(int fd, short events)
{
    struct pollfd entry = {fd, events, 0};

    if (poll(&entry, 1, 5000) != 1)
        printf("timeout\n");
}

static int get_int(int fd, int level, int option)
{
    int value = -1;
    socklen_t bytes = sizeof(value);

    if (getsockopt(fd, level, option, &value, &bytes))
        return -errno;
    return value;
}

static int set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value));
}

/* ---- Addresses ----------------------------------------------------------- */

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static socklen_t loopback(union address *address, int family, unsigned port)
{
    memset(address, 0, sizeof(*address));
    address->any.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        address->in.sin_port = htons((uint16_t)port);
        address->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof(address->in);
    }
    address->in6.sin6_port = htons((uint16_t)port);
    address->in6.sin6_addr = in6addr_loopback;
    return sizeof(address->in6);
}

static unsigned port_of(int fd)
{
    union address address;
    socklen_t bytes = sizeof(address);

    getsockname(fd, &address.any, &bytes);
    return ntohs(address.in.sin_port);
}

static void show_name(const char *what, int fd, bool peer)
{
    union address address;
    socklen_t bytes = sizeof(address);
    char text[64] = "?";

    if (peer ? getpeername(fd, &address.any, &bytes)
             : getsockname(fd, &address.any, &bytes)) {
        show(what, -1);
        return;
    }
    if (address.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &address.in.sin_addr, text, sizeof(text));
    else
        inet_ntop(AF_INET6, &address.in6.sin6_addr, text, sizeof(text));
    printf("%s: %s %s, %u bytes\n", what, text,
           address.in.sin_port ? "port" : "no port", bytes);
}

/* Listens on the loopback. Returns the descriptor. */
static int listen_on(int family, unsigned port, int backlog)
{
    union address address;
    socklen_t bytes = loopback(&address, family, port);
    int fd = socket(family, SOCK_STREAM, 0);

    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, &address.any, bytes) || listen(fd, backlog))
        show("listen_on", -1);
    return fd;
}

static int connect_to(int family, unsigned port)
{
    union address address;
    socklen_t bytes = loopback(&address, family, port);
    int fd = socket(family, SOCK_STREAM, 0);

    if (connect(fd, &address.any, bytes))
        show("connect_to", -1);
    return fd;
}

struct pair {
    int client, server;
};

static struct pair make_pair(int family)
{
    int listener = listen_on(family, 0, 5);
    struct pair pair;

    pair.client = connect_to(family, port_of(listener));
    pair.server = accept(listener, NULL, NULL);
    close(listener);
    return pair;
}

/* ---- The pieces ---------------------------------------------------------- */

static void test_arguments(void)
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

static void test_options(void)
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

static void test_connection(int family)
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

static void test_reset(void)
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

static void test_pipe_signal(void)
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
static void test_bulk(int family)
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

static void test_datagrams(int family)
{
    int one = socket(family, SOCK_DGRAM, 0);
    int other = socket(family, SOCK_DGRAM, 0);
    union address address, from;
    socklen_t bytes = loopback(&address, family, 0), from_bytes;
    static char big[60000], buffer[60001];
    struct iovec pieces[2] = {{(char[]){"ab"}, 2}, {(char[]){"cde"}, 3}};
    struct msghdr header = {.msg_iov = pieces, .msg_iovlen = 2};
    int count = -1;

    printf("-- datagrams, family %s\n", family == AF_INET ? "4" : "6");
    show("send to nowhere", send(one, "x", 1, 0));
    show("bind", bind(one, &address.any, bytes));
    show("bind twice", bind(one, &address.any, bytes));
    bytes = loopback(&address, family, port_of(one));
    show_events("new", other);
    show("sendto", sendto(other, "hello", 5, 0, &address.any, bytes));
    wait_for(one, POLLIN);
    ioctl(one, FIONREAD, &count);
    show("FIONREAD", count);
    from_bytes = sizeof(from);
    show("recvfrom, cut",
         recvfrom(one, buffer, 3, MSG_TRUNC, &from.any, &from_bytes));
    show("from the other's port",
         from.in.sin_port == htons((uint16_t)port_of(other)));
    show("address bytes", from_bytes);
    show("receive of nothing", recv(one, buffer, 1, MSG_DONTWAIT));
    show("empty", sendto(other, "", 0, 0, &address.any, bytes));
    wait_for(one, POLLIN);
    show("receive empty", recv(one, buffer, 10, 0));
    show("connect", connect(other, &address.any, bytes));
    show_name("connected", other, false);
    show_name("connected to", other, true);
    show("sendmsg", sendmsg(other, &header, 0));
    wait_for(one, POLLIN);
    header.msg_iov[0] = (struct iovec){buffer, 1};
    header.msg_iov[1] = (struct iovec){buffer + 1, 2};
    show("recvmsg", recvmsg(one, &header, 0));
    show("truncated", (header.msg_flags & MSG_TRUNC) != 0);
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 7);
    show("big", send(other, big, sizeof(big), 0));
    wait_for(one, POLLIN);
    show("receive big", recv(one, buffer, sizeof(buffer), 0));
    show("the same", memcmp(big, buffer, sizeof(big)) == 0);
    show("too big", sendto(other, buffer, 70000, 0, &address.any, bytes));
    {
        struct timeval time = {0, 20000};

        setsockopt(one, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
        show("timeout", recv(one, buffer, 1, 0));
    }
    close(one);
    close(other);
}

static void test_dual(void)
{
    union address address = {0};
    int listener = socket(AF_INET6, SOCK_STREAM, 0), client, server;

    printf("-- IPv4 at an IPv6 socket\n");
    address.in6.sin6_family = AF_INET6;
    show("bind", bind(listener, &address.any, sizeof(address.in6)));
    show("listen", listen(listener, 5));
    client = connect_to(AF_INET, port_of(listener));
    server = show_fd("accept", accept(listener, NULL, NULL));
    show_name("peer", server, true);
    show_name("own", server, false);
    close(client);
    close(server);
    close(listener);
    listener = socket(AF_INET6, SOCK_STREAM, 0);
    set_int(listener, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    bind(listener, &address.any, sizeof(address.in6));
    listen(listener, 5);
    client = socket(AF_INET, SOCK_STREAM, 0);
    loopback(&address, AF_INET, port_of(listener));
    show("IPv6 only", connect(client, &address.any, sizeof(address.in)));
    close(client);
    close(listener);
}

static void test_many(void)
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

/* ---- AF_UNIX ------------------------------------------------------------- */

static void test_socketpair(int type, const char *name)
{
    char buffer[64];
    int fds[2];

    printf("-- socketpair, %s\n", name);
    show("socketpair", socketpair(AF_UNIX, type, 0, fds));
    show_events("new", fds[0]);
    show("send", send(fds[0], "abc", 3, 0));
    show("send", send(fds[0], "def", 3, 0));
    show_events("data", fds[1]);
    show("receive", recv(fds[1], buffer, 4, 0));
    show("receive", recv(fds[1], buffer, 60, MSG_DONTWAIT));
    show("receive", recv(fds[1], buffer, 60, MSG_DONTWAIT));
    show("shutdown", shutdown(fds[0], SHUT_WR));
    show_events("after shutdown", fds[1]);
    show("write", send(fds[0], "x", 1, MSG_NOSIGNAL));
    send(fds[1], "left", 4, 0);
    close(fds[0]);
    show_events("closed", fds[1]);
    show("receive", recv(fds[1], buffer, 60, MSG_DONTWAIT));
    show("send to nobody", send(fds[1], "x", 1, MSG_NOSIGNAL));
    close(fds[1]);
}

static socklen_t unix_name(struct sockaddr_un *name, const char *path)
{
    memset(name, 0, sizeof(*name));
    name->sun_family = AF_UNIX;
    memcpy(name->sun_path, path, strlen(path) + 1);
    return (socklen_t)(sizeof(sa_family_t) + strlen(path) + 1);
}

static void test_unix(void)
{
    struct sockaddr_un name, other;
    socklen_t bytes = unix_name(&name, "/tmp/mayfly-socket-test");
    socklen_t other_bytes = sizeof(other);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client, server;
    struct ucred peer;
    socklen_t peer_bytes = sizeof(peer);
    char buffer[64] = {0};

    printf("-- unix\n");
    unlink(name.sun_path);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    show_events("new", client);
    show("connect to nobody", connect(client, (struct sockaddr *)&name, bytes));
    show("listen unbound", listen(listener, 5));
    show("bind", bind(listener, (struct sockaddr *)&name, bytes));
    show("bind again", bind(client, (struct sockaddr *)&name, bytes));
    show("connect before listen",
         connect(client, (struct sockaddr *)&name, bytes));
    show("listen", listen(listener, 5));
    show("connect", connect(client, (struct sockaddr *)&name, bytes));
    show_events("listening", listener);
    server = show_fd("accept",
                     accept(listener, (struct sockaddr *)&other, &other_bytes));
    show("client's name", other_bytes);
    other_bytes = sizeof(other);
    getpeername(client, (struct sockaddr *)&other, &other_bytes);
    printf("peer %s, %u\n", other.sun_path, other_bytes);
    getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes);
    show("peer is me", peer.pid == getpid());
    send(client, "to server", 9, 0);
    show("receive", recv(server, buffer, 60, 0));
    printf("%s\n", buffer);
    close(server);
    show("end", recv(client, buffer, 60, 0));
    close(client);
    close(listener);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    show("connect, file left",
         connect(client, (struct sockaddr *)&name, bytes));
    show("unlink", unlink(name.sun_path));
    show("connect, gone", connect(client, (struct sockaddr *)&name, bytes));
    close(client);
}

static void test_rights(void)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    char byte = 'x';
    struct iovec piece = {&byte, 1};
    struct msghdr header = {.msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};
    struct cmsghdr *message = CMSG_FIRSTHDR(&header);
    int fds[2], pipes_fds[2], got = -1;
    char buffer[8] = {0};

    printf("-- SCM_RIGHTS\n");
    socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    pipe(pipes_fds);
    message->cmsg_level = SOL_SOCKET;
    message->cmsg_type = SCM_RIGHTS;
    message->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(message), &pipes_fds[1], sizeof(int));
    show("sendmsg", sendmsg(fds[0], &header, 0));
    close(pipes_fds[1]);
    memset(&control, 0, sizeof(control));
    header.msg_controllen = sizeof(control);
    show("recvmsg", recvmsg(fds[1], &header, 0));
    message = CMSG_FIRSTHDR(&header);
    if (message && message->cmsg_type == SCM_RIGHTS)
        memcpy(&got, CMSG_DATA(message), sizeof(got));
    show("write", write(got, "passed", 6));
    show("read", read(pipes_fds[0], buffer, 7));
    printf("%s\n", buffer);
    close(got);
    show("end", read(pipes_fds[0], buffer, 7));
    close(pipes_fds[0]);
    close(fds[0]);
    close(fds[1]);
}

static void test_interfaces(void)
{
    struct ifaddrs *all, *each;
    bool loop4 = false, loop6 = false;

    printf("-- interfaces\n");
    show("if_nametoindex", if_nametoindex("lo"));
    if (show("getifaddrs", getifaddrs(&all)) < 0)
        return;
    for (each = all; each; each = each->ifa_next) {
        if (!each->ifa_addr || strcmp(each->ifa_name, "lo") != 0)
            continue;
        loop4 |= each->ifa_addr->sa_family == AF_INET;
        loop6 |= each->ifa_addr->sa_family == AF_INET6;
    }
    printf("lo: %d %d\n", loop4, loop6);
    freeifaddrs(all);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    test_arguments();
    test_options();
    test_connection(AF_INET);
    test_connection(AF_INET6);
    test_reset();
    test_pipe_signal();
    test_datagrams(AF_INET);
    test_datagrams(AF_INET6);
    test_dual();
    test_bulk(AF_INET);
    test_bulk(AF_INET6);
    test_many();
    test_socketpair(SOCK_STREAM, "stream");
    test_socketpair(SOCK_DGRAM, "datagrams");
    test_socketpair(SOCK_SEQPACKET, "packets");
    test_unix();
    test_rights();
    test_interfaces();
    return 0;
}
