/* SPDX-License-Identifier: MIT */
/* Memory for libext2fs: powers of two from lists, larger ones in pages. */
#include "guest_rt/ext4/arena.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "guest_rt/ext4/disk.h"

#define CHUNK_BYTES  65536u
#define SMALLEST_LOG 5u  /* 32 bytes */
#define LARGEST_LOG  13u /* 8 KiB */
#define CLASSES      (LARGEST_LOG - SMALLEST_LOG + 1)
#define PAGE_BYTES   4096u

/* Before each piece of memory: its size with this header in it. */
struct header {
    size_t bytes;
    size_t padding;
};

struct free_piece {
    struct header header;
    struct free_piece *next;
};

static struct free_piece *lists[CLASSES];

/* What is left of the chunk that small pieces are cut from. */
static char *chunk;
static size_t chunk_bytes;

/* The class whose pieces hold so many bytes; CLASSES: none does. */
static unsigned class_of(size_t bytes)
{
    unsigned class = 0;

    while (class < CLASSES && bytes > (size_t)1 << (class + SMALLEST_LOG))
        class ++;
    return class;
}

static struct header *cut_piece(size_t bytes)
{
    struct header *piece;

    if (chunk_bytes < bytes) {
        chunk_bytes = 0; /* what is left of it is lost: less than 8 KiB */
        chunk = ext4_pages_alloc(CHUNK_BYTES);
        if (!chunk)
            return NULL;
        chunk_bytes = CHUNK_BYTES;
    }
    piece = (struct header *)(void *)chunk;
    chunk += bytes;
    chunk_bytes -= bytes;
    piece->bytes = bytes;
    return piece;
}

static struct header *alloc_small(unsigned class)
{
    struct free_piece *piece = lists[class];

    if (!piece)
        return cut_piece((size_t)1 << (class + SMALLEST_LOG));
    lists[class] = piece->next;
    return &piece->header;
}

static struct header *alloc_large(size_t bytes)
{
    struct header *piece;

    bytes = (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
    piece = ext4_pages_alloc(bytes);
    if (piece)
        piece->bytes = bytes;
    return piece;
}

void *ext4_arena_alloc(size_t bytes)
{
    struct header *piece;
    unsigned class;

    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes += sizeof(*piece);
    class = class_of(bytes);
    piece = class < CLASSES ? alloc_small(class) : alloc_large(bytes);
    return piece ? piece + 1 : NULL;
}

void *ext4_arena_alloc_zeroed(size_t count, size_t bytes)
{
    void *memory;

    if (bytes && count > SIZE_MAX / bytes)
        return NULL;
    memory = ext4_arena_alloc(count * bytes);
    if (memory)
        memset(memory, 0, count * bytes);
    return memory;
}

void ext4_arena_free(void *memory)
{
    struct free_piece *piece;
    struct header *header;
    unsigned class;

    if (!memory)
        return;
    header = (struct header *)memory - 1;
    piece = (void *)header;
    class = class_of(header->bytes);
    if (class == CLASSES) {
        ext4_pages_free(header, header->bytes);
        return;
    }
    piece->next = lists[class];
    lists[class] = piece;
}

void *ext4_arena_realloc(void *memory, size_t bytes)
{
    void *larger;
    size_t room;

    if (!memory)
        return ext4_arena_alloc(bytes);
    room = ((struct header *)memory)[-1].bytes - sizeof(struct header);
    if (bytes <= room)
        return memory;
    larger = ext4_arena_alloc(bytes);
    if (larger) {
        memcpy(larger, memory, room);
        ext4_arena_free(memory);
    }
    return larger;
}

int ext4_arena_memalign(void **memory, size_t alignment, size_t bytes)
{
    *memory = alignment <= 16 ? ext4_arena_alloc(bytes) : NULL;
    return *memory ? 0 : ENOMEM;
}
