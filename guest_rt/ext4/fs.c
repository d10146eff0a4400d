/* SPDX-License-Identifier: MIT */
/* A mounted file system: changes, transactions, syncing. */
#include <errno.h>
#include <string.h>
#include <sys/statfs.h>

#include "guest_rt/ext4/fs.h"

/* Changes are committed after this time at the latest. */
#define COMMIT_NS (5 * UINT64_C(1000000000))

int ext4_errno(errcode_t error)
{
    if (error <= 0)
        return (int)error;
    if (error < 4096)
        return -(int)error;
    switch (error) {
    case EXT2_ET_NO_MEMORY:
        return -ENOMEM;
    case EXT2_ET_BLOCK_ALLOC_FAIL:
    case EXT2_ET_INODE_ALLOC_FAIL:
    case EXT2_ET_DIR_NO_SPACE:
        return -ENOSPC;
    case EXT2_ET_FILE_NOT_FOUND:
        return -ENOENT;
    case EXT2_ET_DIR_EXISTS:
    case EXT2_ET_FILE_EXISTS:
        return -EEXIST;
    case EXT2_ET_RO_FILSYS:
        return -EROFS;
    case EXT2_ET_SHORT_READ:
    case EXT2_ET_SHORT_WRITE:
        return -EIO;
    case EXT2_ET_FILE_TOO_BIG:
        return -EFBIG;
    default:
        return -EUCLEAN;
    }
}

/* ---- Failing ------------------------------------------------------------ */

int fs_fail(struct ext4_fs *fs, int error)
{
    if (error && !fs->failed) {
        fs->failed = -EROFS;
        fs->disk->broken = true;
        ext4_say(error == -EIO ? "the disk failed: no more changes"
                               : "the file system is damaged: no more changes");
    }
    return error;
}

int fs_check(struct ext4_fs *fs, errcode_t error)
{
    return fs_fail(fs, ext4_errno(error));
}

/* ---- The locks ---------------------------------------------------------- */

void fs_lock(struct ext4_disk *disk)
{
    disk->lock(disk, EXT4_CHANGES);
    disk->lock(disk, EXT4_BLOCKS);
}

void fs_unlock(struct ext4_disk *disk)
{
    disk->unlock(disk, EXT4_BLOCKS);
    disk->unlock(disk, EXT4_CHANGES);
}

static bool is_commit_due(const struct ext4_fs *fs)
{
    return fs->commit_ns && ext4_now_ns() >= fs->commit_ns;
}

void fs_enter(struct ext4_fs *fs)
{
    fs_lock(fs->disk);
    if (is_commit_due(fs))
        fs_commit(fs);
}

void fs_look(struct ext4_fs *fs)
{
    if (is_commit_due(fs)) {
        fs_enter(fs);
        fs_unlock(fs->disk);
    }
    fs->disk->lock(fs->disk, EXT4_BLOCKS);
}

void fs_look_end(struct ext4_fs *fs)
{
    fs->disk->unlock(fs->disk, EXT4_BLOCKS);
}

/* Dirty data is written when there is so much of it. */
static int write_much(struct ext4_fs *fs)
{
    if (fs->cache.dirty_count <= fs->cache.count_max / 4)
        return 0;
    return fs_fail(fs, cache_write_dirty(&fs->cache));
}

int fs_breathe(struct ext4_fs *fs)
{
    int error = fs_commit_large(fs);

    return error ? error : write_much(fs);
}

long fs_leave(struct ext4_fs *fs, long result)
{
    int error = fs_breathe(fs);

    fs_unlock(fs->disk);
    return result < 0 || !error ? result : error;
}

int fs_begin(struct ext4_fs *fs)
{
    if (fs->read_only)
        return -EROFS;
    if (fs->failed)
        return fs->failed;
    fs->lib->now = ext4_time().tv_sec;
    if (!fs->commit_ns)
        fs->commit_ns = ext4_now_ns() + COMMIT_NS;
    return 0;
}

/* ---- Transactions ------------------------------------------------------- */

