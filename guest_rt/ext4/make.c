/* SPDX-License-Identifier: MIT */
/* New names: files, directories, symbolic links. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "guest_rt/ext4/fs.h"

/* ---- Making ------------------------------------------------------------- */

static void discard(struct ext4_inode *inode)
{
    inode->raw.i_links_count = 0;
    inode_add_orphan(inode);
    inode_put(inode);
}

static void set_device(struct ext4_inode *inode, dev_t device)
{
    unsigned high = major(device), low = minor(device);

    if (high < 256 && low < 256)
        inode->raw.i_block[0] = high << 8 | low;
    else
        inode->raw.i_block[1] = (low & 0xff) | high << 8 | (low & ~0xffu) << 12;
}

static int create(struct ext4_inode *directory, const char *name, mode_t mode,
                  dev_t device, struct ext4_inode **inode)
{
    int error = dir_begin(directory);

    if (!error)
        error = inode_create(directory, mode, inode);
    if (error)
        return error;
    if (S_ISCHR(mode) || S_ISBLK(mode))
        set_device(*inode, device);
    if (!name) {
        inode_add_orphan(*inode);
        return 0;
    }
    error = dir_add(directory, name, *inode);
    if (error)
        discard(*inode);
    else
        inode_add_link(*inode);
    return error;
}

int ext4_create(struct ext4_inode *directory, const char *name, mode_t mode,
                dev_t device, struct ext4_inode **inode)
{
    int error;

    fs_enter(directory->fs);
    error = create(directory, name, mode, device, inode);
    return (int)fs_leave(directory->fs, error);
}

/* A first block that holds `bytes` of metadata. Sets its number. */
static int add_first_block(struct ext4_inode *inode, uint64_t *number)
{
    struct map_run run;
    int error = map_fill(inode, 0, 1, false, &run);

    *number = run.number;
    return error;
}

static int fill_directory(struct ext4_inode *directory,
                          struct ext4_inode *inode)
{
    ext2_filsys lib = directory->fs->lib;
    uint64_t number;
    char *block;
    errcode_t error;
    int result = add_first_block(inode, &number);

    if (result)
        return result;
    error = ext2fs_new_dir_block(lib, inode->number, directory->number, &block);
    if (!error) {
        error = ext2fs_write_dir_block4(lib, number, block, 0, inode->number);
        ext2fs_free_mem(&block);
    }
    inode_set_size(inode, directory->fs->block_bytes);
    inode->raw.i_links_count = 2;
    return fs_check(directory->fs, error);
}

static int make_directory(struct ext4_inode *directory, const char *name,
                          mode_t mode, struct ext4_inode **inode)
{
    int error = dir_begin(directory);

    if (!error)
        error = inode_create(directory, mode, inode);
    if (error)
        return error;
    error = fill_directory(directory, *inode);
    /* The checksum of the block is made with the inode's generation. */
    if (!error)
        error = inode_store(*inode);
    if (!error)
        error = dir_add(directory, name, *inode);
    if (error) {
        discard(*inode);
        return error;
    }
    inode_add_link(directory);
    inode_mark_data(*inode);
    return 0;
}

int ext4_mkdir(struct ext4_inode *directory, const char *name, mode_t mode,
               struct ext4_inode **inode)
{
    int error;

    fs_enter(directory->fs);
    error = make_directory(directory, name, S_IFDIR | (mode & 07777), inode);
    return (int)fs_leave(directory->fs, error);
}

/* ---- Symbolic links ----------------------------------------------------- */

static int store_target(struct ext4_inode *inode, const char *target,
                        size_t length)
{
    struct cache *cache = &inode->fs->cache;
    struct block *block;
    uint64_t number;
    int error;

    inode_set_size(inode, length);
    inode_mark_data(inode);
    if (length < sizeof(inode->raw.i_block)) {
        memcpy(inode->raw.i_block, target, length);
        return 0;
    }
    if (ext2fs_has_feature_extents(inode->fs->lib->super))
        inode->raw.i_flags |= EXT4_EXTENTS_FL;
    error = add_first_block(inode, &number);
    if (!error)
        error = cache_make(cache, number, &block);
    if (error)
        return error;
    memset(block->data, 0, inode->fs->block_bytes);
    memcpy(block->data, target, length);
    cache_mark_changed(cache, block);
    return 0;
}

static int make_symlink(struct ext4_inode *directory, const char *name,
                        const char *target, struct ext4_inode **inode)
{
    size_t length = strlen(target);
    int error = dir_begin(directory);

    if (!error && length >= directory->fs->block_bytes)
        error = -ENAMETOOLONG;
    if (!error)
        error = inode_create(directory, S_IFLNK | 0777, inode);
    if (error)
        return error;
    error = store_target(*inode, target, length);
    if (!error)
        error = dir_add(directory, name, *inode);
    if (error)
        discard(*inode);
    else
        inode_add_link(*inode);
    return error;
}

int ext4_symlink(struct ext4_inode *directory, const char *name,
                 const char *target, struct ext4_inode **inode)
{
    int error;

    fs_enter(directory->fs);
    error = make_symlink(directory, name, target, inode);
    return (int)fs_leave(directory->fs, error);
}

static long read_target(struct ext4_inode *inode, char *buffer, size_t bytes)
{
    uint64_t length = inode_size(inode);
    const char *target = (const char *)inode->raw.i_block;
    struct map_run run;
    struct block *block;
    int error;

    if (!S_ISLNK(inode->raw.i_mode))
        return -EINVAL;
    if (length > inode->fs->block_bytes)
        return -EUCLEAN;
    if (!ext2fs_is_fast_symlink(inode_raw(inode))) {
        error = map_find(inode, 0, &run);
        if (!error && (!run.number || run.unwritten))
            error = -EUCLEAN;
        if (!error)
            error = cache_read(&inode->fs->cache, run.number, &block);
        if (error)
            return error;
        target = (const char *)block->data;
    } else if (length >= sizeof(inode->raw.i_block)) {
        return -EUCLEAN;
    }
    length = length < bytes ? length : bytes;
    memcpy(buffer, target, length);
    return (long)length;
}

long ext4_readlink(struct ext4_inode *inode, char *buffer, size_t bytes)
{
    long result;

    fs_look(inode->fs);
    result = read_target(inode, buffer, bytes);
    fs_look_end(inode->fs);
    return result;
}
