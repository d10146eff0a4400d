/* SPDX-License-Identifier: MIT */
/* The blocks of a disk that are in memory. */
#include "guest_rt/ext4/cache.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "guest_rt/ext4/arena.h"

/* Memory for blocks comes in pieces of this size. */
#define SLAB_BYTES 65536u

/* ---- Lists -------------------------------------------------------------- */

static void list_init(struct block_link *list)
{
    list->next = list->previous = list;
}

static void list_append(struct block_link *list, struct block_link *link)
{
    link->next = list;
    link->previous = list->previous;
    list->previous->next = link;
    list->previous = link;
}

static void list_remove(struct block_link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}

static struct block *of_logged(struct block_link *link)
{
    return (struct block *)(void *)((char *)link -
                                    offsetof(struct block, logged));
}

/* ---- Finding ------------------------------------------------------------ */

static struct block **bucket_of(struct cache *cache, uint64_t number)
{
    uint64_t mixed = number * UINT64_C(0x9e3779b97f4a7c15);

    return &cache->hash[(mixed >> 32) & cache->hash_mask];
}

static struct block *find(struct cache *cache, uint64_t number)
{
    struct block *block = *bucket_of(cache, number);

    while (block && block->number != number)
        block = block->hash_next;
    return block;
}

static void unhash(struct cache *cache, struct block *block)
{
    struct block **at = bucket_of(cache, block->number);

    while (*at != block)
        at = &(*at)->hash_next;
    *at = block->hash_next;
}

/* Moves a clean block to the end of the list: it has been used now. */
static void touch(struct cache *cache, struct block *block)
{
    if (block->flags & (BLOCK_DIRTY | BLOCK_CHANGED | BLOCK_LOGGED))
        return;
    list_remove(&block->link);
    list_append(&cache->clean, &block->link);
}

struct block *cache_peek(struct cache *cache, uint64_t number)
{
    struct block *block = find(cache, number);

    if (!block || !(block->flags & BLOCK_VALID))
        return NULL;
    touch(cache, block);
    return block;
}

/* ---- Memory ------------------------------------------------------------- */

int cache_init(struct cache *cache, struct ext4_disk *disk,
               unsigned block_bytes, unsigned count_max)
{
    unsigned buckets = 256;

    *cache = (struct cache){
        .disk = disk,
        .block_bytes = block_bytes,
        .block_count = disk->sectors / (block_bytes / EXT4_SECTOR_BYTES),
        .count_max = count_max,
    };
    list_init(&cache->clean);
    list_init(&cache->dirty);
    list_init(&cache->changed);
    list_init(&cache->logged);
    while (buckets < count_max && buckets < 65536)
        buckets *= 2;
    cache->hash_mask = buckets - 1;
    cache->hash = ext4_arena_alloc_zeroed(buckets, sizeof(cache->hash[0]));
    cache->batch = ext4_arena_alloc(CACHE_BATCH * sizeof(cache->batch[0]));
    return cache->hash && cache->batch ? 0 : -ENOMEM;
}

void cache_fini(struct cache *cache)
{
    struct block *slab, *next;

    for (slab = cache->slabs; slab; slab = next) {
        next = slab->hash_next;
        ext4_pages_free(slab->data, SLAB_BYTES);
        ext4_arena_free(slab);
    }
    ext4_arena_free(cache->hash);
    ext4_arena_free(cache->batch);
    *cache = (struct cache){.disk = cache->disk};
}

/* Makes `unused` hold some blocks. Returns whether that worked. */
static bool grow(struct cache *cache)
{
    uint8_t *data = ext4_pages_alloc(SLAB_BYTES);
    unsigned count = SLAB_BYTES / cache->block_bytes;
    struct block *blocks;

    if (!data)
        return false;
    /* The first one is not a block: it remembers the memory. */
    blocks = ext4_arena_alloc_zeroed(count + 1, sizeof(*blocks));
    if (!blocks) {
        ext4_pages_free(data, SLAB_BYTES);
        return false;
    }
    blocks[0].data = data;
    blocks[0].hash_next = cache->slabs;
    cache->slabs = blocks++;
    for (unsigned i = count; i-- > 0;) {
        list_init(&blocks[i].link);
        list_init(&blocks[i].logged);
        blocks[i].data = data + (size_t)i * cache->block_bytes;
        blocks[i].hash_next = cache->unused;
        cache->unused = &blocks[i];
    }
    return true;
}

static void drop(struct cache *cache, struct block *block)
{
    list_remove(&block->link);
    unhash(cache, block);
    block->flags = 0;
    block->hash_next = cache->unused;
    cache->unused = block;
    cache->count--;
}

/* A block of memory that belongs to nobody, or NULL. */
static struct block *take_unused(struct cache *cache)
{
    struct block *block;

