/* SPDX-License-Identifier: MIT */
/* The cache holds what is on the disk, however little room it has. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "guest_rt/ext4/cache.h"
#include "tests/ext4/fake_disk.h"

#define BLOCK_BYTES 1024u
#define ROOM        8u

/* A disk whose blocks hold their own numbers. */
static void make_disk(struct fake_disk *disk, struct cache *cache)
{
    fake_make(disk, 1, "-b 1024 -O ^has_journal", NULL);
    for (size_t at = 0; at < disk->bytes; at++)
        disk->image[at] = (uint8_t)(at / BLOCK_BYTES);
    cr_assert_eq(cache_init(cache, &disk->disk, BLOCK_BYTES, ROOM), 0);
    disk->disk.lock(&disk->disk, EXT4_BLOCKS);
}

static void check_block(struct cache *cache, uint64_t number)
{
    struct block *block;

    cr_assert_eq(cache_read(cache, number, &block), 0);
    cr_assert_eq(block->number, number);
    cr_assert_eq(block->data[0], (uint8_t)number, "block %u has %u",
                 (unsigned)number, block->data[0]);
}

/* None of them makes way for another one: the first is wanted next. */
Test(ext4_cache, has_all_that_it_read_ahead, .timeout = 60)
{
    struct fake_disk disk;
    struct cache cache;

    make_disk(&disk, &cache);
    cr_assert_eq(cache_read_ahead(&cache, 100, 3 * ROOM), 0);
    for (uint64_t number = 100; number < 100 + 3 * ROOM; number++)
        cr_assert_not_null(cache_peek(&cache, number), "%u", (unsigned)number);
    for (uint64_t number = 100; number < 100 + 3 * ROOM; number++)
        check_block(&cache, number);
    cache_fini(&cache);
    fake_free(&disk);
}

/* Each is given up once: memory is not two blocks' afterwards. */
Test(ext4_cache, gives_up_what_it_could_not_read, .timeout = 60)
{
    struct block *blocks[3 * ROOM];
    struct fake_disk disk;
    struct cache cache;

    make_disk(&disk, &cache);
    disk.fail_reads = true;
    cr_assert_eq(cache_read_ahead(&cache, 100, 3 * ROOM), -EIO);
    disk.fail_reads = false;
    cr_assert_eq(cache.count, 0);
    for (unsigned i = 0; i < 3 * ROOM; i++) {
        cr_assert_eq(cache_read(&cache, i, &blocks[i]), 0);
        cache_mark_dirty(&cache, blocks[i]);
    }
    for (unsigned i = 0; i < 3 * ROOM; i++)
        cr_assert_eq(blocks[i]->number, i);
    cache_fini(&cache);
    fake_free(&disk);
}

/* What is dirty stays, so that there is next to nothing else to be dropped. */
Test(ext4_cache, reads_ahead_while_all_else_is_dirty, .timeout = 60)
{
    struct fake_disk disk;
    struct cache cache;
    struct block *block;

    make_disk(&disk, &cache);
    for (uint64_t number = 0; number < 2 * ROOM; number++) {
        cr_assert_eq(cache_read(&cache, number, &block), 0);
        cache_mark_dirty(&cache, block);
    }
    cr_assert_eq(cache_read_ahead(&cache, 200, ROOM), 0);
    for (uint64_t number = 200; number < 200 + ROOM; number++)
        check_block(&cache, number);
    cr_assert_eq(cache.dirty_count, 2 * ROOM);
    cache_fini(&cache);
    fake_free(&disk);
}

/* Blocks that it has are passed over, and stay as they are. */
Test(ext4_cache, reads_ahead_around_what_it_has, .timeout = 60)
{
    struct fake_disk disk;
    struct cache cache;
    struct block *block;

    make_disk(&disk, &cache);
    cr_assert_eq(cache_make(&cache, 52, &block), 0);
    memset(block->data, 7, BLOCK_BYTES);
    cache_mark_dirty(&cache, block);
    cr_assert_eq(cache_read_ahead(&cache, 50, 5), 0);
    cr_assert_eq(block->data[0], 7);
    check_block(&cache, 51);
    check_block(&cache, 53);
    cache_fini(&cache);
    fake_free(&disk);
}
