/* SPDX-License-Identifier: MIT */
/* 9P messages: fields of a request, of its answer, pieces of guest memory. */
#include <string.h>

#include "virtio/p9_parts.h"

/* ---- Requests ------------------------------------------------------------ */

/* The next `bytes` bytes as a number. */
static uint64_t take(struct p9_reader *reader, unsigned bytes)
{
    uint64_t value = 0;

    if (reader->left < bytes) {
        reader->bad = true;
        reader->left = 0;
        return 0;
    }
    for (unsigned i = bytes; i > 0; i--)
        value = value << 8 | reader->at[i - 1];
    reader->at += bytes;
    reader->left -= bytes;
    return value;
}

uint8_t p9_take_u8(struct p9 *p9)
{
    return (uint8_t)take(&p9->reader, 1);
}

uint16_t p9_take_u16(struct p9 *p9)
{
    return (uint16_t)take(&p9->reader, 2);
}

uint32_t p9_take_u32(struct p9 *p9)
{
    return (uint32_t)take(&p9->reader, 4);
}

uint64_t p9_take_u64(struct p9 *p9)
{
    return take(&p9->reader, 8);
}

char *p9_take_string(struct p9 *p9)
{
    static char nothing[1];
    struct p9_reader *reader = &p9->reader;
    size_t bytes = take(reader, 2);
    char *text = (char *)reader->at - 1;

    if (reader->bad || bytes > reader->left ||
        memchr(reader->at, '\0', bytes)) {
        reader->bad = true;
        return nothing;
    }
    /* Its length has been read: one byte of that makes room for a NUL. */
    memmove(text, reader->at, bytes);
    text[bytes] = '\0';
    reader->at += bytes;
    reader->left -= bytes;
    return text;
}

bool p9_is_complete(const struct p9 *p9)
{
    return !p9->reader.bad && p9->reader.left == 0;
}

/* ---- Answers ------------------------------------------------------------- */

void p9_store(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++, value >>= 8)
        to[i] = (uint8_t)value;
}

static void put(struct p9 *p9, uint64_t value, unsigned bytes)
{
    bug_on(bytes > sizeof(p9->answer) - p9->answered);
    p9_store(p9->answer + p9->answered, value, bytes);
    p9->answered += bytes;
}

void p9_put_u8(struct p9 *p9, uint8_t value)
{
    put(p9, value, 1);
}

void p9_put_u16(struct p9 *p9, uint16_t value)
{
    put(p9, value, 2);
}

void p9_put_u32(struct p9 *p9, uint32_t value)
{
    put(p9, value, 4);
}

void p9_put_u64(struct p9 *p9, uint64_t value)
{
    put(p9, value, 8);
}

void p9_put_string(struct p9 *p9, const char *text, size_t bytes)
{
    put(p9, bytes, 2);
    bug_on(bytes > sizeof(p9->answer) - p9->answered);
    memcpy(p9->answer + p9->answered, text, bytes);
    p9->answered += bytes;
}

/* ---- Pieces of guest memory ---------------------------------------------- */

/* The piece in which byte `*skip` is; `*skip` becomes its offset there. */
static const struct iovec *find_piece(const struct iovec *iov, uint64_t *skip)
{
    for (; *skip >= iov->iov_len; iov++)
        *skip -= iov->iov_len;
    return iov;
}

void p9_gather(const struct iovec *iov, uint64_t skip, void *to, size_t bytes)
{
    for (size_t done = 0; done < bytes; iov++, skip = 0) {
        iov = find_piece(iov, &skip);
        size_t part = min_u64(bytes - done, iov->iov_len - skip);

        memcpy((char *)to + done, (const char *)iov->iov_base + skip, part);
        done += part;
    }
    /* The compiler does not go back to guest memory for it. */
    __asm__ volatile("" : : "r"(to) : "memory");
}

void p9_scatter(const struct iovec *iov, const void *from, size_t bytes)
{
    for (size_t done = 0; done < bytes; iov++) {
        size_t part = min_u64(bytes - done, iov->iov_len);

        memcpy(iov->iov_base, (const char *)from + done, part);
        done += part;
    }
}

int p9_window_open(struct p9_window *window, struct iovec *iov, uint64_t skip,
                   uint64_t bytes)
{
    struct iovec *last;

    window->first = iov + (find_piece(iov, &skip) - iov);
    bytes += skip;
    for (last = window->first; bytes > last->iov_len; last++)
        bytes -= last->iov_len;
    window->last = last;
    window->saved_first = *window->first;
    window->saved_last = *last;
    last->iov_len = bytes;
    window->first->iov_base = (char *)window->first->iov_base + skip;
    window->first->iov_len -= skip;
    return (int)(last - window->first) + 1;
}

void p9_window_close(struct p9_window *window)
{
    *window->last = window->saved_last;
    *window->first = window->saved_first;
}
