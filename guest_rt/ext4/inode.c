/* SPDX-License-Identifier: MIT */
/* Inodes in memory. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "guest_rt/ext4/arena.h"
#include "guest_rt/ext4/fs.h"

/* ---- Finding ------------------------------------------------------------ */

static struct ext4_inode **bucket_of(struct ext4_fs *fs, ext2_ino_t number)
{
    return &fs->inodes[number % INODE_BUCKETS];
}

/* Whether libext2fs can be asked for it, and somebody may want it. */
static bool is_number(const struct ext4_fs *fs, ext2_ino_t number)
{
    return number == EXT2_ROOT_INO ||
           (number >= EXT2_FIRST_INODE(fs->lib->super) &&
            number <= fs->lib->super->s_inodes_count);
}

int inode_load(struct ext4_inode *inode)
{
    int error = ext4_errno(ext2fs_read_inode_full(inode->fs->lib, inode->number,
                                                  inode_raw(inode),
                                                  (int)sizeof(inode->raw)));

    inode->run_count = 0;
    inode->run_next = 0;
    if (!error && (inode->raw.i_flags &
                   (EXT4_INLINE_DATA_FL | EXT4_ENCRYPT_FL | EXT4_CASEFOLD_FL)))
        error = -EUCLEAN;
    return error;
}

static int add_inode(struct ext4_fs *fs, ext2_ino_t number, bool load,
                     struct ext4_inode **inode)
{
    struct ext4_inode **bucket = bucket_of(fs, number);
    struct ext4_inode *added =
        ext4_arena_alloc_zeroed(1, sizeof(struct ext4_inode));
    int error = 0;

    if (!added)
        return -ENOMEM;
    added->fs = fs;
    added->number = number;
    added->references = 1;
    if (load)
        error = inode_load(added);
    if (error) {
        ext4_arena_free(added);
        return error;
    }
    added->next = *bucket;
    *bucket = added;
    *inode = added;
    return 0;
}

int inode_get(struct ext4_fs *fs, ext2_ino_t number, struct ext4_inode **inode)
{
    struct ext4_inode *found = *bucket_of(fs, number);

    while (found && found->number != number)
        found = found->next;
    if (found) {
        found->references++;
        *inode = found;
        return 0;
    }
    return is_number(fs, number) ? add_inode(fs, number, true, inode)
                                 : -EUCLEAN;
}

/* ---- Changing ----------------------------------------------------------- */

void inode_mark(struct ext4_inode *inode)
{
    struct ext4_fs *fs = inode->fs;

    inode->times_in = fs->transaction;
    if (inode->changed)
        return;
    inode->changed = true;
    inode->next_changed = fs->changed_inodes;
    fs->changed_inodes = inode;
}

void inode_mark_data(struct ext4_inode *inode)
{
    inode->changed_in = inode->fs->transaction;
    inode_mark(inode);
}

int inode_store(struct ext4_inode *inode)
{
    struct ext4_inode **at = &inode->fs->changed_inodes;

    if (!inode->changed)
        return 0;
    while (*at != inode)
        at = &(*at)->next_changed;
    *at = inode->next_changed;
    inode->changed = false;
    return fs_check(inode->fs, ext2fs_write_inode_full(
                                   inode->fs->lib, inode->number,
                                   inode_raw(inode), (int)sizeof(inode->raw)));
}

int inode_store_all(struct ext4_fs *fs)
{
    int error = 0;

    while (fs->changed_inodes && !error)
        error = inode_store(fs->changed_inodes);
    return error;
}

/* ---- Times -------------------------------------------------------------- */

static bool has_extra(const struct ext4_inode *inode)
{
    return EXT2_INODE_SIZE(inode->fs->lib->super) > EXT2_GOOD_OLD_INODE_SIZE;
}

/* Seconds beyond 32 bits and nanoseconds, as ext4 stores them together. */
static uint32_t extra_of(const struct timespec *time)
{
    uint64_t epoch = (uint64_t)(time->tv_sec - (int32_t)time->tv_sec) >> 32;

    return (uint32_t)(epoch & 3) | (uint32_t)time->tv_nsec << 2;
}

