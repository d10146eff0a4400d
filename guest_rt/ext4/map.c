/* SPDX-License-Identifier: MIT */
/* Where the blocks of a file are. */
#include <errno.h>

#include "guest_rt/ext4/fs.h"

/* A hole that goes on to the end of what a file may have. */
#define BLOCKS_MAX (UINT64_C(1) << 32)

/* Blocks of one extent at most; of an unwritten one. */
#define EXTENT_MAX           32768u
#define UNWRITTEN_EXTENT_MAX 32767u

/* ---- Runs that are remembered ------------------------------------------- */

static bool run_has(const struct map_run *run, uint64_t block)
{
    return block >= run->block && block - run->block < run->count;
}

/* The part of a run from `block` on. */
static struct map_run run_from(const struct map_run *run, uint64_t block)
{
    uint64_t skipped = block - run->block;

    return (struct map_run){block, run->number ? run->number + skipped : 0,
                            run->count - skipped, run->unwritten};
}

static void remember(struct ext4_inode *inode, const struct map_run *run)
{
    if (!run->number)
        return;
    /* A file that grows: the run that is longer now takes its old place. */
    for (unsigned i = 0; i < inode->run_count; i++)
        if (inode->runs[i].block == run->block) {
            inode->runs[i] = *run;
            return;
        }
    inode->runs[inode->run_next] = *run;
    inode->run_next = (inode->run_next + 1) % MAP_RUNS;
    if (inode->run_count < MAP_RUNS)
        inode->run_count++;
}

static void forget(struct ext4_inode *inode)
{
    inode->run_count = 0;
    inode->run_next = 0;
}

/* ---- Finding ------------------------------------------------------------ */

static bool is_unwritten(const struct ext2fs_extent *extent)
{
    return extent->e_flags & EXT2_EXTENT_FLAGS_UNINIT;
}

/*
 * Turns what was found next to a block into a run that begins at or before
 * it: the extent that has it, or a hole up to the next one.
 */
static errcode_t run_at(ext2_extent_handle_t handle, uint64_t block,
                        struct ext2fs_extent *extent, struct map_run *run)
{
    errcode_t error = 0;

    if (block >= extent->e_lblk && block - extent->e_lblk < extent->e_len) {
        *run = (struct map_run){extent->e_lblk, extent->e_pblk, extent->e_len,
                                is_unwritten(extent)};
        return 0;
    }
    if (extent->e_lblk < block)
        error = ext2fs_extent_get(handle, EXT2_EXTENT_NEXT_LEAF, extent);
    if (error && error != EXT2_ET_EXTENT_NO_NEXT)
        return error;
    if (error || extent->e_lblk <= block)
        *run = (struct map_run){block, 0, BLOCKS_MAX - block, false};
    else
        *run = (struct map_run){block, 0, extent->e_lblk - block, false};
    return 0;
}

static errcode_t find_extent(struct ext4_inode *inode, uint64_t block,
                             struct map_run *run)
{
    ext2_extent_handle_t handle;
    struct ext2fs_extent extent;
    errcode_t error = ext2fs_extent_open2(inode->fs->lib, inode->number,
                                          inode_raw(inode), &handle);

    if (error)
        return error;
    error = ext2fs_extent_goto(handle, block);
    if (!error || error == EXT2_ET_EXTENT_NOT_FOUND)
        error = ext2fs_extent_get(handle, EXT2_EXTENT_CURRENT, &extent);
    if (!error)
        error = run_at(handle, block, &extent, run);
    else if (error == EXT2_ET_NO_CURRENT_NODE) {
        *run = (struct map_run){block, 0, BLOCKS_MAX - block, false};
        error = 0;
    }
    ext2fs_extent_free(handle);
    return error;
}

/* A file with indirect blocks, as ext3 made them: block by block. */
static errcode_t find_indirect(struct ext4_inode *inode, uint64_t block,
                               struct map_run *run)
{
    blk64_t number;
    errcode_t error;

    *run = (struct map_run){.block = block};
    do {
        error = ext2fs_bmap2(inode->fs->lib, inode->number, inode_raw(inode),
                             NULL, 0, block + run->count, NULL, &number);
        if (error)
            return error;
        if (run->count == 0)
            run->number = number;
        else if (number != (run->number ? run->number + run->count : 0))
            break;
        run->count++;
    } while (run->count < 64);
    return 0;
}

static bool has_extents(const struct ext4_inode *inode)
{
    return inode->raw.i_flags & EXT4_EXTENTS_FL;
}

/* Whether all of a run is on the disk. */
static bool is_possible(const struct ext4_fs *fs, const struct map_run *run)
{
    uint64_t end = ext2fs_blocks_count(fs->lib->super);

    return run->count > 0 &&
           (!run->number ||
            (run->number >= fs->lib->super->s_first_data_block &&
             run->number < end && run->count <= end - run->number));
}

