/* SPDX-License-Identifier: MIT */
/* HTTP/1.1 requests and answers (RFC 9110, RFC 9112). */
#ifndef HTTPD_HTTP_H
#define HTTPD_HTTP_H

#include "buffer.h"

enum {
    HTTP_HEAD_MAX = 8192,      /* bytes of request line and headers */
    HTTP_BODY_MAX = 64 * 1024, /* bytes of a body */
    HTTP_BYTES_MAX = HTTP_HEAD_MAX + 2 * HTTP_BODY_MAX /* with its framing */
};

/* Not terminated; points into what was parsed. */
struct text {
    const char *bytes;
    size_t length;
};

static inline struct text text_of(const char *bytes, size_t length)
{
    return (struct text){bytes, length};
}

bool text_is(struct text text, const char *string);

struct http_request {
    struct text method, path, query, body;
    size_t bytes;         /* all of it, body included */
    bool keep_alive;      /* the client wants to go on */
    bool expect_continue; /* it waits for a word before it sends the body */
};

enum { HTTP_PARTIAL = 0, HTTP_WHOLE = 1 };

/*
 * Parses the request at the start of `bytes`, which it may change once it is
 * whole (chunks are put together). Returns HTTP_WHOLE; HTTP_PARTIAL when more
 * must come, expect_continue being set if known; or an HTTP status for a
 * request that will never be good, after which the stream cannot go on.
 */
int http_parse(char *bytes, size_t length, struct http_request *request);

/*
 * Decodes the %-escapes of a path or query into `out`, with a NUL. Returns the
 * length, or -1 if it is not well-formed or does not fit.
 */
long http_decode(struct text text, char *out, size_t size);

/* The phrase for a status. */
const char *http_reason(int status);

/* Appends an answer with its body, which a HEAD request's lacks. */
void http_answer(struct buffer *out, const struct http_request *request,
                 int status, const char *type, const struct buffer *body,
                 bool keep_alive);

#endif
