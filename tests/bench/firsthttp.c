/* SPDX-License-Identifier: MIT */
/* Time from starting a server to its first HTTP answer, or to first output. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * firsthttp ADDRESS:PORT|- COMMAND...: starts the command and prints the
 * microseconds until it has answered a request at that address, or, for `-`,
 * has written its first byte. A connection that is not there after 100 us is
 * given up for a new one.
 */

#define RETRY_NS 100000
#define LIMIT_NS 5000000000ll
#define REQUEST \
    "GET /health HTTP/1.1\r\nHost: mayfly\r\nConnection: close\r\n\r\n"

static long long now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "firsthttp: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Waits for events on a socket; returns whether they came. */
static int await(int fd, short events, long long ns)
{
    struct pollfd entry = {.fd = fd, .events = events};
    struct timespec time = {ns / 1000000000, ns % 1000000000};

    return ppoll(&entry, 1, &time, NULL) == 1;
}

/* Returns a connection, or -1 if there is none yet. */
static int try_connect(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int error = 0;
    socklen_t bytes = sizeof(error);
    struct linger hard = {1, 0}; /* nothing of it stays behind */

    if (fd < 0)
        die("socket");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0)
        return fd;
    if (errno == EINPROGRESS && await(fd, POLLOUT, RETRY_NS) &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 && !error)
        return fd;
    close(fd);
    return -1;
}

static void await_answer(const char *where, long long start)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    char address[64], answer[64];
    const char *colon = strchr(where, ':');
    int fd;

    if (!colon || (size_t)(colon - where) >= sizeof(address))
        die(where);
    memcpy(address, where, (size_t)(colon - where));
    address[colon - where] = '\0';
    to.sin_port = htons((unsigned short)atoi(colon + 1));
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
        die(where);
    while ((fd = try_connect(&to)) < 0)
        if (now_ns() - start > LIMIT_NS)
            die("no answer");
    if (send(fd, REQUEST, strlen(REQUEST), MSG_NOSIGNAL) < 0)
        die("send");
    if (!await(fd, POLLIN, LIMIT_NS) ||
        recv(fd, answer, sizeof(answer), 0) < 12 ||
        memcmp(answer, "HTTP/1.", 7) != 0)
        die("recv");
    close(fd);
}

int main(int argc, char **argv)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    long long start, end;
    int output[2], error;
    pid_t child;
    char byte;

    if (argc < 3)
        die("usage: firsthttp ADDRESS:PORT|- COMMAND...");
    if (pipe(output))
        die("pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output[1], 1);
    posix_spawn_file_actions_addclose(&actions, output[0]);
    start = now_ns();
    error = posix_spawnp(&child, argv[2], &actions, NULL, argv + 2, environ);
    if (error) {
        errno = error;
        die(argv[2]);
    }
    close(output[1]);
    if (strcmp(argv[1], "-") != 0)
        await_answer(argv[1], start);
    else if (read(output[0], &byte, 1) != 1)
        die("no output");
    end = now_ns();
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    printf("%.1f\n", (double)(end - start) / 1000);
    return 0;
}
