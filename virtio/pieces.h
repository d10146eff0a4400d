/* SPDX-License-Identifier: MIT */
/* Pieces of guest memory: what a chain's descriptors say, in order. */
#ifndef VIRTIO_PIECES_H
#define VIRTIO_PIECES_H

/*
 * The pieces are mapped guest memory, which changes at any time: what is taken
 * out is copied once. They belong to whoever holds their chain.
 */

#include <string.h>
#include <sys/uio.h>

#include "vmm/base/util.h"

/* A row of pieces that is used up from the front. */
struct pieces {
    struct iovec *iov;
    unsigned count;
};

/* Leaves out `bytes` bytes. Returns whether there were as many. */
static inline bool pieces_skip(struct pieces *pieces, uint64_t bytes)
{
    while (bytes > 0 && pieces->count > 0) {
        size_t part = min_u64(bytes, pieces->iov->iov_len);

        pieces->iov->iov_base = (char *)pieces->iov->iov_base + part;
        pieces->iov->iov_len -= part;
        bytes -= part;
        if (pieces->iov->iov_len == 0) {
            pieces->iov++;
            pieces->count--;
        }
    }
    return bytes == 0;
}

/*
 * Takes `bytes` bytes out: the one look at what the driver wrote there. The
 * barrier keeps the compiler from going back to guest memory for it. Returns
 * whether there were as many.
 */
static inline bool pieces_take(struct pieces *pieces, void *to, size_t bytes)
{
    size_t done = 0;

    while (done < bytes && pieces->count > 0) {
        size_t part = min_u64(bytes - done, pieces->iov->iov_len);

        memcpy((char *)to + done, pieces->iov->iov_base, part);
        done += part;
        (void)pieces_skip(pieces, part);
    }
    __asm__ volatile("" : : "r"(to) : "memory");
    return done == bytes;
}

/* Writes `bytes` bytes, or as many as there is room for. Returns how many. */
static inline size_t pieces_put(struct pieces *pieces, const void *from,
                                size_t bytes)
{
    size_t done = 0;

    while (done < bytes && pieces->count > 0) {
        size_t part = min_u64(bytes - done, pieces->iov->iov_len);

        memcpy(pieces->iov->iov_base, (const char *)from + done, part);
        done += part;
        (void)pieces_skip(pieces, part);
    }
    return done;
}

/* Leaves out what comes after the first `bytes` bytes. */
static inline void pieces_cut(struct pieces *pieces, uint64_t bytes)
{
    unsigned count = 0;

    for (; count < pieces->count && bytes > 0; count++) {
        struct iovec *iov = &pieces->iov[count];

        iov->iov_len = min_u64(iov->iov_len, bytes);
        bytes -= iov->iov_len;
    }
    pieces->count = count;
}

#endif
