/* SPDX-License-Identifier: MIT */
/* A request to the admin endpoint, taken apart (RFC 9112). */
#ifndef VMM_SERVER_ADMIN_REQUEST_H
#define VMM_SERVER_ADMIN_REQUEST_H

/*
 * Strict where servers and what stands before them could differ: a request that
 * has a body, two hosts, folded lines or stray control characters is refused,
 * and the connection with it.
 */

#include <stdbool.h>
#include <stddef.h>

#define ADMIN_REQUEST_BYTES 4096u /* line and header fields together */

enum admin_path {
    ADMIN_METRICS,
    ADMIN_HEALTH,
    ADMIN_NOWHERE,
};

struct admin_request {
    unsigned error; /* a status: 400, 405, 414, 431 or 505; 0: a good one */
    enum admin_path path;
    bool head;     /* the answer goes without its body */
    bool keep;     /* the connection stays open after the answer */
    bool http_1_0; /* then staying open has to be said */
};

/*
 * Reads the first request of these bytes. Returns how many are its own, or 0 if
 * its end is not there yet. If `error` is set, the rest means nothing and
 * `keep` is false.
 */
size_t admin_request_parse(const char *text, size_t bytes,
                           struct admin_request *request);

#endif
