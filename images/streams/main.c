/* SPDX-License-Identifier: MIT */
/* Streams of a VM that has a socket device and no network card. */

/*
 *   streams serve N       accepts N connections at port 80, one after the
 *                         other, and sends back what comes
 *   streams poll N        the same, by epoll
 *   streams vsock N       the same, by AF_VSOCK
 *   streams hold          accepts one, takes a byte of it, comes to a snapshot
 *                         point, tells what it reads then, and serves another
 *   streams ask HOST PORT connects, sends a line, prints the answer
 *   streams within        both ends in this VM
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <mayfly/snapshot.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 80

static void fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_at(int family)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sockaddr_vm vm = {
        .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = PORT};
    int fd = socket(family, SOCK_STREAM, 0);

    if (fd < 0 ||
        (family == AF_VSOCK ? bind(fd, (struct sockaddr *)&vm, sizeof(vm))
                            : bind(fd, (struct sockaddr *)&any, sizeof(any))))
        fail("bind");
    if (listen(fd, 16))
        fail("listen");
    printf("listening\n");
    fflush(stdout);
    return fd;
}

static void print_peer(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_vm vm;
    } name;
    socklen_t bytes = sizeof(name);

    if (getpeername(fd, &name.any, &bytes))
        fail("getpeername");
    if (name.any.sa_family == AF_VSOCK)
        printf("from CID %u: ", name.vm.svm_cid);
    else
        printf("from %s: ", inet_ntoa(name.in.sin_addr));
}

static void wait_readable(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0);

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ||
        epoll_wait(epoll, &event, 1, -1) != 1)
        fail("epoll");
    close(epoll);
}

/* Sends back what comes. */
static void echo(int fd)
{
    static char buffer[65536];
    size_t total = 0;
    ssize_t bytes;

    while ((bytes = read(fd, buffer, sizeof(buffer))) > 0) {
        total += (size_t)bytes;
        for (ssize_t done = 0, part; done < bytes; done += part) {
            part = write(fd, buffer + done, (size_t)(bytes - done));
            if (part < 0)
                fail("write");
        }
    }
    if (bytes < 0)
        printf("%s after ", strerror(errno));
    printf("%zu bytes\n", total);
    fflush(stdout);
}

static int serve(int family, int count, int polls)
{
    int listener = listen_at(family);

    if (polls)
        fcntl(listener, F_SETFL, O_NONBLOCK);
    while (count-- > 0) {
        int fd;

        if (polls)
            wait_readable(listener);
        fd = accept(listener, NULL, NULL);
        if (fd < 0)
            fail("accept");
        print_peer(fd);
        echo(fd);
        close(fd);
    }
    return 0;
}

static int hold(void)
{
    int listener = listen_at(AF_INET), fd = accept(listener, NULL, NULL);
    int restored;
    char byte;

    if (fd < 0 || read(fd, &byte, 1) != 1)
        fail("accept");
    fflush(stdout);
    restored = mayfly_snapshot_point();
    printf("restored %d: ", restored);
    echo(fd);
    close(fd);
    fd = accept(listener, NULL, NULL);
    print_peer(fd);
    echo(fd);
    return 0;
}

static int ask(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *to;
    char answer[256];
    ssize_t bytes;
    int fd, error = getaddrinfo(host, port, &hints, &to);

    if (error) {
        printf("%s: %s\n", host, gai_strerror(error));
        return 1;
    }
    fd = socket(to->ai_family, SOCK_STREAM, 0);
    if (connect(fd, to->ai_addr, to->ai_addrlen))
        fail("connect");
    if (write(fd, "question\n", 9) != 9)
        fail("write");
    shutdown(fd, SHUT_WR);
    bytes = recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL);
    if (bytes < 0)
        fail("recv");
    printf("%.*s", (int)bytes, answer);
    return 0;
}

static int within(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(PORT),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = listen_at(AF_INET), one = socket(AF_INET, SOCK_STREAM, 0);
    int other;
    char text[8] = "";

    if (connect(one, (struct sockaddr *)&to, sizeof(to)))
        fail("connect");
    other = accept(listener, NULL, NULL);
    print_peer(other);
    if (write(one, "hello", 5) != 5 || read(other, text, sizeof(text)) != 5)
        fail("write");
    printf("%s\n", text);
    to.sin_addr.s_addr = htonl(0x08080808);
    close(one);
    one = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(one, (struct sockaddr *)&to, sizeof(to)))
        printf("8.8.8.8: %s\n", strerror(errno));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(9);
    if (connect(one, (struct sockaddr *)&to, sizeof(to)))
        printf("port 9: %s\n", strerror(errno));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve(AF_INET, atoi(argv[2]), 0);
    if (argc == 3 && strcmp(argv[1], "poll") == 0)
        return serve(AF_INET, atoi(argv[2]), 1);
    if (argc == 3 && strcmp(argv[1], "vsock") == 0)
        return serve(AF_VSOCK, atoi(argv[2]), 0);
    if (argc == 2 && strcmp(argv[1], "hold") == 0)
        return hold();
    if (argc == 4 && strcmp(argv[1], "ask") == 0)
        return ask(argv[2], argv[3]);
    if (argc == 2 && strcmp(argv[1], "within") == 0)
        return within();
    fprintf(stderr, "streams: serve N | poll N | vsock N | hold | "
                    "ask HOST PORT | within\n");
    return 2;
}
