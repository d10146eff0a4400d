/* SPDX-License-Identifier: MIT */
/* JSON (RFC 8259): writing strings, and telling what is JSON. */
#ifndef HTTPD_JSON_H
#define HTTPD_JSON_H

#include "buffer.h"

/*
 * Appends a string with its quotes, escaped. Bytes that are not UTF-8 become
 * U+FFFD, so that the result is JSON whatever they are.
 */
void json_string(struct buffer *out, const char *bytes, size_t length);

/* Whether the bytes are one JSON text, nested at most 32 deep. */
bool json_valid(const char *bytes, size_t length);

#endif
