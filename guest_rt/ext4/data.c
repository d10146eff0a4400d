/* SPDX-License-Identifier: MIT */
/* Reading and writing files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest_rt/ext4/fs.h"

/* Read ahead at most so much. */
#define AHEAD_BYTES (128u << 10)

/* Written at once at most; in between there may be a commit. */
#define CHUNK_BYTES (1u << 20)

/* More than this is removed with the inode on the list of orphans, so that a
 * transaction need not hold all of it. */
#define REMOVE_BYTES (16u << 20)

/* A range of a file within one block. */
struct span {
    uint64_t block;
    unsigned offset, bytes;
};

static struct span first_span(const struct ext4_fs *fs, uint64_t at,
                              uint64_t bytes)
{
    unsigned offset = (unsigned)(at & (fs->block_bytes - 1));
    unsigned room = fs->block_bytes - offset;

    return (struct span){at / fs->block_bytes, offset,
                         bytes < room ? (unsigned)bytes : room};
}

static uint64_t blocks_of(const struct ext4_fs *fs, uint64_t bytes)
{
    return bytes / fs->block_bytes + (bytes % fs->block_bytes != 0);
}

/* ---- Reading ------------------------------------------------------------ */

static bool is_hole(const struct map_run *run)
{
    return !run->number || run->unwritten;
}

/* A block of the file that is not in memory: reads it and what may follow. */
static int read_ahead(struct ext4_inode *inode, const struct map_run *run,
                      uint64_t wanted)
{
    struct ext4_fs *fs = inode->fs;
    uint64_t count = wanted > inode->ahead ? wanted : inode->ahead;
    uint64_t left = blocks_of(fs, inode_size(inode)) - run->block;

    count = count < left ? count : left;
    count = count < run->count ? count : run->count;
    if (count <= 1)
        return 0;
    return cache_read_ahead(&fs->cache, run->number,
                            count < CACHE_AHEAD_MAX ? (unsigned)count
                                                    : CACHE_AHEAD_MAX);
}

/* Reads within one run. `wanted` blocks will be read from here on. */
static int read_span(struct ext4_inode *inode, const struct map_run *run,
                     const struct span *span, uint64_t wanted, uint8_t *to)
{
    struct cache *cache = &inode->fs->cache;
    struct block *block = cache_peek(cache, run->number);
    int error = 0;

    if (!block) {
        error = read_ahead(inode, run, wanted);
        if (!error)
            error = cache_read(cache, run->number, &block);
    }
    if (!error)
        memcpy(to, block->data + span->offset, span->bytes);
    return error;
}

/* Reads `bytes` bytes, all of them in the file. */
static int read_bytes(struct ext4_inode *inode, uint64_t at, uint8_t *to,
                      uint64_t bytes)
{
    struct ext4_fs *fs = inode->fs;
    struct map_run run = {0};

    while (bytes > 0) {
        struct span span = first_span(fs, at, bytes);
        int error = 0;

        if (!run.count)
            error = map_find(inode, span.block, &run);
        if (!error && is_hole(&run))
            memset(to, 0, span.bytes);
        else if (!error)
            error = read_span(inode, &run, &span,
                              blocks_of(fs, span.offset + bytes), to);
        if (error)
            return error;
        run.block++;
        run.number += run.number ? 1 : 0;
        run.count--;
        at += span.bytes;
        to += span.bytes;
        bytes -= span.bytes;
    }
    return 0;
}

/* Whoever reads on where the last read ended gets more and more at once. */
static void adapt_ahead(struct ext4_inode *inode, uint64_t offset)
{
    unsigned max = AHEAD_BYTES / inode->fs->block_bytes;

    if (offset != inode->read_end)
        inode->ahead = 0;
    else if (inode->ahead < max)
        inode->ahead = inode->ahead ? inode->ahead * 2 : 4;
}

static long read_all(struct ext4_inode *inode, const struct iovec *iov,
                     int count, uint64_t offset)
{
    uint64_t size = inode_size(inode);
    long done = 0;

    adapt_ahead(inode, offset);
    for (int i = 0; i < count && offset < size; i++) {
        uint64_t left = size - offset;
        uint64_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        int error = read_bytes(inode, offset, iov[i].iov_base, part);

        if (error)
            return done ? done : error;
        offset += part;
        done += (long)part;
    }
    inode->read_end = offset;
    return done;
}

long ext4_read(struct ext4_inode *inode, const struct iovec *iov, int count,
               uint64_t offset)
{
    long result;

    fs_look(inode->fs);
    result = read_all(inode, iov, count, offset);
    fs_look_end(inode->fs);
    return result;
}

/* ---- Writing ------------------------------------------------------------ */

/*
 * Writes into one block of the disk. What else is in it is kept, or zero if it
 * is `fresh`: it held nothing of the file before.
 */
