/* SPDX-License-Identifier: MIT */
/* What is known about a file: mode, owner, times. */
#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "guest_rt/ext4/fs.h"

int ext4_get(struct ext4_fs *fs, uint32_t number, struct ext4_inode **inode)
{
    int error;

    fs_look(fs);
    error = inode_get(fs, number, inode);
    fs_look_end(fs);
    return error;
}

void ext4_put(struct ext4_inode *inode)
{
    struct ext4_fs *fs = inode->fs;
    bool changes;

    fs_look(fs);
    changes = inode->references == 1 && (inode->orphan || inode->changed);
    if (!changes)
        inode_put(inode);
    fs_look_end(fs);
    if (!changes)
        return;
    fs_enter(fs);
    inode_put(inode);
    fs_leave(fs, 0);
}

mode_t ext4_mode(const struct ext4_inode *inode)
{
    return inode->raw.i_mode;
}

uint64_t ext4_size(const struct ext4_inode *inode)
{
    return inode_size(inode);
}

void **ext4_owner(struct ext4_inode *inode)
{
    return &inode->owner;
}

dev_t ext4_device(const struct ext4_inode *inode)
{
    uint32_t old = inode->raw.i_block[0], new = inode->raw.i_block[1];

    if (!S_ISCHR(inode->raw.i_mode) && !S_ISBLK(inode->raw.i_mode))
        return 0;
    return old ? makedev(old >> 8 & 0xff, old & 0xff)
               : makedev((new & 0xfff00) >> 8,
                         (new & 0xff) | (new >> 12 & 0xfff00));
}

/* A time from its two fields; old inodes have only the first one. */
static struct timespec time_of(const struct ext4_inode *inode, uint32_t seconds,
                               uint32_t extra)
{
    bool large =
        EXT2_INODE_SIZE(inode->fs->lib->super) > EXT2_GOOD_OLD_INODE_SIZE;

    if (!large)
        extra = 0;
    return (struct timespec){
        .tv_sec = (int32_t)seconds + ((int64_t)(extra & 3) << 32),
        .tv_nsec = (extra >> 2) % 1000000000,
    };
}

int ext4_stat(struct ext4_inode *inode, struct stat *stat)
{
    const struct ext2_inode_large *raw = &inode->raw;

    stat->st_ino = inode->number;
    stat->st_mode = raw->i_mode;
    stat->st_nlink = raw->i_links_count;
    stat->st_uid = inode_uid(*raw);
    stat->st_gid = inode_gid(*raw);
    stat->st_rdev = ext4_device(inode);
    stat->st_size = (off_t)inode_size(inode);
    stat->st_blksize = (blksize_t)inode->fs->block_bytes;
    stat->st_blocks =
        (blkcnt_t)ext2fs_get_stat_i_blocks(inode->fs->lib, inode_raw(inode));
    stat->st_atim = time_of(inode, raw->i_atime, raw->i_atime_extra);
    stat->st_mtim = time_of(inode, raw->i_mtime, raw->i_mtime_extra);
    stat->st_ctim = time_of(inode, raw->i_ctime, raw->i_ctime_extra);
    return 0;
}

static void set_owner(struct ext4_inode *inode, const uid_t *user,
                      const gid_t *group)
{
    if (user) {
        inode->raw.i_uid = (uint16_t)*user;
        ext2fs_set_i_uid_high(inode->raw, (uint16_t)(*user >> 16));
    }
    if (group) {
        inode->raw.i_gid = (uint16_t)*group;
        ext2fs_set_i_gid_high(inode->raw, (uint16_t)(*group >> 16));
    }
}

static int change(struct ext4_inode *inode, const struct ext4_change *change)
{
    int error = fs_begin(inode->fs);

    if (!error && change->size)
        error = data_resize(inode, *change->size);
    if (error)
        return error;
    if (change->mode)
        inode->raw.i_mode =
            (uint16_t)((inode->raw.i_mode & S_IFMT) | (*change->mode & 07777));
    set_owner(inode, change->user, change->group);
    inode_touch(inode, TIME_CHANGE);
    if (change->accessed)
        inode_set_time(inode, TIME_ACCESS, change->accessed);
    if (change->modified)
        inode_set_time(inode, TIME_MODIFY, change->modified);
    return 0;
}

int ext4_set(struct ext4_inode *inode, const struct ext4_change *wanted)
{
    int error;

    fs_enter(inode->fs);
    error = change(inode, wanted);
    return (int)fs_leave(inode->fs, error);
}
