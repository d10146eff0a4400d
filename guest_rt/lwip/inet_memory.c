/* SPDX-License-Identifier: MIT */
/* The TCP/IP stack's memory: blocks of 40 sizes, from pages. */
#include <stddef.h>
#include <string.h>

#include "guest_rt/lwip/arch/cc.h"
#include "guest_rt/runtime.h"

/*
 * A block has a size of 64 * 2^n or 96 * 2^n bytes, of which 16 in front say
 * which. Free ones of each size form a list. Small blocks are cut from spans of
 * 64 KiB, which are never given back; large ones are mappings of their own, of
 * which a few MiB are kept.
 */
#define CLASSES        24u /* up to 64 << 11 and 96 << 11 bytes */
#define HEADER_BYTES   16u
#define SMALL_BYTES    4096u
#define SPAN_BYTES     65536u
#define PAGE_BYTES     4096u
#define KEPT_BYTES_MAX (16ul << 20)

struct block {
    size_t class;
    struct block *next; /* of a free one */
};

static struct block *free_blocks[CLASSES];
static unsigned char *span, *span_end;
static size_t kept_bytes; /* of large blocks that are free */

static size_t class_bytes(unsigned class)
{
    return (size_t)(class & 1 ? 96 : 64) << (class >> 1);
}

/* The smallest class for that many bytes, or CLASSES. */
static unsigned find_class(size_t bytes)
{
    unsigned class = 0;

    if (bytes > 64) {
        unsigned log = 63u - (unsigned)__builtin_clzl(bytes - 1);

        class = 2 * (log - 5);
        /* Between two powers of two lies one and a half of the lower. */
        if (bytes <= (size_t)3 << (log - 1))
            class --;
    }
    return class < CLASSES ? class : CLASSES;
}

static size_t round_to_pages(size_t bytes)
{
    return (bytes + PAGE_BYTES - 1) & -(size_t)PAGE_BYTES;
}

/* Makes a block that was never used. */
static struct block *make_block(unsigned class)
{
    size_t bytes = class_bytes(class);
    struct block *block;

    if (bytes > SMALL_BYTES) {
        block = mf_pages_alloc(round_to_pages(bytes));
    } else {
        /* What is left of a span is less than a block: not worth keeping. */
        if ((size_t)(span_end - span) < bytes) {
            span = mf_pages_alloc(SPAN_BYTES);
            span_end = span ? span + SPAN_BYTES : NULL;
        }
        block = (struct block *)span;
        if (span)
            span += bytes;
    }
    return block;
}

void *inet_memory_alloc(size_t bytes)
{
    unsigned class = find_class(bytes + HEADER_BYTES);
    struct block *block;

    if (class == CLASSES)
        return NULL;
    block = free_blocks[class];
    if (block) {
        free_blocks[class] = block->next;
        if (class_bytes(class) > SMALL_BYTES)
            kept_bytes -= class_bytes(class);
    } else {
        block = make_block(class);
        if (!block)
            return NULL;
    }
    block->class = class;
    return (unsigned char *)block + HEADER_BYTES;
}

void *inet_memory_calloc(size_t count, size_t bytes)
{
    void *memory = inet_memory_alloc(count * bytes);

    return memory ? memset(memory, 0, count * bytes) : NULL;
}

void inet_memory_free(void *memory)
{
    struct block *block =
        (struct block *)((unsigned char *)memory - HEADER_BYTES);
    unsigned class = (unsigned)block->class;
    size_t bytes = class_bytes(class);

    if (bytes > SMALL_BYTES) {
        if (kept_bytes + bytes > KEPT_BYTES_MAX) {
            mf_pages_free(block, round_to_pages(bytes));
            return;
        }
        kept_bytes += bytes;
    }
    block->next = free_blocks[class];
    free_blocks[class] = block;
}
