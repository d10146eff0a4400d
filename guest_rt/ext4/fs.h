/* SPDX-License-Identifier: MIT */
/* A mounted file system: what its parts share. */
#ifndef GUEST_RT_EXT4_FS_H
#define GUEST_RT_EXT4_FS_H

/*
 * libext2fs knows the format: superblock and groups, bitmaps, inodes, extent
 * trees, directories, checksums. It reads and writes through channel.c, which
 * is the cache; what it changes there is the running transaction. It keeps
 * bitmaps and group descriptors in memory of its own, and fs_commit() puts the
 * changed ones into the cache first.
 *
 * A freed block must not be used again before the transaction that freed it is
 * committed: after a crash it may still belong to its old owner. So it stays
 * marked in the bitmap in memory, and is remembered in `held` until then.
 */

#include "guest_rt/ext4/cache.h"
#include "guest_rt/ext4/ext4.h"
#include "guest_rt/ext4/journal.h"
#include "guest_rt/ext4/lib.h"

#define INODE_BUCKETS 64u

/* Blocks that stay free when data is written, for what metadata needs. */
#define SPARE_BLOCKS 16u

enum {
    GROUP_BLOCKS = 1, /* its block bitmap has changed */
    GROUP_INODES = 2,
};

/* Blocks that were freed by the running transaction. */
struct held_range {
    uint64_t first, count;
};

struct ext4_fs {
    struct ext4_disk *disk;
    struct cache cache;
    struct journal journal;
    ext2_filsys lib;
    struct struct_io_manager manager;
    struct struct_io_channel channel;
    unsigned block_bytes;
    bool read_only;
    bool started;        /* the disk says that it is in use */
    int failed;          /* -errno of everything from then on */
    uint8_t *groups;     /* GROUP_* of each */
    bool groups_changed; /* one of them is not 0 */
    bool super_changed;
    struct held_range *held;
    unsigned held_count, held_max;
    uint64_t held_blocks;
    uint32_t transaction; /* counts them in memory */
    uint64_t commit_ns;   /* when it is due; 0: nothing has changed */
    struct ext4_inode *inodes[INODE_BUCKETS];
    struct ext4_inode *changed_inodes; /* by next_changed */
    struct ext4_inode *orphans;        /* as on the disk, by next_orphan */
};

#define MAP_RUNS 16u

/* Blocks of a file in a row. */
struct map_run {
    uint64_t block;  /* of the file */
    uint64_t number; /* on the disk; 0: a hole */
    uint64_t count;
    bool unwritten; /* reads as zeroes */
};

struct ext4_inode {
    struct ext4_fs *fs;
    ext2_ino_t number;
    unsigned references;
    struct ext4_inode *next; /* of the same hash */
    struct ext4_inode *next_changed, *next_orphan;
    void *owner;  /* ext4_owner() */
    bool changed; /* raw is newer than the cache */
    bool orphan;
    uint32_t changed_in; /* transaction: its size, or where its data is */
    uint32_t times_in;   /* transaction: anything */
    struct ext2_inode_large raw;
    struct map_run runs[MAP_RUNS]; /* some of its mapping */
    unsigned run_count, run_next;
    uint64_t read_end; /* where the last read ended */
    unsigned ahead;    /* blocks to read ahead */
};

/* ---- fs.c ---- */

/* Takes both locks, and gives them back. */
void fs_lock(struct ext4_disk *disk);
void fs_unlock(struct ext4_disk *disk);

/* Takes them for a change; commits first if that is due. */
void fs_enter(struct ext4_fs *fs);

/* Gives them back, after a commit if the transaction is large. Returns
 * `result`, or the error of that. */
long fs_leave(struct ext4_fs *fs, long result);

/* The same for who changes nothing, and need not wait for a commit's flush. */
void fs_look(struct ext4_fs *fs);
void fs_look_end(struct ext4_fs *fs);

/* 0 if the file system can be changed: else -EROFS or -EIO. Notes that it
 * will be. */
int fs_begin(struct ext4_fs *fs);

/*
 * What libext2fs returned in the middle of a change. If that is an error the
 * file system takes no more changes: the disk stays as the last transaction
 * left it. Returns 0 or -errno.
 */
int fs_check(struct ext4_fs *fs, errcode_t error);

/* The same for an error of this file system's own. */
int fs_fail(struct ext4_fs *fs, int error);

/* Commits the running transaction, and flushes. Returns 0 or -errno. */
int fs_commit(struct ext4_fs *fs);

/* Commits if the transaction has grown large; between two changes only. */
int fs_commit_large(struct ext4_fs *fs);

/* The same, and writes data if there is much: between two parts of a write. */
int fs_breathe(struct ext4_fs *fs);

/* Free blocks that may be used now. */
uint64_t fs_free_blocks(const struct ext4_fs *fs);

/* ---- mount.c ---- */

/* Says on the disk whether its journal is in use. */
int fs_write_flag(struct ext4_fs *fs, bool in_use);

/* ---- space.c ---- */

/* Makes libext2fs tell of what it allocates and frees. */
int space_init(struct ext4_fs *fs);

void space_fini(struct ext4_fs *fs);