void inode_set_time(struct ext4_inode *inode, unsigned which,
                    const struct timespec *time)
{
    struct ext2_inode_large *raw = &inode->raw;
    uint32_t seconds = (uint32_t)time->tv_sec;
    uint32_t extra = has_extra(inode) ? extra_of(time) : 0;

    if (which & TIME_ACCESS) {
        raw->i_atime = seconds;
        raw->i_atime_extra = extra;
    }
    if (which & TIME_MODIFY) {
        raw->i_mtime = seconds;
        raw->i_mtime_extra = extra;
    }
    if (which & TIME_CHANGE) {
        raw->i_ctime = seconds;
        raw->i_ctime_extra = extra;
    }
    if (which & TIME_CREATE) {
        raw->i_crtime = seconds;
        raw->i_crtime_extra = extra;
    }
}

void inode_touch(struct ext4_inode *inode, unsigned which)
{
    struct timespec now = ext4_time();

    inode_set_time(inode, which, &now);
    inode_mark(inode);
}

void inode_touch_written(struct ext4_inode *inode)
{
    struct ext2_inode_large *raw = &inode->raw;
    struct timespec now = ext4_time();
    uint32_t seconds = (uint32_t)now.tv_sec;
    uint32_t extra = has_extra(inode) ? extra_of(&now) : 0;

    if (raw->i_mtime == seconds && raw->i_mtime_extra == extra &&
        raw->i_ctime == seconds && raw->i_ctime_extra == extra)
        return;
    inode_touch(inode, TIME_MODIFY | TIME_CHANGE);
}

/* ---- New ones ----------------------------------------------------------- */

/* An empty extent tree, where the file system has them. */
static errcode_t init_extents(struct ext4_inode *inode)
{
    ext2_extent_handle_t handle;
    errcode_t error;

    if (!ext2fs_has_feature_extents(inode->fs->lib->super))
        return 0;
    error = ext2fs_extent_open2(inode->fs->lib, inode->number, inode_raw(inode),
                                &handle);
    if (!error)
        ext2fs_extent_free(handle);
    return error;
}

static uint32_t new_generation(void)
{
    static uint32_t count;

    return (uint32_t)ext4_now_ns() * 2654435761u + count++;
}

int inode_create(struct ext4_inode *directory, mode_t mode,
                 struct ext4_inode **inode)
{
    struct ext4_fs *fs = directory->fs;
    ext2_ino_t number;
    int error = space_take_inode(fs, directory->number, S_ISDIR(mode), &number);

    if (!error)
        error = add_inode(fs, number, false, inode);
    if (error)
        return error;
    (*inode)->raw.i_mode = (uint16_t)mode;
    (*inode)->raw.i_generation = new_generation();
    if (has_extra(*inode))
        (*inode)->raw.i_extra_isize =
            sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
    inode_touch(*inode, TIME_ACCESS | TIME_MODIFY | TIME_CHANGE | TIME_CREATE);
    if (S_ISREG(mode) || S_ISDIR(mode))
        error = fs_check(fs, init_extents(*inode));
    if (!error)
        error = fs_check(
            fs, ext2fs_write_new_inode(fs->lib, number, inode_raw(*inode)));
    inode_mark_data(*inode);
    return error;
}

/* ---- The end of one ----------------------------------------------------- */

static void free_memory(struct ext4_inode *inode)
{
    struct ext4_inode **at = bucket_of(inode->fs, inode->number);

    while (*at != inode)
        at = &(*at)->next;
    *at = inode->next;
    ext4_arena_free(inode);
}

void inode_add_orphan(struct ext4_inode *inode)
{
    struct ext4_fs *fs = inode->fs;

    if (inode->orphan)
        return;
    inode->orphan = true;
    inode->next_orphan = fs->orphans;
    fs->orphans = inode;
    /* The list on the disk goes on in the time of deletion. */
    inode->raw.i_dtime = fs->lib->super->s_last_orphan;
    fs->lib->super->s_last_orphan = inode->number;
    fs->super_changed = true;
    inode_mark_data(inode);
}

void inode_drop_orphan(struct ext4_inode *inode)
{
    struct ext4_fs *fs = inode->fs;
    struct ext4_inode **at = &fs->orphans, *before = NULL;

    while (*at != inode) {
        before = *at;
        at = &before->next_orphan;
    }
    *at = inode->next_orphan;
    inode->orphan = false;
    if (before) {
        before->raw.i_dtime = inode->raw.i_dtime;
        inode_mark_data(before);
    } else {
        fs->lib->super->s_last_orphan = inode->raw.i_dtime;
    }
    fs->super_changed = true;
}

