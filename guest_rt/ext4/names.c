/* SPDX-License-Identifier: MIT */
/* Directories: what is in them, one name more or less. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "guest_rt/ext4/fs.h"

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

    fs_look(directory->fs);
    error = find_name(directory, name, &number);
    if (!error)
        error = inode_get(directory->fs, number, inode);
    fs_look_end(directory->fs);
    return error;
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

    fs_look(directory->fs);
    error = walk(directory, *position, emit_entry, &listing);
    fs_look_end(directory->fs);
    return error;
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

int dir_check_empty(struct ext4_inode *directory)
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

int dir_add(struct ext4_inode *directory, const char *name,
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

int dir_remove(struct ext4_inode *directory, const char *name)
{
    int error = inode_store(directory);

    if (error)
        return error;
    return end_change(directory, ext2fs_unlink(directory->fs->lib,
                                               directory->number, name, 0, 0));
}

void inode_add_link(struct ext4_inode *inode)
{
    if (S_ISDIR(inode->raw.i_mode) && (inode->raw.i_links_count >= LINKS_MAX ||
                                       inode->raw.i_links_count == 1))
        inode->raw.i_links_count = 1;
    else
        inode->raw.i_links_count++;
    inode_mark_data(inode);
}

/* One link less; the last one makes it an orphan. */
void inode_drop_link(struct ext4_inode *inode)
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

int dir_begin(struct ext4_inode *directory)
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
