/* SPDX-License-Identifier: MIT */
/* Bytes that grow at the end and go away at the front. */
#ifndef HTTPD_BUFFER_H
#define HTTPD_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* All zero is an empty one. */
struct buffer {
    char *bytes;
    size_t used, size;
    bool failed; /* memory ran out, and something was not added */
};

/* Makes room for that many more bytes. Returns whether it is there. */
bool buffer_reserve(struct buffer *buffer, size_t more);

void buffer_add(struct buffer *buffer, const void *bytes, size_t length);

void buffer_print(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Removes bytes at the front; what an empty one held is given back. */
void buffer_drop(struct buffer *buffer, size_t length);

void buffer_free(struct buffer *buffer);

#endif
