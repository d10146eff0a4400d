/* SPDX-License-Identifier: MIT */
/* Free blocks and inodes: taking, giving back, and the bitmaps on the disk. */
#include <errno.h>
#include <string.h>

#include "guest_rt/ext4/arena.h"
#include "guest_rt/ext4/fs.h"

/* ---- What libext2fs tells ----------------------------------------------- */

static void note_group(struct ext4_fs *fs, dgrp_t group, unsigned what)
{
    fs->groups[group] |= (uint8_t)what;
    fs->groups_changed = true;
    fs->super_changed = true;
}

/* Remembers a freed block until the commit. Returns 0 or -ENOMEM. */
static int hold(struct ext4_fs *fs, uint64_t number)
{
    struct held_range *last = fs->held + fs->held_count;

    fs->held_blocks++;
    if (fs->held_count > 0 && last[-1].first + last[-1].count == number) {
        last[-1].count++;
        return 0;
    }
    if (fs->held_count == fs->held_max) {
        unsigned max = fs->held_max ? fs->held_max * 2 : 64;
        struct held_range *larger =
            ext4_arena_realloc(fs->held, max * sizeof(*larger));

        if (!larger)
            return -ENOMEM;
        fs->held = larger;
        fs->held_max = max;
    }
    fs->held[fs->held_count++] = (struct held_range){number, 1};
    return 0;
}

/* libext2fs has taken a block (+1), or freed it. */
static void block_changed(ext2_filsys lib, blk64_t number, int inuse)
{
    struct ext4_fs *fs = lib->priv_data;
    int error;

    note_group(fs, ext2fs_group_of_blk2(lib, number), GROUP_BLOCKS);
    if (inuse > 0)
        return;
    error = cache_forget(&fs->cache, number);
    ext2fs_mark_block_bitmap2(lib->block_map, number);
    if (!error)
        error = hold(fs, number);
    if (error)
        fs_fail(fs, error);
}

static int block_revoked(struct cache *cache, uint64_t number)
{
    struct ext4_fs *fs =
        (struct ext4_fs *)(void *)((char *)cache -
                                   offsetof(struct ext4_fs, cache));

    return journal_revoke(&fs->journal, number);
}

int space_init(struct ext4_fs *fs)
{
    fs->groups = ext4_arena_alloc_zeroed(fs->lib->group_desc_count, 1);
    if (!fs->groups)
        return -ENOMEM;
    fs->cache.forgotten = block_revoked;
    ext2fs_set_block_alloc_stats_callback(fs->lib, block_changed, NULL);
    return 0;
}

void space_fini(struct ext4_fs *fs)
{
    ext4_arena_free(fs->groups);
    ext4_arena_free(fs->held);
    fs->groups = NULL;
    fs->held = NULL;
}

/* ---- Blocks ------------------------------------------------------------- */

uint64_t fs_free_blocks(const struct ext4_fs *fs)
{
    uint64_t free_blocks = ext2fs_free_blocks_count(fs->lib->super);

    return free_blocks > fs->held_blocks ? free_blocks - fs->held_blocks : 0;
}

int space_take(struct ext4_fs *fs, uint64_t goal, uint64_t *first,
               uint64_t *count)
{
    ext2_filsys lib = fs->lib;
    uint64_t free_blocks = fs_free_blocks(fs);
    blk64_t got;
    errcode_t error;

    if (free_blocks <= SPARE_BLOCKS)
        return -ENOSPC;
    if (*count > free_blocks - SPARE_BLOCKS)
        *count = free_blocks - SPARE_BLOCKS;
    error =
        ext2fs_new_range(lib, 0, goal, *count, NULL, (blk64_t *)first, &got);
    if (error == EXT2_ET_BLOCK_ALLOC_FAIL)
        return -ENOSPC;
    if (error)
        return fs_check(fs, error);
    *count = got;
    ext2fs_block_alloc_stats_range(lib, *first, (blk_t)got, +1);
    for (dgrp_t group = ext2fs_group_of_blk2(lib, *first);
         group <= ext2fs_group_of_blk2(lib, *first + got - 1); group++)
        note_group(fs, group, GROUP_BLOCKS);
    return 0;
}

void space_give(struct ext4_fs *fs, uint64_t first, uint64_t count)
{
    while (count-- > 0)
        ext2fs_block_alloc_stats2(fs->lib, first++, -1);
}

/* ---- Inodes ------------------------------------------------------------- */

int space_take_inode(struct ext4_fs *fs, ext2_ino_t directory, bool is_dir,
                     ext2_ino_t *number)
{
    errcode_t error;

    if (fs_free_blocks(fs) <= SPARE_BLOCKS)
        return -ENOSPC;
    error =
        ext2fs_new_inode(fs->lib, directory,
                         is_dir ? LINUX_S_IFDIR : LINUX_S_IFREG, NULL, number);
    if (error == EXT2_ET_INODE_ALLOC_FAIL)
        return -ENOSPC;
    if (error)
        return fs_check(fs, error);
    ext2fs_inode_alloc_stats2(fs->lib, *number, +1, is_dir);
    /* libext2fs may have found the whole group unused until now. */
    note_group(fs, ext2fs_group_of_ino(fs->lib, *number),
               GROUP_INODES | GROUP_BLOCKS);
    return 0;
}

