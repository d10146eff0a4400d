/* SPDX-License-Identifier: MIT */
/* What the server has to know of HTTP/1: whether it is, and how to refuse. */
#ifndef VMM_SERVER_HTTP_H
#define VMM_SERVER_HTTP_H

/*
 * Guests speak for themselves. The supervisor looks at a connection's first
 * bytes, which stay where they are, because it answers in a guest's place where
 * the guest fails, and only HTTP/1 clients understand that answer. What is not
 * surely HTTP/1 is not: then a connection is only closed. The bytes come from
 * strangers.
 */

#include <stddef.h>

/* How many first bytes are worth looking at. */
#define HTTP_LOOK_BYTES 256

enum http_kind {
    HTTP_NOT,
    HTTP_ONE,      /* HTTP/1.0 or later of 1, as far as the bytes tell */
    HTTP_ONE_HEAD, /* a HEAD request, whose answers have no body */
};

/*
 * Looks at a connection's first bytes. A beginning of a request of one of
 * HTTP's usual methods is HTTP, however short it is; other methods are, once
 * their line is complete (RFC 9112, 3).
 */
enum http_kind http_look(const char *bytes, size_t count);

/* What is answered in place of a guest: status codes. */
enum http_refusal {
    HTTP_BAD_GATEWAY = 502,     /* the guest failed */
    HTTP_UNAVAILABLE = 503,     /* none was free for too long */
    HTTP_GATEWAY_TIMEOUT = 504, /* the guest took too long */
};

/*
 * A whole answer to a request of that kind, after which the connection ends;
 * stores its length in `*bytes`. The text is constant.
 */
const char *http_refuse(enum http_refusal code, enum http_kind kind,
                        size_t *bytes);

#endif
