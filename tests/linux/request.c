/* SPDX-License-Identifier: MIT */
/* One buffer's worth of data, checked on both sides. */
#include "tests/linux/request.h"

#include <stdlib.h>
#include <string.h>

#include "tests/linux/arena.h"

#define FILL 0xee

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x100000001b3) + 1;
}

/* The `i`th byte that the device writes. */
static uint8_t answer(uint64_t hash, uint64_t i)
{
    uint8_t byte = (uint8_t)(mix(hash, i) >> 16);

    return byte == FILL ? 0 : byte;
}

/* Draws the pieces' sizes. Returns the sum. */
static unsigned size_pieces(struct request *request, uint64_t *random,
                            unsigned piece_max)
{
    unsigned total = 0;

    for (unsigned i = 0; i < request->out + request->in; i++) {
        bool none = piece_max > 1 && draw_below(random, 32) == 0;
        unsigned bytes = none ? 0 : 1 + draw_below(random, piece_max);

        request->pieces[i].bytes = bytes;
        total += bytes;
    }
    return total;
}

/* Places the pieces, the last one first, and fills them. */
static void place_pieces(struct request *request, uint64_t *random,
                         unsigned total)
{
    uint8_t *at = request->data + total;
    uint64_t writable = 0, readable = 0, hash = 0;

    for (unsigned i = 0; i < request->out + request->in; i++) {
        struct driver_piece *piece = &request->pieces[i];

        piece->at = at -= piece->bytes;
        for (unsigned j = 0; j < piece->bytes; j++) {
            at[j] = i < request->out ? (uint8_t)draw(random) : FILL;
            if (i < request->out)
                hash = mix(hash, at[j]);
        }
        *(i < request->out ? &readable : &writable) += piece->bytes;
    }
    request->hash = mix(mix(hash, readable), writable);
}

struct request *request_create(uint64_t *random, unsigned out, unsigned in,
                               unsigned piece_max)
{
    struct request *request = malloc(sizeof(*request));
    unsigned total;

    request->out = out;
    request->in = in;
    request->pieces = malloc(sizeof(*request->pieces) * (out + in));
    total = size_pieces(request, random, piece_max);
    request->data = arena_alloc(total + 1);
    place_pieces(request, random, total);
    return request;
}

bool request_is_done(const struct request *request, uint32_t written)
{
    uint64_t hash = 0, readable = 0, writable = 0;
    bool good = true;

    for (unsigned i = 0; i < request->out + request->in; i++) {
        const uint8_t *at = request->pieces[i].at;
        unsigned bytes = request->pieces[i].bytes;

        for (unsigned j = 0; j < bytes; j++) {
            if (i < request->out)
                hash = mix(hash, at[j]);
            else if (at[j] != (writable + j < written
                                   ? answer(request->hash, writable + j)
                                   : FILL))
                good = false;
        }
        *(i < request->out ? &readable : &writable) += bytes;
    }
    return good && written <= writable &&
           mix(mix(hash, readable), writable) == request->hash;
}

void request_destroy(struct request *request)
{
    arena_free(request->data);
    free(request->pieces);
    free(request);
}

uint32_t request_serve(const struct virtq_chain *chain, uint32_t max)
{
    unsigned count = chain->readable_count + chain->writable_count;
    uint64_t hash = 0;
    uint32_t written = 0;

    for (unsigned i = 0; i < chain->readable_count; i++) {
        const uint8_t *at = chain->iov[i].iov_base;

        for (size_t j = 0; j < chain->iov[i].iov_len; j++)
            hash = mix(hash, at[j]);
    }
    hash = mix(mix(hash, chain->readable_bytes), chain->writable_bytes);
    for (unsigned i = chain->readable_count; i < count; i++) {
        uint8_t *at = chain->iov[i].iov_base;

        for (size_t j = 0; j < chain->iov[i].iov_len && written < max; j++) {
            at[j] = answer(hash, written);
            written++;
        }
    }
    return written;
}
