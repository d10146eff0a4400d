/* SPDX-License-Identifier: MIT */
/* Names of files that are there: linking, removing, renaming. */
#include <errno.h>
#include <sys/stat.h>

#include "guest_rt/ext4/fs.h"

/* ---- Linking and removing ----------------------------------------------- */

static int link_inode(struct ext4_inode *directory, const char *name,
                      struct ext4_inode *inode, bool linkable)
{
    int error = dir_begin(directory);

    if (!error && inode->raw.i_links_count >= LINKS_MAX)
        error = -EMLINK;
    if (!error && !inode->raw.i_links_count && !linkable)
        error = -ENOENT;
    if (!error)
        error = dir_add(directory, name, inode);
    if (error)
        return error;
    if (inode->orphan) { /* made without a name */
        inode_drop_orphan(inode);
        inode->raw.i_dtime = 0;
    }
    inode_add_link(inode);
    inode_touch(inode, TIME_CHANGE);
    return 0;
}

int ext4_link(struct ext4_inode *directory, const char *name,
              struct ext4_inode *inode, bool linkable)
{
    int error;

    fs_enter(directory->fs);
    error = link_inode(directory, name, inode, linkable);
    return (int)fs_leave(directory->fs, error);
}

int ext4_unlink(struct ext4_inode *directory, const char *name,
                struct ext4_inode *inode)
{
    int error;

    fs_enter(directory->fs);
    error = fs_begin(directory->fs);
    if (!error)
        error = dir_remove(directory, name);
    if (!error)
        inode_drop_link(inode);
    return (int)fs_leave(directory->fs, error);
}

/* A directory that has lost its name. */
static void drop_directory(struct ext4_inode *parent, struct ext4_inode *inode)
{
    inode->raw.i_links_count = 0;
    inode_add_orphan(inode);
    inode_touch(inode, TIME_CHANGE);
    inode_mark_data(inode);
    inode_drop_link(parent);
}

int ext4_rmdir(struct ext4_inode *directory, const char *name,
               struct ext4_inode *inode)
{
    int error;

    fs_enter(directory->fs);
    error = fs_begin(directory->fs);
    if (!error)
        error = dir_check_empty(inode);
    if (!error)
        error = dir_remove(directory, name);
    if (!error)
        drop_directory(directory, inode);
    return (int)fs_leave(directory->fs, error);
}

/* ---- Renaming ----------------------------------------------------------- */

static int set_parent_entry(ext2_ino_t directory, int kind,
                            struct ext2_dir_entry *entry, int offset,
                            int block_bytes, char *block, void *context)
{
    (void)directory;
    (void)offset;
    (void)block_bytes;
    (void)block;
    if (kind != DIRENT_DOT_DOT_FILE)
        return 0;
    entry->inode = *(ext2_ino_t *)context;
    return DIRENT_CHANGED | DIRENT_ABORT;
}

/* A directory that moves has another "..". */
static int set_parent(struct ext4_inode *inode, struct ext4_inode *from,
                      struct ext4_inode *to)
{
    int error;

    if (!S_ISDIR(inode->raw.i_mode) || from == to)
        return 0;
    error = inode_store(inode);
    if (error)
        return error;
    error = fs_check(inode->fs,
                     ext2fs_dir_iterate2(inode->fs->lib, inode->number, 0, NULL,
                                         set_parent_entry, &to->number));
    if (!error)
        error = fs_fail(inode->fs, inode_load(inode));
    inode_drop_link(from);
    inode_add_link(to);
    return error;
}

/* The name of `inode` in one directory becomes one in another. */
static int move_name(struct ext4_inode *from, const char *name,
                     struct ext4_inode *inode, struct ext4_inode *to,
                     const char *new_name)
{
    int error = dir_remove(from, name);

    if (!error)
        error = fs_fail(from->fs, dir_add(to, new_name, inode));
    if (!error)
        error = set_parent(inode, from, to);
    inode_touch(inode, TIME_CHANGE);
    return error;
}

static int exchange_names(struct ext4_inode *from, const char *name,
                          struct ext4_inode *inode, struct ext4_inode *to,
                          const char *new_name, struct ext4_inode *other)
{
    int error = dir_remove(from, name);

    if (!error)
        error = dir_remove(to, new_name);
    if (!error)
        error = fs_fail(from->fs, dir_add(from, name, other));
    if (!error)
        error = fs_fail(from->fs, dir_add(to, new_name, inode));
    if (!error)
        error = set_parent(inode, from, to);
    if (!error)
        error = set_parent(other, to, from);
    inode_touch(inode, TIME_CHANGE);
    inode_touch(other, TIME_CHANGE);
    return error;
}

static int replace_name(struct ext4_inode *to, const char *new_name,
                        struct ext4_inode *replaced)
{
    int error = dir_remove(to, new_name);

    if (error)
        return error;
    if (S_ISDIR(replaced->raw.i_mode))
        drop_directory(to, replaced);
    else
        inode_drop_link(replaced);
    return 0;
}

/* All of it is one transaction: nobody ever sees a part. */
static int rename_inode(struct ext4_inode *from, const char *name,
                        struct ext4_inode *inode, struct ext4_inode *to,
                        const char *new_name, struct ext4_inode *replaced,
                        bool exchange)
{
    int error = dir_begin(to);

    /* What it may take is there before the first step is made. */
    if (!error && fs_free_blocks(to->fs) <= 2 * SPARE_BLOCKS)
        error = -ENOSPC;
    if (error)
        return error;
    if (exchange)
        return exchange_names(from, name, inode, to, new_name, replaced);
    if (replaced && S_ISDIR(replaced->raw.i_mode))
        error = dir_check_empty(replaced);
    if (!error && replaced)
        error = replace_name(to, new_name, replaced);
    return error ? error : move_name(from, name, inode, to, new_name);
}

int ext4_rename(struct ext4_inode *from, const char *name,
                struct ext4_inode *inode, struct ext4_inode *to,
                const char *new_name, struct ext4_inode *replaced,
                bool exchange)
{
    int error;

    fs_enter(from->fs);
    error = rename_inode(from, name, inode, to, new_name, replaced, exchange);
    return (int)fs_leave(from->fs, error);
}