/* Whether the inode has blocks of its own; a short link's target is not. */
static bool has_blocks(struct ext4_inode *inode)
{
    mode_t mode = inode->raw.i_mode;

    return S_ISREG(mode) || S_ISDIR(mode) ||
           (S_ISLNK(mode) && !ext2fs_is_fast_symlink(inode_raw(inode)));
}

/* Attributes in a block of their own, which this does not write. */
static int free_attributes(struct ext4_inode *inode)
{
    ext2_filsys lib = inode->fs->lib;
    blk64_t number = ext2fs_file_acl_block(lib, inode_raw(inode));
    struct ext2_ext_attr_header *header;
    struct block *block;
    int error;

    if (!number)
        return 0;
    if (number < lib->super->s_first_data_block ||
        number >= ext2fs_blocks_count(lib->super))
        return -EUCLEAN;
    error = cache_read(&inode->fs->cache, number, &block);
    if (error)
        return error;
    header = (void *)block->data;
    ext2fs_file_acl_block_set(lib, inode_raw(inode), 0);
    ext2fs_iblk_sub_blocks(lib, inode_raw(inode), 1);
    if (header->h_refcount > 1) {
        header->h_refcount--;
        ext2fs_ext_attr_block_csum_set(lib, inode->number, number, header);
        cache_mark_changed(&inode->fs->cache, block);
        return 0;
    }
    space_give(inode->fs, number, 1);
    return 0;
}

/* Frees what an inode without links has, and the inode. */
static int destroy(struct ext4_inode *inode)
{
    struct ext4_fs *fs = inode->fs;
    bool is_dir = S_ISDIR(inode->raw.i_mode);
    int error = fs_begin(fs);

    if (!error && has_blocks(inode))
        error = map_remove(inode, 0, UINT64_MAX);
    if (!error)
        error = free_attributes(inode);
    if (error)
        return error;
    inode_drop_orphan(inode);
    inode_set_size(inode, 0);
    inode->raw.i_dtime = (uint32_t)ext4_time().tv_sec;
    inode_mark_data(inode);
    error = inode_store(inode);
    if (!error)
        space_give_inode(fs, inode->number, is_dir);
    return error;
}

void inode_put(struct ext4_inode *inode)
{
    struct ext4_fs *fs = inode->fs;

    if (inode->references > 1) {
        inode->references--;
        return;
    }
    if (inode->orphan && !fs->failed && !fs->read_only) {
        int error = destroy(inode);

        /* What is left of it is on the disk's list. */
        if (error)
            fs_fail(fs, error);
    }
    if (inode->changed && inode_store(inode))
        fs_fail(fs, -EIO);
    if (inode->orphan)
        inode_drop_orphan(inode);
    free_memory(inode);
}

/* ---- After a crash ------------------------------------------------------ */

/* One of the disk's list: a file without links, or one being truncated. */
static int clean_orphan(struct ext4_inode *inode)
{
    unsigned bytes = inode->fs->block_bytes;

    if (inode->raw.i_links_count == 0)
        return destroy(inode);
    if (has_blocks(inode)) {
        int error = map_remove(inode, (inode_size(inode) + bytes - 1) / bytes,
                               UINT64_MAX);

        if (error)
            return error;
    }
    inode_drop_orphan(inode);
    inode->raw.i_dtime = 0;
    inode_mark_data(inode);
    return 0;
}

int inode_clean_orphans(struct ext4_fs *fs)
{
    uint32_t left = fs->lib->super->s_inodes_count;
    ext2_ino_t number;
    int error = 0;

    while (!error && (number = fs->lib->super->s_last_orphan) != 0) {
        struct ext4_inode *inode;

        error = left-- ? inode_get(fs, number, &inode) : -EUCLEAN;
        if (error)
            break;
        error = fs_begin(fs);
        if (!error && (!inode->raw.i_mode ||
                       inode->raw.i_dtime > fs->lib->super->s_inodes_count))
            error = -EUCLEAN;
        if (!error) {
            inode->orphan = true;
            inode->next_orphan = NULL;
            fs->orphans = inode;
            error = clean_orphan(inode);
        }
        fs->orphans = NULL;
        inode->orphan = false;
        inode_put(inode);
        if (!error)
            error = fs_commit_large(fs);
    }
    return error;
}
