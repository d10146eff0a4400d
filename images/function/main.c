/* SPDX-License-Identifier: MIT */
/* A small HTTP server that serves one connection after the other. */

/*
 *   function [PORT]         listens at PORT (8080)
 *
 * It knows nothing of virtual machines: the same sources are a Linux program.
 * README.md has the paths; answers.c and fresh.c answer them.
 */
#include "function.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* A small request and its answer take one page. */
static struct connection connection __attribute__((aligned(4096)));

static int listen_at(unsigned port)
{
    struct sockaddr_in any = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 4096)) {
        perror("function: cannot listen");
        exit(1);
    }
    return fd;
}

/* ---- Requests ------------------------------------------------------------ */

/* Reads on until there are `bytes`. */
static bool fill(struct connection *c, size_t bytes)
{
    while (c->got < bytes) {
        ssize_t more = read(c->fd, c->in + c->got, sizeof(c->in) - 1 - c->got);

        if (more <= 0)
            return false;
        c->got += (size_t)more;
    }
    return true;
}

/* Reads until the header is there. Returns its length, or 0. */
static size_t read_header(struct connection *c)
{
    for (;;) {
        char *end;

        c->in[c->got] = '\0';
        end = strstr(c->in, "\r\n\r\n");
        if (end)
            return (size_t)(end - c->in) + 4;
        if (c->got == sizeof(c->in) - 1 || !fill(c, c->got + 1))
            return 0;
    }
}

/* The value of a header's field, or NULL. */
static const char *field(const char *header, const char *name)
{
    size_t length = strlen(name);
    const char *line = header;

    while ((line = strstr(line, "\r\n"))) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, " \t");
    }
    return NULL;
}

/* Takes the request line and the fields apart. The header ends in a 0. */
static bool parse(struct connection *c)
{
    char *target = strchr(c->in, ' '), *end, *query;
    const char *length = field(c->in, "Content-Length");
    const char *how = field(c->in, "Connection");

    end = target ? strchr(target + 1, ' ') : NULL;
    if (!end || strncmp(end, " HTTP/1.", 8) != 0)
        return false;
    c->keep = strncmp(end, " HTTP/1.1", 9) == 0 &&
              !(how && strncasecmp(how, "close", 5) == 0);
    c->body_bytes = length ? strtoul(length, NULL, 10) : 0;
    *end = '\0';
    query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    c->path = target + 1;
    c->query = query ? query : end;
    return true;
}

/* ---- Answers ------------------------------------------------------------- */

bool send_all(struct connection *c, const void *data, size_t bytes)
{
    const char *at = data;

    while (bytes) {
        ssize_t part = send(c->fd, at, bytes, MSG_NOSIGNAL);

        if (part <= 0)
            return c->keep = false;
        at += part;
        bytes -= (size_t)part;
    }
    return true;
}

size_t put_header(struct connection *c, const char *status, size_t bytes)
{
    return (size_t)snprintf(c->out, sizeof(c->out),
                            "HTTP/1.1 %s\r\nContent-Type: text/plain\r\n"
                            "Content-Length: %zu\r\nConnection: %s\r\n\r\n",
                            status, bytes, c->keep ? "keep-alive" : "close");
}

void answer(struct connection *c, const char *status, const char *text)
{
    size_t bytes = strlen(text), header = put_header(c, status, bytes);

    if (bytes > sizeof(c->out) - header)
        bytes = sizeof(c->out) - header;
    memcpy(c->out + header, text, bytes);
    send_all(c, c->out, header + bytes);
}

/* One request and its answer. What follows it is kept for the next one. */
static bool serve_request(struct connection *c)
{
    size_t header = read_header(c), used;

    if (!header)
        return false;
    c->in[header - 2] = '\0';
    c->header_bytes = header;
    if (!parse(c)) {
        c->keep = false;
        answer(c, "400 Bad Request", "not HTTP/1.1\n");
        return false;
    }
    c->body_read = 0;
    answer_path(c);
    used = header + c->body_read;
    if (c->body_read < c->body_bytes)
        return false;
    memmove(c->in, c->in + used, c->got - used);
    c->got -= used;
    return c->keep;
}

int main(int argc, char **argv)
{
    int listener = listen_at(argc > 1 ? (unsigned)atoi(argv[1]) : 8080);

    fresh_prepare();
    for (;;) {
        connection.fd = accept(listener, NULL, NULL);
        if (connection.fd < 0) {
            perror("function: accept");
            return 1;
        }
        connection.got = 0;
        while (serve_request(&connection))
            ;
        close(connection.fd);
    }
}
