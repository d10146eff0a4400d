/* SPDX-License-Identifier: MIT */
/* Directories: what is in them, and changing that. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "guest_rt/ext4/fs.h"

/* A directory of more links than this has 1: nobody counts any more. */
#define LINKS_MAX 65000u

/* Blocks of a directory that are read at once. */
#define AHEAD_BLOCKS 16u

/* ---- Reading directories ------------------------------------------------ */

struct entry {
    const char *name;
    unsigned length;
    ext2_ino_t number;
    unsigned type;     /* EXT2_FT_* */
    uint64_t position; /* in the directory, in bytes */
    uint64_t next;
};

/* Returns whether to go on. */
typedef bool (*entry_fn)(void *context, const struct entry *entry);

/* Goes through the entries of one block. 1: it was told to stop. */
static int walk_block(struct ext4_inode *directory, const uint8_t *data,
                      uint64_t base, uint64_t from, entry_fn visit,
                      void *context)
{
    unsigned end = directory->fs->block_bytes, at = 0, bytes;

    for (; at + 8 <= end; at += bytes) {
        const struct ext2_dir_entry_2 *raw = (const void *)(data + at);
        struct entry entry = {raw->name,  raw->name_len,
                              raw->inode, raw->file_type,
                              base + at,  base + at + raw->rec_len};

        bytes = raw->rec_len;
        if (bytes < 8u + raw->name_len || bytes % 4 || bytes > end - at)
            return -EUCLEAN;
        if (!raw->inode || !raw->name_len || base + at < from)
            continue;
        if (!visit(context, &entry))
            return 1;
    }
    return 0;
}

static int read_dir_block(struct ext4_inode *directory, uint64_t index,
                          struct block **block)
{
    struct cache *cache = &directory->fs->cache;
    struct map_run run;
    int error = map_find(directory, index, &run);

    if (error)
        return error;
    if (!run.number || run.unwritten)
        return -EUCLEAN;
    if (!cache_peek(cache, run.number) && run.count > 1)
        error = cache_read_ahead(cache, run.number,
                                 run.count < AHEAD_BLOCKS ? (unsigned)run.count
                                                          : AHEAD_BLOCKS);
    return error ? error : cache_read(cache, run.number, block);
}

/* Goes through a directory from a position on. Returns 0 or -errno. */
static int walk(struct ext4_inode *directory, uint64_t from, entry_fn visit,
                void *context)
{
    unsigned bytes = directory->fs->block_bytes;
    uint64_t blocks = inode_size(directory) / bytes;
    int error = 0;

    for (uint64_t i = from / bytes; i < blocks && !error; i++) {
        struct block *block;

        error = read_dir_block(directory, i, &block);
        if (!error)
            error = walk_block(directory, block->data, i * bytes, from, visit,
                               context);
    }
    return error == 1 ? 0 : error;
}

struct search {
    const char *name;
    size_t length;
    ext2_ino_t found; /* 0: not there */
};

static bool compare_entry(void *context, const struct entry *entry)
{
    struct search *search = context;

    if (entry->length != search->length ||
        memcmp(entry->name, search->name, search->length))
        return true;
    search->found = entry->number;
    return false;
}

static int find_name(struct ext4_inode *directory, const char *name,
                     ext2_ino_t *number)
{
    struct search search = {.name = name, .length = strlen(name)};
    int error = walk(directory, 0, compare_entry, &search);

    *number = search.found;
    return error ? error : search.found ? 0 : -ENOENT;
}

int ext4_lookup(struct ext4_inode *directory, const char *name,
                struct ext4_inode **inode)
{
    ext2_ino_t number;
    int error;

    fs_enter(directory->fs);
    error = find_name(directory, name, &number);
    if (!error)
        error = inode_get(directory->fs, number, inode);
    return (int)fs_leave(directory->fs, error);
}

struct listing {
    ext4_entry_fn emit;
    void *context;
    uint64_t *position;
};

static bool emit_entry(void *context, const struct entry *entry)
{
    static const unsigned char types[EXT2_FT_MAX] = {
        [EXT2_FT_REG_FILE] = DT_REG, [EXT2_FT_DIR] = DT_DIR,
        [EXT2_FT_CHRDEV] = DT_CHR,   [EXT2_FT_BLKDEV] = DT_BLK,
        [EXT2_FT_FIFO] = DT_FIFO,    [EXT2_FT_SOCK] = DT_SOCK,
        [EXT2_FT_SYMLINK] = DT_LNK,
    };
    struct listing *listing = context;
    unsigned type = entry->type < EXT2_FT_MAX ? types[entry->type] : 0;

    if (!listing->emit(listing->context, entry->name, entry->length,
                       entry->number, type, entry->next))
        return false;
    *listing->position = entry->next;
    return true;
}

