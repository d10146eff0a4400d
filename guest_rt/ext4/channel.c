/* SPDX-License-Identifier: MIT */
/* libext2fs's way to the disk: through the cache. */
#include <errno.h>
#include <string.h>

#include "guest_rt/ext4/fs.h"

/*
 * libext2fs opens a channel by a name; there is one at a time to be opened,
 * between channel_init() and the end of ext2fs_open().
 */
static struct ext4_fs *opening;

static errcode_t channel_open(const char *name, int flags, io_channel *channel)
{
    (void)name;
    (void)flags;
    *channel = &opening->channel;
    return 0;
}

static errcode_t channel_close(io_channel channel)
{
    (void)channel;
    return 0;
}

static errcode_t channel_set_blksize(io_channel channel, int bytes)
{
    channel->block_size = bytes;
    return 0;
}

/* A part of one block of the cache. */
struct part {
    uint64_t number;
    unsigned offset, bytes;
};

/* The part of a range that is in its first block. */
static struct part first_part(const struct ext4_fs *fs, uint64_t at,
                              uint64_t bytes)
{
    unsigned offset = (unsigned)(at % fs->block_bytes);
    unsigned room = fs->block_bytes - offset;

    return (struct part){at / fs->block_bytes, offset,
                         bytes < room ? (unsigned)bytes : room};
}

/* A negative count is in bytes. */
static uint64_t bytes_of(io_channel channel, int count)
{
    return count < 0 ? (uint64_t) - (int64_t)count
                     : (uint64_t)count * (unsigned)channel->block_size;
}

static errcode_t channel_read(io_channel channel, unsigned long long block,
                              int count, void *data)
{
    struct ext4_fs *fs = channel->private_data;
    uint64_t bytes = bytes_of(channel, count);
    uint64_t at = block * (unsigned)channel->block_size;
    uint8_t *to = data;

    while (bytes > 0) {
        struct part part = first_part(fs, at, bytes);
        struct block *cached;
        int error = cache_read(&fs->cache, part.number, &cached);

        if (error)
            return -error;
        memcpy(to, cached->data + part.offset, part.bytes);
        to += part.bytes;
        at += part.bytes;
        bytes -= part.bytes;
    }
    return 0;
}

/* What is written as it was changes nothing. */
static int write_part(struct ext4_fs *fs, struct part part, const uint8_t *from)
{
    struct block *cached = cache_peek(&fs->cache, part.number);
    int error = 0;

    if (cached || part.bytes < fs->block_bytes) {
        error = cache_read(&fs->cache, part.number, &cached);
        if (!error && !memcmp(cached->data + part.offset, from, part.bytes))
            return 0;
    } else {
        error = cache_make(&fs->cache, part.number, &cached);
    }
    if (error)
        return error;
    memcpy(cached->data + part.offset, from, part.bytes);
    cache_mark_changed(&fs->cache, cached);
    return 0;
}

static errcode_t channel_write(io_channel channel, unsigned long long block,
                               int count, const void *data)
{
    struct ext4_fs *fs = channel->private_data;
    uint64_t bytes = bytes_of(channel, count);
    uint64_t at = block * (unsigned)channel->block_size;
    const uint8_t *from = data;

    if (fs->read_only)
        return EROFS;
    while (bytes > 0) {
        struct part part = first_part(fs, at, bytes);
        int error = write_part(fs, part, from);

        if (error)
            return -error;
        from += part.bytes;
        at += part.bytes;
        bytes -= part.bytes;
    }
    return 0;
}

static errcode_t channel_read_old(io_channel channel, unsigned long block,
                                  int count, void *data)
{
    return channel_read(channel, block, count, data);
}

static errcode_t channel_write_old(io_channel channel, unsigned long block,
                                   int count, const void *data)
{
    return channel_write(channel, block, count, data);
}

static errcode_t channel_flush(io_channel channel)
{
    (void)channel;
    return 0; /* fs_commit() does it */
}

/* In place of libext2fs's, which is in a file with much else. */
errcode_t ext2fs_zero_blocks2(ext2_filsys lib, blk64_t block, int count,
                              blk64_t *failed, int *failed_count)
{
    for (int i = 0; lib && i < count; i++) {
        struct ext4_fs *fs = lib->priv_data;
        struct block *cached;
        int error = cache_make(&fs->cache, block + (unsigned)i, &cached);

        if (error) {
            if (failed)
                *failed = block + (unsigned)i;
            if (failed_count)
                *failed_count = count - i;
            return -error;
        }
        memset(cached->data, 0, fs->block_bytes);
        cache_mark_changed(&fs->cache, cached);
    }
    return 0;
}

void channel_init(struct ext4_fs *fs)
{
    opening = fs;
    fs->manager = (struct struct_io_manager){
        .magic = EXT2_ET_MAGIC_IO_MANAGER,
        .name = "mayfly",
        .open = channel_open,
        .close = channel_close,
        .set_blksize = channel_set_blksize,
        .read_blk = channel_read_old,
        .write_blk = channel_write_old,
        .read_blk64 = channel_read,
        .write_blk64 = channel_write,
        .flush = channel_flush,
    };
    fs->channel = (struct struct_io_channel){
        .magic = EXT2_ET_MAGIC_IO_CHANNEL,
        .manager = &fs->manager,
        .name = (char *)(uintptr_t) "disk",
        .block_size = 1024,
        .refcount = 1,
        .private_data = fs,
    };
}