    if (cache->count >= cache->count_max && cache->clean.next != &cache->clean)
        drop(cache, block_of(cache->clean.next));
    if (!cache->unused && !grow(cache)) {
        if (cache->clean.next == &cache->clean)
            return NULL;
        drop(cache, block_of(cache->clean.next));
    }
    block = cache->unused;
    cache->unused = block->hash_next;
    return block;
}

/* Sets `*found` to the block, which may have been there. */
static int get(struct cache *cache, uint64_t number, struct block **found)
{
    struct block *block = find(cache, number);
    struct block **bucket;

    if (number >= cache->block_count)
        return -EUCLEAN;
    if (!block) {
        block = take_unused(cache);
        if (!block)
            return -ENOMEM;
        bucket = bucket_of(cache, number);
        block->number = number;
        block->flags = 0;
        block->hash_next = *bucket;
        *bucket = block;
        list_append(&cache->clean, &block->link);
        cache->count++;
    } else {
        touch(cache, block);
    }
    *found = block;
    return 0;
}

/* ---- Reading ------------------------------------------------------------ */

static uint64_t sector_of(const struct cache *cache, uint64_t number)
{
    return number * (cache->block_bytes / EXT4_SECTOR_BYTES);
}

int cache_read(struct cache *cache, uint64_t number, struct block **found)
{
    int error = get(cache, number, found);
    struct iovec piece;

    if (error || ((*found)->flags & BLOCK_VALID))
        return error;
    piece = (struct iovec){(*found)->data, cache->block_bytes};
    error = cache->disk->start(cache->disk, false, sector_of(cache, number),
                               &piece, 1);
    if (!error)
        error = cache->disk->wait(cache->disk);
    if (error)
        drop(cache, *found);
    else
        (*found)->flags |= BLOCK_VALID;
    return error;
}

int cache_make(struct cache *cache, uint64_t number, struct block **found)
{
    int error = get(cache, number, found);

    if (!error)
        (*found)->flags |= BLOCK_VALID;
    return error;
}

/* Reads blocks in a row, none of which is there. Begins it only. */
static int start_read(struct cache *cache, struct block **blocks,
                      unsigned count)
{
    struct iovec pieces[EXT4_PIECES_MAX];

    for (unsigned i = 0; i < count; i++)
        pieces[i] = (struct iovec){blocks[i]->data, cache->block_bytes};
    return cache->disk->start(
        cache->disk, false, sector_of(cache, blocks[0]->number), pieces, count);
}

/* Begins to read blocks, in order of their numbers, in as few requests. */
static int start_reads(struct cache *cache, struct block **blocks,
                       unsigned count)
{
    int error = 0;

    for (unsigned first = 0, i = 1; i <= count && !error; i++)
        if (i == count || i - first == EXT4_PIECES_MAX ||
            blocks[i]->number != blocks[i - 1]->number + 1) {
            error = start_read(cache, blocks + first, i - first);
            first = i;
        }
    return error;
}

/*
 * Takes memory for those of the blocks that are not there. Until they are read
 * they are in no list, so that none makes way for another one.
 */
static int get_missing(struct cache *cache, uint64_t number, unsigned count,
                       struct block **blocks, unsigned *found)
{
    int error = 0;

    *found = 0;
    for (unsigned i = 0; i < count && *found < CACHE_AHEAD_MAX && !error; i++)
        if (!cache_peek(cache, number + i)) {
            error = get(cache, number + i, &blocks[*found]);
            if (!error)
                list_remove(&blocks[(*found)++]->link);
        }
    return error;
}

int cache_read_ahead(struct cache *cache, uint64_t number, unsigned count)
{
    struct block *blocks[CACHE_AHEAD_MAX];
    unsigned found;
    int error = get_missing(cache, number, count, blocks, &found), outcome;

    if (found && error == -ENOMEM)
        error = 0; /* some are better than none */
    if (found && !error)
        error = start_reads(cache, blocks, found);
    outcome = cache->disk->wait(cache->disk);
    error = error ? error : outcome;
    for (unsigned i = 0; i < found; i++)
        if (error) {
            drop(cache, blocks[i]);
        } else {
            blocks[i]->flags |= BLOCK_VALID;
            list_append(&cache->clean, &blocks[i]->link);
        }
    return error;
}

/* ---- Changing ----------------------------------------------------------- */

void cache_mark_dirty(struct cache *cache, struct block *block)
{
    if (block->flags & BLOCK_DIRTY)
        return;
    list_remove(&block->link);
    list_append(&cache->dirty, &block->link);
    block->flags |= BLOCK_DIRTY;
    cache->dirty_count++;
}

void cache_mark_changed(struct cache *cache, struct block *block)
{
    if (block->flags & BLOCK_CHANGED)
        return;
    if (block->flags & BLOCK_DIRTY) {
        block->flags &= ~(unsigned)BLOCK_DIRTY;
        cache->dirty_count--;
    }
    list_remove(&block->link);
    list_append(&cache->changed, &block->link);
    block->flags |= BLOCK_CHANGED;
    cache->changed_count++;
}

