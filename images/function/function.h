/* SPDX-License-Identifier: MIT */
/* A connection of the server, and what answers its requests. */
#ifndef FUNCTION_H
#define FUNCTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection {
    int fd;
    bool keep;           /* another request may follow */
    size_t got;          /* bytes of `in` that were read */
    size_t header_bytes; /* ... of which the request's header has so many */
    size_t body_bytes;   /* what follows it, as it says */
    size_t body_read;    /* ... and what was taken of that, in `in` */
    const char *path, *query;
    char out[512];
    char in[8192];
};

/* Sends all of it. False, and `keep` too, if the client has gone. */
bool send_all(struct connection *c, const void *data, size_t bytes);

/* Puts an answer's header in `c->out`, and returns its length. */
size_t put_header(struct connection *c, const char *status, size_t bytes);

/* Sends a short text as the whole answer. */
void answer(struct connection *c, const char *status, const char *text);

/* answers.c: answers a request whose header was read. */
void answer_path(struct connection *c);

/* fresh.c: makes the state that /fresh looks for. Once, before any request. */
void fresh_prepare(void);

/*
 * Looks whether memory is as fresh_prepare() left it, and plants a secret
 * wherever it looked. Writes "clean", or what was not, to `text`.
 */
void fresh_check(char *text, size_t room);

#endif