int map_find(struct ext4_inode *inode, uint64_t block, struct map_run *run)
{
    errcode_t error;

    for (unsigned i = 0; i < inode->run_count; i++)
        if (run_has(&inode->runs[i], block)) {
            *run = run_from(&inode->runs[i], block);
            return 0;
        }
    if (block >= BLOCKS_MAX)
        return -EFBIG;
    error = has_extents(inode) ? find_extent(inode, block, run)
                               : find_indirect(inode, block, run);
    if (error)
        return ext4_errno(error);
    if (!is_possible(inode->fs, run))
        return -EUCLEAN;
    remember(inode, run);
    *run = run_from(run, block);
    return 0;
}

/* ---- Filling holes ------------------------------------------------------ */

/* Where new blocks should be: after those before them. */
static uint64_t goal_of(struct ext4_inode *inode, uint64_t block)
{
    struct map_run before;

    if (block > 0 && !map_find(inode, block - 1, &before) && before.number)
        return before.number + 1;
    return ext2fs_find_inode_goal(inode->fs->lib, inode->number,
                                  inode_raw(inode), block);
}

/* Whether `next` goes on where the extent ends, and both fit in one. */
static bool can_join(const struct ext2fs_extent *extent,
                     const struct ext2fs_extent *next)
{
    unsigned max = is_unwritten(next) ? UNWRITTEN_EXTENT_MAX : EXTENT_MAX;

    return extent->e_lblk + extent->e_len == next->e_lblk &&
           extent->e_pblk + extent->e_len == next->e_pblk &&
           is_unwritten(extent) == is_unwritten(next) &&
           extent->e_len + next->e_len <= max;
}

/* Adds an extent, or makes the one before it longer. */
static errcode_t add_extent(ext2_extent_handle_t handle,
                            struct ext2fs_extent *added)
{
    struct ext2fs_extent extent;
    errcode_t error = ext2fs_extent_goto(handle, added->e_lblk);
    int where = EXT2_EXTENT_INSERT_AFTER;

    if (error && error != EXT2_ET_EXTENT_NOT_FOUND)
        return error;
    error = ext2fs_extent_get(handle, EXT2_EXTENT_CURRENT, &extent);
    if (error && error != EXT2_ET_NO_CURRENT_NODE)
        return error;
    if (!error && can_join(&extent, added)) {
        extent.e_len += added->e_len;
        return ext2fs_extent_replace(handle, 0, &extent);
    }
    if (!error && extent.e_lblk > added->e_lblk)
        where = 0;
    error = ext2fs_extent_insert(handle, where, added);
    return error ? error : ext2fs_extent_fix_parents(handle);
}

static errcode_t insert_extent(struct ext4_inode *inode,
                               struct ext2fs_extent *added)
{
    ext2_extent_handle_t handle;
    errcode_t error = ext2fs_extent_open2(inode->fs->lib, inode->number,
                                          inode_raw(inode), &handle);

    if (error)
        return error;
    error = add_extent(handle, added);
    ext2fs_extent_free(handle);
    return error;
}

static errcode_t insert_run(struct ext4_inode *inode, const struct map_run *run)
{
    struct ext2fs_extent added = {
        .e_lblk = run->block,
        .e_pblk = run->number,
        .e_len = (uint32_t)run->count,
        .e_flags = run->unwritten ? EXT2_EXTENT_FLAGS_UNINIT : 0,
    };
    errcode_t error = 0;

    if (has_extents(inode))
        return insert_extent(inode, &added);
    for (unsigned i = 0; i < run->count && !error; i++) {
        blk64_t number = run->number + i;

        error = ext2fs_bmap2(inode->fs->lib, inode->number, inode_raw(inode),
                             NULL, BMAP_SET, run->block + i, NULL, &number);
    }
    return error;
}

int map_fill(struct ext4_inode *inode, uint64_t block, uint64_t count,
             bool unwritten, struct map_run *run)
{
    struct ext4_fs *fs = inode->fs;
    uint64_t number;
    errcode_t error;
    int result;

    if (count > UNWRITTEN_EXTENT_MAX)
        count = UNWRITTEN_EXTENT_MAX;
    result = space_take(fs, goal_of(inode, block), &number, &count);
    if (result)
        return result;
    *run =
        (struct map_run){block, number, count, unwritten && has_extents(inode)};
    error = insert_run(inode, run);
    if (!error)
        error = ext2fs_iblk_add_blocks(fs->lib, inode_raw(inode), count);
    inode_mark_data(inode);
    forget(inode);
    return fs_check(fs, error);
}

