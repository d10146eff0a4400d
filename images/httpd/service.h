/* SPDX-License-Identifier: MIT */
/* What the server offers, and what it counts. */
#ifndef HTTPD_SERVICE_H
#define HTTPD_SERVICE_H

#include "http.h"

#include <stdint.h>

/* Counters for /metrics; connections are counted by connection.c. */
struct metrics {
    uint64_t accepted, open, timeouts;
    uint64_t received_bytes, sent_bytes;
    uint64_t answers[6];   /* by the first digit of the status */
    uint64_t durations[8]; /* a histogram; the last one has no upper end */
    uint64_t duration_ns;  /* sum */
};

extern struct metrics metrics;

/* Monotonic time. */
uint64_t now_ns(void);

/*
 * Appends the answer to a request, with Connection: close unless the
 * connection stays open.
 */
void service_answer(struct buffer *out, const struct http_request *request,
                    bool keep_alive);

/* The same for what is not a request: an error status and nothing else. */
void service_refuse(struct buffer *out, int status);

#endif
