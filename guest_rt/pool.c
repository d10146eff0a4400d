/* SPDX-License-Identifier: MIT */
/* Small pieces of memory for the runtime itself. */
#include "pool.h"

#include <stdint.h>
#include <string.h>

#include "runtime.h"

/* Pieces are cut from so many bytes at a time. */
#define CHUNK_BYTES 16384u

static const uint16_t sizes[] = {32,  64,  96,  128,  192, 256,
                                 384, 512, 768, 1024, 2048};

#define SIZES      (sizeof(sizes) / sizeof(sizes[0]))
#define BYTES_MOST 2048u

struct piece {
    struct piece *next;
};

static struct size {
    struct piece *free;
    char *rest; /* of the chunk that is being cut */
    size_t rest_bytes;
} pools[SIZES];

static unsigned size_index(size_t bytes)
{
    unsigned i = 0;

    while (sizes[i] < bytes)
        i++;
    return i;
}

/* A piece that was never handed out, which is zero; or NULL. */
static void *cut_piece(struct size *pool, size_t bytes)
{
    char *piece;

    if (pool->rest_bytes < bytes) {
        pool->rest = mf_pages_alloc(CHUNK_BYTES);
        pool->rest_bytes = pool->rest ? CHUNK_BYTES : 0;
        if (!pool->rest)
            return NULL;
    }
    piece = pool->rest;
    pool->rest += bytes;
    pool->rest_bytes -= bytes;
    return piece;
}

void *pool_alloc(size_t bytes)
{
    unsigned i;
    struct piece *piece;

    if (bytes > BYTES_MOST)
        return mf_pages_alloc(bytes);
    i = size_index(bytes);
    piece = pools[i].free;
    if (!piece)
        return cut_piece(&pools[i], sizes[i]);
    pools[i].free = piece->next;
    return memset(piece, 0, bytes);
}

void pool_free(void *piece, size_t bytes)
{
    struct size *pool;

    if (!piece)
        return;
    if (bytes > BYTES_MOST) {
        mf_pages_free(piece, bytes);
        return;
    }
    pool = &pools[size_index(bytes)];
    ((struct piece *)piece)->next = pool->free;
    pool->free = piece;
}

char *pool_copy_string(const char *string, size_t length)
{
    char *copy = pool_alloc(length + 1);

    if (copy)
        memcpy(copy, string, length);
    return copy;
}
