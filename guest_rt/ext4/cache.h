/* SPDX-License-Identifier: MIT */
/* The blocks of a disk that are in memory, data and metadata alike. */
#ifndef GUEST_RT_EXT4_CACHE_H
#define GUEST_RT_EXT4_CACHE_H

/*
 * A block is found by its number on the disk. What becomes of one that was
 * changed depends on what it is:
 *
 *   data       DIRTY: written in its place at some time, at the latest before
 *              the transaction that made it reachable is committed
 *   metadata   CHANGED: in the running transaction, which writes it to the
 *              journal; then LOGGED: safe there, and not in its place yet
 *
 * A block that is none of these is clean and may be dropped, the one that was
 * used longest ago first. A CHANGED block may be LOGGED as well: then what is
 * in the journal is older.
 *
 * All of it belongs to the holder of the lock of the blocks.
 */

#include <stdbool.h>
#include <stdint.h>

#include "guest_rt/ext4/disk.h"

/* Blocks that one call of cache_read_ahead() reads at most. */
#define CACHE_AHEAD_MAX 128u

/* Blocks are sorted and written so many at a time. */
#define CACHE_BATCH 1024u

enum {
    BLOCK_VALID = 1, /* holds what is, or will be, on the disk */
    BLOCK_DIRTY = 2,
    BLOCK_CHANGED = 4,
    BLOCK_LOGGED = 8,
};

struct block_link {
    struct block_link *next, *previous;
};

struct block {
    struct block_link link;   /* clean, dirty or changed */
    struct block_link logged; /* if LOGGED */
    struct block *hash_next;
    uint64_t number;
    uint8_t *data;
    unsigned flags;
};

struct cache {
    struct ext4_disk *disk;
    unsigned block_bytes;
    uint64_t block_count; /* of the disk */
    struct block **hash;  /* by number */
    unsigned hash_mask;
    struct block_link clean; /* oldest first */
    struct block_link dirty, changed, logged;
    struct block *unused;      /* with memory, by hash_next */
    struct block *slabs;       /* where that came from, likewise */
    struct block **batch;      /* room for CACHE_BATCH */
    unsigned count, count_max; /* blocks in memory; wanted at most */
    unsigned dirty_count, changed_count, logged_count;
    bool written; /* since the disk was flushed */
    bool shared;  /* others may read while it is flushed */
    /* Told when a block that is LOGGED is forgotten. */
    int (*forgotten)(struct cache *cache, uint64_t number);
};

/*
 * Makes an empty cache for blocks of so many bytes, of `count_max` blocks as
 * long as what has to be kept allows. Returns 0 or -ENOMEM.
 */
int cache_init(struct cache *cache, struct ext4_disk *disk,
               unsigned block_bytes, unsigned count_max);

/* Gives its memory back; what was not written is lost. */
void cache_fini(struct cache *cache);

/* The block if it is in memory and valid, or NULL. */
struct block *cache_peek(struct cache *cache, uint64_t number);

/*
 * Sets `*found` to a block, read from the disk. Returns 0, -ENOMEM, -EIO, or
 * -EUCLEAN if the disk has no such block.
 */
int cache_read(struct cache *cache, uint64_t number, struct block **found);

/*
 * Sets `*found` to a block whose content does not matter, because all of it is
 * about to be written: it is valid from now on.
 */
int cache_make(struct cache *cache, uint64_t number, struct block **found);

/*
 * Reads up to `count` blocks from `number` on that are not there yet, with as
 * few requests as possible. Returns 0 or -errno.
 */
int cache_read_ahead(struct cache *cache, uint64_t number, unsigned count);

/* The block is data, and was changed. */
void cache_mark_dirty(struct cache *cache, struct block *block);

/* The block is metadata, and was changed in the running transaction. */
void cache_mark_changed(struct cache *cache, struct block *block);

/* The running transaction is safe in the journal: CHANGED becomes LOGGED. */
void cache_mark_logged(struct cache *cache, struct block *block);

/*
 * What is in the block does not matter any more: it was freed. Returns 0, or
 * what forgotten() returned.
 */
int cache_forget(struct cache *cache, uint64_t number);

/* Writes all DIRTY blocks in their places, and waits for that. */
int cache_write_dirty(struct cache *cache);

/* Writes all LOGGED blocks in their places; there must be no CHANGED ones. */
int cache_write_logged(struct cache *cache);

/*
 * Flushes the disk, if there is something to flush. If the cache is shared the
 * lock of the blocks is given away for that: what is clean may go.
 */
int cache_flush(struct cache *cache);

/*
 * Writes blocks of memory to the disk, from block `number` on, in requests as
 * large as possible; begins it only (disk->wait).
 */
int cache_start_write(struct cache *cache, uint64_t number,
                      uint8_t *const *data, unsigned count);

static inline struct block *block_of(struct block_link *link)
{
    return (struct block *)(void *)link;
}

#endif