/*
 * Says on the disk that its journal is in use, before it is used for the first
 * time: the superblock, in its place, and the journal's.
 */
static int start(struct ext4_fs *fs)
{
    struct ext2_super_block *super = fs->lib->super;
    int error;

    journal_prepare(&fs->journal, ext2fs_has_feature_64bit(super),
                    ext2fs_has_feature_metadata_csum(super));
    error = fs_write_flag(fs, true);
    if (!error)
        error = journal_start(&fs->journal);
    fs->started = !error;
    return error;
}

/* All that the transaction is made of goes into the cache. */
static int gather(struct ext4_fs *fs)
{
    int error = inode_store_all(fs);

    if (!error && !fs->started &&
        (fs->super_changed || fs->cache.changed_count))
        error = start(fs);
    if (!error && fs->cache.changed_count)
        fs->super_changed = true;
    return error ? error : space_store(fs);
}

static int commit(struct ext4_fs *fs)
{
    int error = cache_write_dirty(&fs->cache);

    if (!error)
        error = gather(fs);
    if (!error && !fs->cache.changed_count && !fs->journal.revoked_count)
        return cache_flush(&fs->cache);
    if (!error)
        error = journal_commit(&fs->journal);
    fs->transaction++;
    if (!error && (journal_is_full(&fs->journal) ||
                   fs->cache.logged_count > fs->cache.count_max / 2))
        error = journal_checkpoint(&fs->journal, false);
    return error;
}

int fs_commit(struct ext4_fs *fs)
{
    if (fs->read_only)
        return 0;
    if (fs->failed)
        return -EIO;
    fs->commit_ns = 0;
    return fs_fail(fs, commit(fs));
}

int fs_commit_large(struct ext4_fs *fs)
{
    if (fs->failed || fs->read_only)
        return 0;
    if (fs->cache.changed_count + space_changed(fs) +
            fs->journal.revoked_count / 64 <
        journal_room(&fs->journal))
        return 0;
    return fs_commit(fs);
}

int ext4_sync(struct ext4_fs *fs)
{
    int error;

    fs_lock(fs->disk);
    error = fs_commit(fs);
    fs_unlock(fs->disk);
    return error;
}

int ext4_fsync(struct ext4_inode *inode, bool data_only)
{
    struct ext4_fs *fs = inode->fs;
    int error;

    fs_lock(fs->disk);
    if (fs->failed)
        error = -EIO;
    else if ((data_only ? inode->changed_in : inode->times_in) ==
             fs->transaction)
        error = fs_commit(fs);
    else
        error = fs_fail(fs, cache_write_dirty(&fs->cache));
    if (!error)
        error = fs_fail(fs, cache_flush(&fs->cache));
    fs_unlock(fs->disk);
    return error;
}

uint64_t ext4_commit_ns(const struct ext4_fs *fs)
{
    return fs->commit_ns;
}

/* ---- Figures ------------------------------------------------------------ */

#define EXT4_SUPER_MAGIC 0xef53

void ext4_statfs(struct ext4_fs *fs, struct statfs *result)
{
    const struct ext2_super_block *super = fs->lib->super;
    uint64_t reserved = ext2fs_r_blocks_count((struct ext2_super_block *)super);
    uint64_t free_blocks = fs_free_blocks(fs);

    memset(result, 0, sizeof(*result));
    result->f_type = EXT4_SUPER_MAGIC;
    result->f_bsize = result->f_frsize = fs->block_bytes;
    result->f_blocks = ext2fs_blocks_count((struct ext2_super_block *)super);
    result->f_bfree = free_blocks;
    result->f_bavail = free_blocks > reserved ? free_blocks - reserved : 0;
    result->f_files = super->s_inodes_count;
    result->f_ffree = super->s_free_inodes_count;
    result->f_namelen = EXT2_NAME_LEN;
    result->f_flags = fs->read_only ? 1 : 0; /* ST_RDONLY */
    memcpy(&result->f_fsid, super->s_uuid, sizeof(result->f_fsid));
}