/* Puts changed bitmaps and descriptors, and the superblock, into the cache. */
int space_store(struct ext4_fs *fs);

/* Blocks that space_store() will change, at most. */
unsigned space_changed(const struct ext4_fs *fs);

/*
 * Takes up to `*count` free blocks in a row, near `goal`. Sets `*first` and
 * `*count`. Returns 0, -ENOSPC or -errno.
 */
int space_take(struct ext4_fs *fs, uint64_t goal, uint64_t *first,
               uint64_t *count);

/* Gives them back; they are free for use after the next commit. */
void space_give(struct ext4_fs *fs, uint64_t first, uint64_t count);

/* Takes an inode near `directory`. Returns 0, -ENOSPC or -errno. */
int space_take_inode(struct ext4_fs *fs, ext2_ino_t directory, bool is_dir,
                     ext2_ino_t *number);

void space_give_inode(struct ext4_fs *fs, ext2_ino_t number, bool is_dir);

/* ---- channel.c ---- */

/* Makes libext2fs's I/O go to the cache. */
void channel_init(struct ext4_fs *fs);

/* ---- inode.c ---- */

/* The inode, with a reference more. 0, -ENOMEM, -EIO or -EUCLEAN. */
int inode_get(struct ext4_fs *fs, ext2_ino_t number, struct ext4_inode **inode);

/* Gives it back. The last one of an unlinked file frees the file. */
void inode_put(struct ext4_inode *inode);

/* raw has changed. */
void inode_mark(struct ext4_inode *inode);

/* The same, and fdatasync() has to write it. */
void inode_mark_data(struct ext4_inode *inode);

/* Writes raw into the cache, if it is newer; libext2fs may read it then. */
int inode_store(struct ext4_inode *inode);

/* Reads raw anew: libext2fs may have changed it. */
int inode_load(struct ext4_inode *inode);

/* Stores all that have changed. */
int inode_store_all(struct ext4_fs *fs);

/* Makes a new one in `directory`, with one reference and no links. */
int inode_create(struct ext4_inode *directory, mode_t mode,
                 struct ext4_inode **inode);

/* It has no links: the list of orphans keeps it until nobody has it open. */
void inode_add_orphan(struct ext4_inode *inode);

/* It is not one of them any more. */
void inode_drop_orphan(struct ext4_inode *inode);

/* Frees what the disk's list of orphans has from before a crash. */
int inode_clean_orphans(struct ext4_fs *fs);

enum { TIME_ACCESS = 1, TIME_MODIFY = 2, TIME_CHANGE = 4, TIME_CREATE = 8 };

void inode_set_time(struct ext4_inode *inode, unsigned which,
                    const struct timespec *time);

/* Sets these times to now. */
void inode_touch(struct ext4_inode *inode, unsigned which);

/* It is written to: if its times are now's already, nothing has changed. */
void inode_touch_written(struct ext4_inode *inode);

static inline uint64_t inode_size(const struct ext4_inode *inode)
{
    return inode->raw.i_size | (uint64_t)inode->raw.i_size_high << 32;
}

static inline void inode_set_size(struct ext4_inode *inode, uint64_t bytes)
{
    inode->raw.i_size = (uint32_t)bytes;
    inode->raw.i_size_high = (uint32_t)(bytes >> 32);
}

static inline struct ext2_inode *inode_raw(struct ext4_inode *inode)
{
    return (struct ext2_inode *)(void *)&inode->raw;
}

/* ---- map.c ---- */

/* Finds what is at `block` of the file, and how much of the same follows. */
int map_find(struct ext4_inode *inode, uint64_t block, struct map_run *run);

/*
 * Gives blocks of the disk to a hole of the file: some, from `block` on, at
 * most `count`. Sets `*run`. Returns 0, -ENOSPC or -errno.
 */
int map_fill(struct ext4_inode *inode, uint64_t block, uint64_t count,
             bool unwritten, struct map_run *run);

/* Unwritten blocks, all in one run, are about to be written. */
int map_write(struct ext4_inode *inode, uint64_t block, uint64_t count);

/* Frees blocks from `first` to `last`. May commit in between if `orphan`. */
int map_remove(struct ext4_inode *inode, uint64_t first, uint64_t last);

/* ---- data.c ---- */

/* Makes a file shorter or longer, its size included. */
int data_resize(struct ext4_inode *inode, uint64_t bytes);

/* ---- names.c ---- */

/* A directory of more links than this has 1: nobody counts any more. */
#define LINKS_MAX 65000u

/* Begins a change of a directory: -ENOENT if it has been removed. */
int dir_begin(struct ext4_inode *directory);

/* Returns 0, -ENOTEMPTY or -errno. */
int dir_check_empty(struct ext4_inode *directory);

/* Gives an inode a name; its count of links stays. Returns 0 or -errno. */
int dir_add(struct ext4_inode *directory, const char *name,
            const struct ext4_inode *inode);

/* Takes a name away; the count of links stays. Returns 0 or -errno. */
int dir_remove(struct ext4_inode *directory, const char *name);

/* One link more. */
void inode_add_link(struct ext4_inode *inode);

/* One link less; the last one makes it an orphan. */
void inode_drop_link(struct ext4_inode *inode);

#endif
