/* SPDX-License-Identifier: MIT */
/* Sends or receives as many bytes as one TCP connection takes. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/*
 * tcpbulk in|out: a server on port 5001 that takes bytes in or sends them out,
 * one connection after the other. tcpbulk in|out ADDRESS SECONDS: its client,
 * which prints how many Gbit/s went into or out of the server.
 */

#define PORT       5001
#define CHUNK      (256 << 10)
#define FAREWELL_S 5

static char chunk[CHUNK];

static double now_s(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "tcpbulk: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Receives until the end, or until the time is over. Returns the bytes. */
static double receive(int fd, double until)
{
    double total = 0;
    ssize_t got;

    while (now_s() < until && (got = recv(fd, chunk, sizeof(chunk), 0)) > 0)
        total += (double)got;
    return total;
}

static double transmit(int fd, double until)
{
    double total = 0;
    ssize_t sent;

    while (now_s() < until &&
           (sent = send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL)) > 0)
        total += (double)sent;
    return total;
}

static int serve(int out)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(PORT)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, fd;

    if (listener < 0)
        die("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) ||
        listen(listener, 8))
        die("listen");
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        if (out)
            transmit(fd, 1e18);
        else
            receive(fd, 1e18);
        close(fd);
    }
    die("accept");
    return 1;
}

static int measure(int out, const char *where, double seconds)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(PORT)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    double start, total;

    if (inet_pton(AF_INET, where, &address.sin_addr) != 1)
        die(where);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
        die("connect");
    start = now_s();
    if (out) {
        total = receive(fd, start + seconds);
    } else {
        total = transmit(fd, start + seconds);
        /* What is on its way counts once the server has seen the end. */
        shutdown(fd, SHUT_WR);
        receive(fd, start + seconds + FAREWELL_S);
    }
    printf("%.3f\n", total * 8 / 1e9 / (now_s() - start));
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    int out;

    if (argc < 2 || (strcmp(argv[1], "in") && strcmp(argv[1], "out"))) {
        fprintf(stderr, "usage: tcpbulk in|out [ADDRESS SECONDS]\n");
        return 2;
    }
    out = strcmp(argv[1], "out") == 0;
    if (argc < 4)
        return serve(out);
    return measure(out, argv[2], atof(argv[3]));
}
