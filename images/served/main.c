/* SPDX-License-Identifier: MIT */
/* A server as `mayfly serve` has them: it does what the request's path says. */

/*
 *   served [PORT [lies]]
 *
 * Accepts connections at the port (80), one after the other; reads a request up
 * to its empty line, answers, and closes the connection. The paths:
 *
 *   /            16 bytes of answer; /N: N bytes
 *   /busy        computes for ever when it has answered
 *   /keep        answers again and again on one connection, till its end
 *   /abort       resets the connection
 *   /open        leaves it open, and accepts the next one
 *   /crash       reads the address 0, with the connection open
 *   /exit        exits with status 3
 *   /hang        computes for ever, and does not answer
 *   /kick        makes kicks for ever
 *   /print       prints a line before it answers
 *   /count       how many requests it has had: one, if its memory is fresh
 *
 * With `lies` it tells the host that it listens at port 9, and has room for any
 * amount of data.
 */
#include <mayfly/abi.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned requests;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_at(int port)
{
    struct sockaddr_in any = {.sin_family = AF_INET,
                              .sin_port = htons((in_port_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) ||
        listen(fd, 16))
        fail("listen");
    return fd;
}

/* Reads a request. Returns whether there is one. */
static int read_request(int fd, char *request, size_t room)
{
    size_t bytes = 0;

    request[0] = '\0';
    while (!strstr(request, "\r\n\r\n") && bytes < room - 1) {
        ssize_t part = read(fd, request + bytes, room - 1 - bytes);

        if (part <= 0)
            return 0;
        bytes += (size_t)part;
        request[bytes] = '\0';
    }
    return 1;
}

static void send_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t part = write(fd, data, bytes);

        if (part <= 0)
            return;
        data += part;
        bytes -= (size_t)part;
    }
}

static void answer(int fd, const char *body, size_t bytes)
{
    char head[128];
    int head_bytes =
        snprintf(head, sizeof(head),
                 "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", bytes);

    if (bytes < sizeof(head) - (size_t)head_bytes) {
        memcpy(head + head_bytes, body, bytes);
        send_all(fd, head, (size_t)head_bytes + bytes);
        return;
    }
    send_all(fd, head, (size_t)head_bytes);
    send_all(fd, body, bytes);
}

static void answer_bytes(int fd, size_t bytes)
{
    char *body = malloc(bytes + 1);

    if (!body)
        fail("malloc");
    memset(body, 'x', bytes);
    answer(fd, body, bytes);
    free(body);
}

static void compute(void)
{
    for (volatile unsigned i = 0;; i++)
        ;
}

static void kick(void)
{
    for (;;) {
        unsigned long result = MF_HC_KICK;

        __asm__ volatile("out %%al, %1"
                         : "+a"(result)
                         : "i"(MF_HYPERCALL_PORT), "D"(~0ul), "S"(0ul)
                         : "memory");
    }
}

static void lie(void)
{
    volatile struct mf_boot *boot = (struct mf_boot *)MF_BOOT_PAGE;

    boot->listen_port = 9;
    boot->listen_room = UINT32_MAX;
}

static void reset_connection(int fd)
{
    struct linger now = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

/* Returns whether the connection is over. */
static int obey(int fd, const char *path)
{
    char text[32];

    if (!strcmp(path, "/busy")) {
        answer_bytes(fd, 16);
        compute();
    } else if (!strcmp(path, "/hang")) {
        compute();
    } else if (!strcmp(path, "/kick")) {
        kick();
    } else if (!strcmp(path, "/abort")) {
        reset_connection(fd);
        return 0;
    } else if (!strcmp(path, "/crash")) {
        printf("%d\n", *(volatile int *)0);
    } else if (!strcmp(path, "/print")) {
        puts("printed");
        answer_bytes(fd, 16);
    } else if (!strcmp(path, "/exit")) {
        exit(3);
    } else if (!strcmp(path, "/count")) {
        answer(fd, text, (size_t)snprintf(text, sizeof(text), "%u", requests));
    } else {
        answer_bytes(fd, path[1] ? strtoul(path + 1, NULL, 10) : 16);
    }
    return 1;
}

static void serve(int fd)
{
    char request[2048], path[256];

    while (read_request(fd, request, sizeof(request))) {
        requests++;
        if (sscanf(request, "%*s %255s", path) != 1)
            break;
        if (!strcmp(path, "/open"))
            return;
        if (!strcmp(path, "/keep"))
            answer_bytes(fd, 16);
        else if (!obey(fd, path))
            return;
        else
            break;
    }
    close(fd);
}

int main(int argc, char **argv)
{
    int listener = listen_at(argc > 1 ? atoi(argv[1]) : 80);

    if (argc > 2)
        lie();
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd < 0)
            fail("accept");
        serve(fd);
    }
}
