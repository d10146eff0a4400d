/* SPDX-License-Identifier: MIT */
/* AF_UNIX: pairs, names, descriptors and credentials. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "sockets.h"

void test_socketpair(int type, const char *name)
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

void test_unix(void)
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

/* Sends copies of `fd`, `count` of them, with one byte. */
static void send_rights(int to, int fd, unsigned count)
{
    union {
        char bytes[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    char byte = 'x';
    struct iovec piece = {&byte, 1};
    struct msghdr header = {.msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *message = CMSG_FIRSTHDR(&header);

    message->cmsg_level = SOL_SOCKET;
    message->cmsg_type = SCM_RIGHTS;
    message->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (unsigned i = 0; i < count; i++)
        memcpy(CMSG_DATA(message) + i * sizeof(int), &fd, sizeof(int));
    show("sendmsg", sendmsg(to, &header, 0));
}

/* Receives that, with room for so many bytes, and closes what came. */
static void receive_rights(int from, size_t room)
{
    union {
        char bytes[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    char byte;
    struct iovec piece = {&byte, 1};
    struct msghdr header = {.msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = room};
    struct cmsghdr *message;

    show("recvmsg", recvmsg(from, &header, 0));
    message = CMSG_FIRSTHDR(&header);
    printf("flags %x, %u bytes of control\n", header.msg_flags,
           (unsigned)header.msg_controllen);
    for (size_t at = CMSG_LEN(0); message && at < message->cmsg_len;
         at += sizeof(int)) {
        int fd;

        memcpy(&fd, (char *)message + at, sizeof(fd));
        show("close", close(fd));
    }
}

/* What there is no room for, or no descriptor, is closed and told of. */
void test_rights_without_room(void)
{
    struct rlimit limit, few;
    int fds[2], pipe_fds[2], next;
    char byte;

    printf("-- SCM_RIGHTS without room\n");
    socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    pipe(pipe_fds);
    next = dup(0);
    close(next);
    getrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned more = 0; more <= 3; more++) {
        send_rights(fds[0], pipe_fds[1], 3);
        few = (struct rlimit){(rlim_t)next + more, limit.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        receive_rights(fds[1], CMSG_SPACE(3 * sizeof(int)));
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    for (size_t room = 0; room <= CMSG_SPACE(3 * sizeof(int)); room += 4) {
        send_rights(fds[0], pipe_fds[1], 3);
        receive_rights(fds[1], room);
    }
    close(pipe_fds[1]);
    show("end", read(pipe_fds[0], &byte, 1));
    show("dup", dup(0) == next);
    close(next);
    close(pipe_fds[0]);
    close(fds[0]);
    close(fds[1]);
}

void test_rights(void)
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
