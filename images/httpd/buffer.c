/* SPDX-License-Identifier: MIT */
/* Bytes that grow at the end and go away at the front. */
#include "buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool buffer_reserve(struct buffer *buffer, size_t more)
{
    size_t size = buffer->size ? buffer->size : 1024;
    char *bytes;

    if (buffer->size - buffer->used >= more)
        return true;
    while (size - buffer->used < more)
        size *= 2;
    bytes = realloc(buffer->bytes, size);
    if (!bytes) {
        buffer->failed = true;
        return false;
    }
    buffer->bytes = bytes;
    buffer->size = size;
    return true;
}

void buffer_add(struct buffer *buffer, const void *bytes, size_t length)
{
    if (!buffer_reserve(buffer, length))
        return;
    memcpy(buffer->bytes + buffer->used, bytes, length);
    buffer->used += length;
}

void buffer_print(struct buffer *buffer, const char *format, ...)
{
    va_list list, again;
    int length;

    va_start(list, format);
    va_copy(again, list);
    length = vsnprintf(NULL, 0, format, list);
    va_end(list);
    if (length >= 0 && buffer_reserve(buffer, (size_t)length + 1)) {
        vsnprintf(buffer->bytes + buffer->used, (size_t)length + 1, format,
                  again);
        buffer->used += (size_t)length;
    }
    va_end(again);
}

void buffer_drop(struct buffer *buffer, size_t length)
{
    buffer->used -= length;
    if (buffer->used == 0)
        buffer_free(buffer);
    else
        memmove(buffer->bytes, buffer->bytes + length, buffer->used);
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}