void space_give_inode(struct ext4_fs *fs, ext2_ino_t number, bool is_dir)
{
    ext2fs_inode_alloc_stats2(fs->lib, number, -1, is_dir);
    note_group(fs, ext2fs_group_of_ino(fs->lib, number), GROUP_INODES);
}

/* ---- Storing ------------------------------------------------------------ */

/* Freed blocks become free in the bitmap, which is about to be stored. */
static void release_held(struct ext4_fs *fs)
{
    for (unsigned i = 0; i < fs->held_count; i++)
        for (uint64_t n = 0; n < fs->held[i].count; n++)
            ext2fs_unmark_block_bitmap2(fs->lib->block_map,
                                        fs->held[i].first + n);
    fs->held_count = 0;
    fs->held_blocks = 0;
}

static errcode_t store_block_bitmap(struct ext4_fs *fs, dgrp_t group,
                                    char *buffer)
{
    ext2_filsys lib = fs->lib;
    struct ext2_super_block *super = lib->super;
    unsigned bits = EXT2_CLUSTERS_PER_GROUP(super);
    uint64_t first = super->s_first_data_block + (uint64_t)group * bits;
    uint64_t left = ext2fs_blocks_count(super) - first;
    errcode_t error;

    memset(buffer, 0xff, fs->block_bytes);
    error = ext2fs_get_block_bitmap_range2(lib->block_map, first, bits, buffer);
    if (error)
        return error;
    /* What is past the end of the disk counts as used. */
    for (uint64_t bit = left; bit < fs->block_bytes * 8u; bit++)
        ext2fs_set_bit((unsigned)bit, buffer);
    error = ext2fs_block_bitmap_csum_set(lib, group, buffer, (int)bits / 8);
    if (error)
        return error;
    return io_channel_write_blk64(lib->io, ext2fs_block_bitmap_loc(lib, group),
                                  1, buffer);
}

static errcode_t store_inode_bitmap(struct ext4_fs *fs, dgrp_t group,
                                    char *buffer)
{
    ext2_filsys lib = fs->lib;
    unsigned bits = EXT2_INODES_PER_GROUP(lib->super);
    errcode_t error;

    memset(buffer, 0xff, fs->block_bytes);
    error = ext2fs_get_inode_bitmap_range2(
        lib->inode_map, 1 + (uint64_t)group * bits, bits, buffer);
    if (error)
        return error;
    error = ext2fs_inode_bitmap_csum_set(lib, group, buffer, (int)bits / 8);
    if (error)
        return error;
    return io_channel_write_blk64(lib->io, ext2fs_inode_bitmap_loc(lib, group),
                                  1, buffer);
}

static errcode_t store_group(struct ext4_fs *fs, dgrp_t group, char *buffer)
{
    unsigned what = fs->groups[group];
    errcode_t error = 0;

    if (what & GROUP_BLOCKS)
        error = store_block_bitmap(fs, group, buffer);
    if (!error && (what & GROUP_INODES))
        error = store_inode_bitmap(fs, group, buffer);
    if (what)
        ext2fs_group_desc_csum_set(fs->lib, group);
    fs->groups[group] = 0;
    return error;
}

/* The blocks of group descriptors; those that are the same do not count. */
static errcode_t store_descriptors(struct ext4_fs *fs)
{
    ext2_filsys lib = fs->lib;
    const char *from = (const char *)lib->group_desc;
    errcode_t error = 0;

    for (unsigned i = 0; i < lib->desc_blocks && !error; i++)
        error =
            io_channel_write_blk64(lib->io,
                                   ext2fs_descriptor_block_loc2(
                                       lib, lib->super->s_first_data_block, i),
                                   1, from + (size_t)i * fs->block_bytes);
    return error;
}

static errcode_t store_super(struct ext4_fs *fs)
{
    ext2_filsys lib = fs->lib;
    errcode_t error;

    lib->super->s_wtime = (uint32_t)ext4_time().tv_sec;
    ext2fs_superblock_csum_set(lib, lib->super);
    io_channel_set_blksize(lib->io, 1024);
    error = io_channel_write_blk64(lib->io, 1, -1024, lib->super);
    io_channel_set_blksize(lib->io, (int)fs->block_bytes);
    return error;
}

unsigned space_changed(const struct ext4_fs *fs)
{
    unsigned count = 1;

    if (!fs->groups_changed)
        return count;
    for (dgrp_t group = 0; group < fs->lib->group_desc_count; group++)
        count += fs->groups[group] ? 2 : 0;
    return count + (unsigned)fs->lib->desc_blocks;
}

int space_store(struct ext4_fs *fs)
{
    errcode_t error = 0;
    char *buffer;

    if (!fs->super_changed)
        return 0;
    buffer = ext4_arena_alloc(fs->block_bytes);
    if (!buffer)
        return -ENOMEM;
    release_held(fs);
    for (dgrp_t i = 0; i < fs->lib->group_desc_count && !error; i++)
        if (fs->groups[i])
            error = store_group(fs, i, buffer);
    if (!error && fs->groups_changed)
        error = store_descriptors(fs);
    if (!error)
        error = store_super(fs);
    ext4_arena_free(buffer);
    fs->groups_changed = false;
    fs->super_changed = false;
    return ext4_errno(error);
}