void cache_mark_logged(struct cache *cache, struct block *block)
{
    list_remove(&block->link);
    block->flags &= ~(unsigned)BLOCK_CHANGED;
    cache->changed_count--;
    if (block->flags & BLOCK_LOGGED)
        return;
    block->flags |= BLOCK_LOGGED;
    list_append(&cache->logged, &block->logged);
    cache->logged_count++;
}

int cache_forget(struct cache *cache, uint64_t number)
{
    struct block *block = find(cache, number);
    int error = 0;

    if (!block)
        return 0;
    if (block->flags & BLOCK_LOGGED) {
        list_remove(&block->logged);
        cache->logged_count--;
        error = cache->forgotten(cache, number);
    }
    if (block->flags & BLOCK_CHANGED)
        cache->changed_count--;
    if (block->flags & BLOCK_DIRTY)
        cache->dirty_count--;
    drop(cache, block);
    return error;
}

/* ---- Writing ------------------------------------------------------------ */

int cache_start_write(struct cache *cache, uint64_t number,
                      uint8_t *const *data, unsigned count)
{
    struct iovec pieces[EXT4_PIECES_MAX];
    int error = 0;

    cache->written = true;
    for (unsigned done = 0; done < count && !error;) {
        unsigned part =
            count - done < EXT4_PIECES_MAX ? count - done : EXT4_PIECES_MAX;

        for (unsigned i = 0; i < part; i++)
            pieces[i] = (struct iovec){data[done + i], cache->block_bytes};
        error = cache->disk->start(
            cache->disk, true, sector_of(cache, number + done), pieces, part);
        done += part;
    }
    return error;
}

static int compare_numbers(const void *a, const void *b)
{
    const struct block *const *x = a, *const *y = b;

    return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

/* Begins to write blocks, which it sorts, in requests as large as possible. */
static int start_writes(struct cache *cache, struct block **blocks,
                        unsigned count)
{
    uint8_t *data[EXT4_PIECES_MAX];
    int error = 0;

    qsort(blocks, count, sizeof(blocks[0]), compare_numbers);
    for (unsigned first = 0, i = 0; i < count && !error; i++) {
        data[i - first] = blocks[i]->data;
        if (i + 1 == count || i + 1 - first == EXT4_PIECES_MAX ||
            blocks[i + 1]->number != blocks[i]->number + 1) {
            error = cache_start_write(cache, blocks[first]->number, data,
                                      i + 1 - first);
            first = i + 1;
        }
    }
    return error;
}

/* Writes blocks and waits. What failed to be written is lost. */
static int write_blocks(struct cache *cache, struct block **blocks,
                        unsigned count)
{
    int error = start_writes(cache, blocks, count);
    int outcome = cache->disk->wait(cache->disk);

    return error ? error : outcome;
}

static int write_some_dirty(struct cache *cache)
{
    unsigned count = 0;
    int error;

    while (count < CACHE_BATCH && cache->dirty.next != &cache->dirty) {
        struct block *block = block_of(cache->dirty.next);

        list_remove(&block->link);
        block->flags &= ~(unsigned)BLOCK_DIRTY;
        cache->dirty_count--;
        cache->batch[count++] = block;
    }
    error = write_blocks(cache, cache->batch, count);
    for (unsigned i = 0; i < count; i++)
        touch(cache, cache->batch[i]);
    return error;
}

int cache_write_dirty(struct cache *cache)
{
    int error = 0;

    while (cache->dirty_count && !error)
        error = write_some_dirty(cache);
    return error;
}

static int write_some_logged(struct cache *cache)
{
    unsigned count = 0;
    int error;

    while (count < CACHE_BATCH && cache->logged.next != &cache->logged) {
        struct block *block = of_logged(cache->logged.next);

        list_remove(&block->logged);
        block->flags &= ~(unsigned)BLOCK_LOGGED;
        cache->logged_count--;
        cache->batch[count++] = block;
    }
    error = write_blocks(cache, cache->batch, count);
    for (unsigned i = 0; i < count; i++)
        touch(cache, cache->batch[i]);
    return error;
}

int cache_write_logged(struct cache *cache)
{
    int error = 0;

    while (cache->logged_count && !error)
        error = write_some_logged(cache);
    return error;
}

int cache_flush(struct cache *cache)
{
    int error;

    if (!cache->written)
        return 0;
    cache->written = false;
    if (cache->shared)
        cache->disk->unlock(cache->disk, EXT4_BLOCKS);
    error = cache->disk->flush(cache->disk);
    if (cache->shared)
        cache->disk->lock(cache->disk, EXT4_BLOCKS);
    if (error)
        cache->written = true;
    return error;
}