static int write_span(struct ext4_fs *fs, uint64_t number,
                      const struct span *span, bool fresh, const uint8_t *from)
{
    bool whole = span->bytes == fs->block_bytes;
    struct block *block;
    int error = whole || fresh ? cache_make(&fs->cache, number, &block)
                               : cache_read(&fs->cache, number, &block);

    if (error)
        return error;
    if (fresh && !whole)
        memset(block->data, 0, fs->block_bytes);
    if (from)
        memcpy(block->data + span->offset, from, span->bytes);
    else
        memset(block->data + span->offset, 0, span->bytes);
    cache_mark_dirty(&fs->cache, block);
    return 0;
}

/*
 * Finds or makes room for `count` blocks from `block` on, or for the first of
 * them. `*fresh` says that they held nothing before.
 */
static int make_room(struct ext4_inode *inode, uint64_t block, uint64_t count,
                     struct map_run *run, bool *fresh)
{
    int error = map_find(inode, block, run);

    if (error)
        return error;
    if (run->count > count)
        run->count = count;
    *fresh = is_hole(run);
    if (!run->number) {
        count = run->count;
        error = map_fill(inode, block, count, false, run);
        if (error == -ENOSPC && inode->fs->held_blocks) {
            /* What was freed just now is free once that is committed. */
            error = fs_commit(inode->fs);
            if (!error)
                error = map_fill(inode, block, count, false, run);
        }
    } else if (run->unwritten) {
        error = map_write(inode, block, run->count);
    }
    return error;
}

/* Writes what fits in one run. Returns the bytes, or -errno. */
static long write_run(struct ext4_inode *inode, uint64_t at,
                      const uint8_t *from, uint64_t bytes)
{
    struct ext4_fs *fs = inode->fs;
    uint64_t done = 0;
    struct map_run run;
    bool fresh = false;
    int error =
        make_room(inode, at / fs->block_bytes,
                  blocks_of(fs, at % fs->block_bytes + bytes), &run, &fresh);

    for (uint64_t i = 0; !error && i < run.count && done < bytes; i++) {
        struct span span = first_span(fs, at + done, bytes - done);

        error = write_span(fs, run.number + i, &span, fresh, from + done);
        done += error ? 0 : span.bytes;
    }
    /* Blocks that belong to the file already, and hold nothing of it. */
    if (error && fresh && done < bytes && error != -ENOSPC)
        return fs_fail(fs, error);
    if (at + done > inode_size(inode)) {
        inode_set_size(inode, at + done);
        inode_mark_data(inode);
    }
    return error ? error : (long)done;
}

static long write_bytes(struct ext4_inode *inode, uint64_t at,
                        const uint8_t *from, uint64_t bytes)
{
    uint64_t done = 0;

    while (done < bytes) {
        uint64_t left = bytes - done;
        long part = write_run(inode, at + done, from + done,
                              left < CHUNK_BYTES ? left : CHUNK_BYTES);
        int error = part < 0 ? (int)part : fs_breathe(inode->fs);

        if (error)
            return done ? (long)done : error;
        done += (uint64_t)part;
    }
    return (long)done;
}

/* The largest file. */
static uint64_t size_max(const struct ext4_inode *inode)
{
    uint64_t blocks = inode->raw.i_flags & EXT4_EXTENTS_FL
                          ? (UINT64_C(1) << 32) - 1
                          : (UINT64_C(1) << 24);

    return blocks * inode->fs->block_bytes;
}

static long write_all(struct ext4_inode *inode, const struct iovec *iov,
                      int count, uint64_t offset)
{
    uint64_t max = size_max(inode);
    long done = 0;
    int error = fs_begin(inode->fs);

    if (!error && offset >= max)
        error = -EFBIG;
    if (error)
        return error;
    inode_touch_written(inode);
    for (int i = 0; i < count; i++) {
        uint64_t bytes = iov[i].iov_len;
        long part;

        if (bytes > max - offset)
            bytes = max - offset;
        part = write_bytes(inode, offset, iov[i].iov_base, bytes);
        if (part < 0)
            return done ? done : part;
        done += part;
        offset += (uint64_t)part;
        if ((uint64_t)part < iov[i].iov_len)
            break;
    }
    return done;
}

long ext4_write(struct ext4_inode *inode, const struct iovec *iov, int count,
                uint64_t *offset, bool append)
{
    long result;

    fs_enter(inode->fs);
    if (append)
        *offset = inode_size(inode);
    result = write_all(inode, iov, count, *offset);
    return fs_leave(inode->fs, result);
}

/* ---- Sizes -------------------------------------------------------------- */

/* Zeroes a part of one block, if the file has that block. */
static int zero_span(struct ext4_inode *inode, const struct span *span)
{
    struct map_run run;
    int error = map_find(inode, span->block, &run);

    if (error || is_hole(&run))
        return error;
    return write_span(inode->fs, run.number, span, false, NULL);
}