int ext4_read_dir(struct ext4_inode *directory, uint64_t *position,
                  ext4_entry_fn emit, void *context)
{
    struct listing listing = {emit, context, position};
    int error;

    fs_enter(directory->fs);
    error = walk(directory, *position, emit_entry, &listing);
    return (int)fs_leave(directory->fs, error);
}

static bool count_entry(void *context, const struct entry *entry)
{
    bool *empty = context;
    bool dot =
        entry->name[0] == '.' &&
        (entry->length == 1 || (entry->length == 2 && entry->name[1] == '.'));

    *empty = dot;
    return dot;
}

static int check_empty(struct ext4_inode *directory)
{
    bool empty = true;
    int error = walk(directory, 0, count_entry, &empty);

    return error ? error : empty ? 0 : -ENOTEMPTY;
}

/* ---- Changing directories ----------------------------------------------- */

static int type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return EXT2_FT_DIR;
    case S_IFLNK:
        return EXT2_FT_SYMLINK;
    case S_IFCHR:
        return EXT2_FT_CHRDEV;
    case S_IFBLK:
        return EXT2_FT_BLKDEV;
    case S_IFIFO:
        return EXT2_FT_FIFO;
    case S_IFSOCK:
        return EXT2_FT_SOCK;
    default:
        return EXT2_FT_REG_FILE;
    }
}

/* A directory's inode is libext2fs's while it changes the directory. */
static int end_change(struct ext4_inode *directory, errcode_t error)
{
    int result = fs_check(directory->fs, error);

    if (!result)
        result = fs_fail(directory->fs, inode_load(directory));
    if (!result)
        inode_touch(directory, TIME_MODIFY | TIME_CHANGE);
    inode_mark_data(directory);
    return result;
}

static int add_name(struct ext4_inode *directory, const char *name,
                    const struct ext4_inode *inode)
{
    struct ext4_fs *fs = directory->fs;
    int type = type_of(inode->raw.i_mode);
    errcode_t error;
    int result;

    if (fs_free_blocks(fs) <= SPARE_BLOCKS)
        return -ENOSPC;
    result = inode_store(directory);
    if (result)
        return result;
    error = ext2fs_link(fs->lib, directory->number, name, inode->number, type);
    if (error == EXT2_ET_DIR_NO_SPACE) {
        error = ext2fs_expand_dir(fs->lib, directory->number);
        if (!error)
            error = ext2fs_link(fs->lib, directory->number, name, inode->number,
                                type);
    }
    return end_change(directory, error);
}

static int remove_name(struct ext4_inode *directory, const char *name)
{
    int error = inode_store(directory);

    if (error)
        return error;
    return end_change(directory, ext2fs_unlink(directory->fs->lib,
                                               directory->number, name, 0, 0));
}

static void add_link(struct ext4_inode *inode)
{
    if (S_ISDIR(inode->raw.i_mode) && (inode->raw.i_links_count >= LINKS_MAX ||
                                       inode->raw.i_links_count == 1))
        inode->raw.i_links_count = 1;
    else
        inode->raw.i_links_count++;
    inode_mark_data(inode);
}

/* One link less; the last one makes it an orphan. */
static void drop_link(struct ext4_inode *inode)
{
    if (S_ISDIR(inode->raw.i_mode) && inode->raw.i_links_count == 1)
        return;
    if (inode->raw.i_links_count > 0)
        inode->raw.i_links_count--;
    inode_touch(inode, TIME_CHANGE);
    if (inode->raw.i_links_count == 0)
        inode_add_orphan(inode);
    inode_mark_data(inode);
}

/* ---- Making ------------------------------------------------------------- */

static void discard(struct ext4_inode *inode)
{
    inode->raw.i_links_count = 0;
    inode_add_orphan(inode);
    inode_put(inode);
}

