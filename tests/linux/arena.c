/* SPDX-License-Identifier: MIT */
/* Memory that the driver sees at one address and the device at another. */
#include "tests/linux/arena.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENA_BYTES (UINT64_C(1) << 30) /* only what is touched is there */
#define CLASS_MIN   5u                  /* 32 bytes */
#define CLASS_COUNT 32u

/* In front of each block. Blocks are powers of two, and stay what they are. */
struct block {
    struct block *next; /* of the free ones */
    size_t class;
};

static uint8_t *start, *end;
static struct block *free_blocks[CLASS_COUNT];
static size_t used;

void arena_init(struct gmem *mem)
{
    int fd = memfd_create("arena", MFD_CLOEXEC);
    void *driver, *device;

    if (fd < 0 || ftruncate(fd, (off_t)ARENA_BYTES))
        abort();
    driver = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    device = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (driver == MAP_FAILED || device == MAP_FAILED)
        abort();
    start = driver;
    end = start + ARENA_BYTES;
    *mem = (struct gmem){
        .regions = {{(uintptr_t)driver, ARENA_BYTES, device}},
        .count = 1,
    };
}

void arena_fini(const struct gmem *mem)
{
    munmap((void *)(uintptr_t)mem->regions[0].base, ARENA_BYTES);
    munmap(mem->regions[0].host, ARENA_BYTES);
    memset(free_blocks, 0, sizeof(free_blocks));
    used = 0;
}

void *arena_alloc(size_t bytes)
{
    size_t class = CLASS_MIN;
    struct block *block;

    bytes += sizeof(struct block);
    while ((size_t)1 << class < bytes)
        class ++;
    block = free_blocks[class];
    if (block) {
        free_blocks[class] = block->next;
    } else {
        block = (struct block *)start;
        start += (size_t)1 << class;
        if (start > end)
            abort();
        block->class = class;
    }
    used++;
    return block + 1;
}

void arena_free(void *at)
{
    struct block *block = (struct block *)at - 1;

    if (!at)
        return;
    block->next = free_blocks[block->class];
    free_blocks[block->class] = block;
    used--;
}

size_t arena_used(void)
{
    return used;
}