static int shrink(struct ext4_inode *inode, uint64_t bytes)
{
    struct ext4_fs *fs = inode->fs;
    struct span span = first_span(fs, bytes, fs->block_bytes);
    bool large = inode_size(inode) - bytes > REMOVE_BYTES && !inode->orphan;
    int error = span.offset ? zero_span(inode, &span) : 0;

    if (error)
        return error;
    inode_set_size(inode, bytes);
    if (large)
        inode_add_orphan(inode);
    error = map_remove(inode, blocks_of(fs, bytes), UINT64_MAX);
    if (large && !error) {
        inode_drop_orphan(inode);
        inode->raw.i_dtime = 0;
    }
    return error;
}

int data_resize(struct ext4_inode *inode, uint64_t bytes)
{
    int error = 0;

    if (bytes > size_max(inode))
        return -EFBIG;
    if (bytes < inode_size(inode))
        error = shrink(inode, bytes);
    else
        inode_set_size(inode, bytes);
    inode_touch(inode, TIME_MODIFY | TIME_CHANGE);
    inode_mark_data(inode);
    return error;
}

int ext4_truncate(struct ext4_inode *inode, uint64_t bytes)
{
    int error;

    fs_enter(inode->fs);
    error = fs_begin(inode->fs);
    if (!error)
        error = data_resize(inode, bytes);
    return (int)fs_leave(inode->fs, error);
}

/* Frees whole blocks, and zeroes the parts of blocks at both ends. */
static int punch(struct ext4_inode *inode, uint64_t from, uint64_t to)
{
    struct ext4_fs *fs = inode->fs;
    uint64_t first = blocks_of(fs, from), end = to / fs->block_bytes;
    int error = 0;

    if (from % fs->block_bytes) {
        struct span span = first_span(fs, from, to - from);

        error = zero_span(inode, &span);
    }
    if (!error && to % fs->block_bytes && end >= first) {
        struct span span = {end, 0, (unsigned)(to % fs->block_bytes)};

        error = zero_span(inode, &span);
    }
    if (!error && end > first)
        error = map_remove(inode, first, end - 1);
    return error;
}

/* Gives blocks to all holes in a range; they read as zeroes. */
static int reserve(struct ext4_inode *inode, uint64_t from, uint64_t to)
{
    struct ext4_fs *fs = inode->fs;
    uint64_t block = from / fs->block_bytes, end = blocks_of(fs, to);
    int error = 0;

    while (block < end && !error) {
        struct map_run run;

        error = map_find(inode, block, &run);
        if (!error && !run.number)
            error = map_fill(inode, block,
                             run.count < end - block ? run.count : end - block,
                             true, &run);
        if (!error)
            error = fs_breathe(fs);
        block += run.count;
    }
    return error;
}

#define KNOWN_MODES \
    (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)

static int allocate(struct ext4_inode *inode, int mode, uint64_t offset,
                    uint64_t bytes)
{
    uint64_t end = offset + bytes, size = inode_size(inode);
    int error = fs_begin(inode->fs);

    if (error)
        return error;
    if (end > size_max(inode) || end < offset)
        return -EFBIG;
    if (mode & FALLOC_FL_PUNCH_HOLE)
        error =
            offset < size ? punch(inode, offset, end < size ? end : size) : 0;
    else if (mode & FALLOC_FL_ZERO_RANGE)
        error = punch(inode, offset, end);
    if (!error && !(mode & FALLOC_FL_PUNCH_HOLE))
        error = reserve(inode, offset, end);
    if (!error && !(mode & FALLOC_FL_KEEP_SIZE) && end > size) {
        inode_set_size(inode, end);
        inode_mark_data(inode);
    }
    inode_touch(inode, TIME_MODIFY | TIME_CHANGE);
    return error;
}

int ext4_fallocate(struct ext4_inode *inode, int mode, uint64_t offset,
                   uint64_t bytes)
{
    int error;

    if ((mode & ~KNOWN_MODES) ||
        ((mode & FALLOC_FL_PUNCH_HOLE) && !(mode & FALLOC_FL_KEEP_SIZE)) ||
        !(inode->raw.i_flags & EXT4_EXTENTS_FL))
        return -EOPNOTSUPP;
    fs_enter(inode->fs);
    error = allocate(inode, mode, offset, bytes);
    return (int)fs_leave(inode->fs, error);
}

/* ---- Holes -------------------------------------------------------------- */

static long find_data(struct ext4_inode *inode, uint64_t offset, bool hole)
{
    unsigned bytes = inode->fs->block_bytes;
    uint64_t size = inode_size(inode);

    if (offset >= size)
        return -ENXIO;
    while (offset < size) {
        struct map_run run;
        int error = map_find(inode, offset / bytes, &run);

        if (error)
            return error;
        if (is_hole(&run) == hole)
            return (long)offset;
        offset = (run.block + run.count) * bytes;
    }
    return hole ? (long)size : -ENXIO;
}

long ext4_seek(struct ext4_inode *inode, uint64_t offset, int whence)
{
    long result;

    fs_look(inode->fs);
    result = find_data(inode, offset, whence == SEEK_HOLE);
    fs_look_end(inode->fs);
    return result;
}