static int begin(struct ext4_inode *directory)
{
    struct ext4_fs *fs = directory->fs;
    int error = fs_begin(fs);

    /* What was freed just now is free once that is committed. */
    if (!error && fs->held_blocks && fs_free_blocks(fs) <= 2 * SPARE_BLOCKS) {
        error = fs_commit(fs);
        if (!error)
            error = fs_begin(fs);
    }
    /* One that was removed and is still open. */
    if (!error && !directory->raw.i_links_count)
        error = -ENOENT;
    return error;
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
    int error = begin(directory);

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
    error = add_name(directory, name, *inode);
    if (error)
        discard(*inode);
    else
        add_link(*inode);
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
    int error = begin(directory);

    if (!error)
        error = inode_create(directory, mode, inode);
    if (error)
        return error;
    error = fill_directory(directory, *inode);
    /* The checksum of the block is made with the inode's generation. */
    if (!error)
        error = inode_store(*inode);
    if (!error)
        error = add_name(directory, name, *inode);
    if (error) {
        discard(*inode);
        return error;
    }
    add_link(directory);
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
    int error = begin(directory);

    if (!error && length >= directory->fs->block_bytes)
        error = -ENAMETOOLONG;
    if (!error)
        error = inode_create(directory, S_IFLNK | 0777, inode);
    if (error)
        return error;
    error = store_target(*inode, target, length);
    if (!error)
        error = add_name(directory, name, *inode);
    if (error)
        discard(*inode);
    else
        add_link(*inode);
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

    fs_enter(inode->fs);
    result = read_target(inode, buffer, bytes);
    return fs_leave(inode->fs, result);
}

/* ---- Linking and removing ----------------------------------------------- */

static int link_inode(struct ext4_inode *directory, const char *name,
                      struct ext4_inode *inode)
{
    int error = begin(directory);

    if (!error && inode->raw.i_links_count >= LINKS_MAX)
        error = -EMLINK;
    if (!error)
        error = add_name(directory, name, inode);
    if (error)
        return error;
    if (inode->orphan) { /* made without a name */
        inode_drop_orphan(inode);
        inode->raw.i_dtime = 0;
    }
    add_link(inode);
    inode_touch(inode, TIME_CHANGE);
    return 0;
}

int ext4_link(struct ext4_inode *directory, const char *name,
              struct ext4_inode *inode)
{
    int error;

    fs_enter(directory->fs);
    error = link_inode(directory, name, inode);
    return (int)fs_leave(directory->fs, error);
}

int ext4_unlink(struct ext4_inode *directory, const char *name,
                struct ext4_inode *inode)
{
    int error;

    fs_enter(directory->fs);
    error = fs_begin(directory->fs);
    if (!error)
        error = remove_name(directory, name);
    if (!error)
        drop_link(inode);
    return (int)fs_leave(directory->fs, error);
}

/* A directory that has lost its name. */
static void drop_directory(struct ext4_inode *parent, struct ext4_inode *inode)
{
    inode->raw.i_links_count = 0;
    inode_add_orphan(inode);
    inode_touch(inode, TIME_CHANGE);
    inode_mark_data(inode);
    drop_link(parent);
}

int ext4_rmdir(struct ext4_inode *directory, const char *name,
               struct ext4_inode *inode)
{
    int error;

    fs_enter(directory->fs);
    error = fs_begin(directory->fs);
    if (!error)
        error = check_empty(inode);
    if (!error)
        error = remove_name(directory, name);
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
    drop_link(from);
    add_link(to);
    return error;
}

/* The name of `inode` in one directory becomes one in another. */
static int move_name(struct ext4_inode *from, const char *name,
                     struct ext4_inode *inode, struct ext4_inode *to,
                     const char *new_name)
{
    int error = remove_name(from, name);

    if (!error)
        error = fs_fail(from->fs, add_name(to, new_name, inode));
    if (!error)
        error = set_parent(inode, from, to);
    inode_touch(inode, TIME_CHANGE);
    return error;
}

static int exchange_names(struct ext4_inode *from, const char *name,
                          struct ext4_inode *inode, struct ext4_inode *to,
                          const char *new_name, struct ext4_inode *other)
{
    int error = remove_name(from, name);

    if (!error)
        error = remove_name(to, new_name);
    if (!error)
        error = fs_fail(from->fs, add_name(from, name, other));
    if (!error)
        error = fs_fail(from->fs, add_name(to, new_name, inode));
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
    int error = remove_name(to, new_name);

    if (error)
        return error;
    if (S_ISDIR(replaced->raw.i_mode))
        drop_directory(to, replaced);
    else
        drop_link(replaced);
    return 0;
}

/* All of it is one transaction: nobody ever sees a part. */
static int rename_inode(struct ext4_inode *from, const char *name,
                        struct ext4_inode *inode, struct ext4_inode *to,
                        const char *new_name, struct ext4_inode *replaced,
                        bool exchange)
{
    int error = begin(to);

    /* What it may take is there before the first step is made. */
    if (!error && fs_free_blocks(to->fs) <= 2 * SPARE_BLOCKS)
        error = -ENOSPC;
    if (error)
        return error;
    if (exchange)
        return exchange_names(from, name, inode, to, new_name, replaced);
    if (replaced && S_ISDIR(replaced->raw.i_mode))
        error = check_empty(replaced);
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