int map_write(struct ext4_inode *inode, uint64_t block, uint64_t count)
{
    ext2_extent_handle_t handle;
    struct map_run run;
    errcode_t error;
    int result = map_find(inode, block, &run);

    if (result)
        return result;
    error = ext2fs_extent_open2(inode->fs->lib, inode->number, inode_raw(inode),
                                &handle);
    if (error)
        return fs_check(inode->fs, error);
    for (uint64_t i = 0; i < count && !error; i++)
        error = ext2fs_extent_set_bmap(handle, block + i, run.number + i, 0);
    ext2fs_extent_free(handle);
    inode_mark_data(inode);
    forget(inode);
    return fs_check(inode->fs, error);
}

/* ---- Removing ----------------------------------------------------------- */

/* Blocks that are freed between two chances to commit. */
#define REMOVE_MAX 8192u

/*
 * Cuts [first, last] out of the extent that the handle is at: its beginning,
 * its end, all of it, or its middle. The blocks are freed by the caller.
 */
static errcode_t cut_extent(ext2_extent_handle_t handle,
                            struct ext2fs_extent *extent, uint64_t first,
                            uint64_t last)
{
    uint64_t end = extent->e_lblk + extent->e_len - 1;
    struct ext2fs_extent after = *extent;
    errcode_t error;

    if (first == extent->e_lblk && last == end) {
        error = ext2fs_extent_delete(handle, 0);
        if (!error)
            error = ext2fs_extent_fix_parents(handle);
        return error == EXT2_ET_NO_CURRENT_NODE ? 0 : error;
    }
    after.e_lblk = last + 1;
    after.e_pblk += after.e_lblk - extent->e_lblk;
    after.e_len = (uint32_t)(end - last);
    if (first == extent->e_lblk) {
        error = ext2fs_extent_replace(handle, 0, &after);
        return error ? error : ext2fs_extent_fix_parents(handle);
    }
    extent->e_len = (uint32_t)(first - extent->e_lblk);
    error = ext2fs_extent_replace(handle, 0, extent);
    if (error || last == end)
        return error;
    error = ext2fs_extent_insert(handle, EXT2_EXTENT_INSERT_AFTER, &after);
    return error ? error : ext2fs_extent_fix_parents(handle);
}

/*
 * Removes the last blocks of [first, last], up to REMOVE_MAX that belong
 * together. Sets `*last` to where to go on; one below `first`: it is done.
 */
static errcode_t remove_part(struct ext4_inode *inode, uint64_t first,
                             uint64_t *last)
{
    struct ext4_fs *fs = inode->fs;
    ext2_extent_handle_t handle;
    struct ext2fs_extent extent;
    uint64_t from, to = *last, freed, end;
    errcode_t error =
        ext2fs_extent_open2(fs->lib, inode->number, inode_raw(inode), &handle);

    if (error)
        return error;
    *last = first - 1;
    error = ext2fs_extent_goto(handle, to);
    if (!error || error == EXT2_ET_EXTENT_NOT_FOUND)
        error = ext2fs_extent_get(handle, EXT2_EXTENT_CURRENT, &extent);
    if (error)
        goto out;
    end = extent.e_lblk + extent.e_len - 1;
    if (!extent.e_len || end < first || extent.e_lblk > to)
        goto out; /* nothing there */
    to = to < end ? to : end;
    from = extent.e_lblk > first ? extent.e_lblk : first;
    if (to - from >= REMOVE_MAX)
        from = to - REMOVE_MAX + 1;
    freed = extent.e_pblk + (from - extent.e_lblk);
    error = cut_extent(handle, &extent, from, to);
    if (error)
        goto out;
    space_give(fs, freed, to - from + 1);
    error = ext2fs_iblk_sub_blocks(fs->lib, inode_raw(inode), to - from + 1);
    *last = from - 1;
out:
    ext2fs_extent_free(handle);
    return error == EXT2_ET_NO_CURRENT_NODE ? 0 : error;
}

int map_remove(struct ext4_inode *inode, uint64_t first, uint64_t last)
{
    struct ext4_fs *fs = inode->fs;
    errcode_t error = 0;
    int result = 0;

    if (last >= BLOCKS_MAX)
        last = BLOCKS_MAX - 1;
    forget(inode);
    inode_mark_data(inode);
    if (!has_extents(inode))
        return fs_check(fs, ext2fs_punch(fs->lib, inode->number,
                                         inode_raw(inode), NULL, first, last));
    /* last may go below first, which may be 0: then it is very large. */
    while (!error && !result && last + 1 > first) {
        error = remove_part(inode, first, &last);
        if (!error && inode->orphan) {
            inode_mark_data(inode);
            result = fs_commit_large(fs);
            forget(inode); /* what somebody has found meanwhile */
        }
    }
    return error ? fs_check(fs, error) : result;
}
