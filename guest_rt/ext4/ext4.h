/* SPDX-License-Identifier: MIT */
/* A file system on a disk, in ext4's format, with its journal. */
#ifndef GUEST_RT_EXT4_EXT4_H
#define GUEST_RT_EXT4_EXT4_H

/*
 * All functions may wait for the disk; each takes the file system's lock.
 * Names are neither "." nor ".." and hold no '/'; whether they exist,
 * and of which kind they are, is the caller's to check, and to keep so.
 * Every function returns 0 or more, or -errno as Linux has it for that call:
 * -EIO if the disk failed, -EUCLEAN if what is on it makes no sense, and from
 * then on -EROFS for changes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "guest_rt/ext4/disk.h"

struct stat;
struct statfs;
struct ext4_fs;
struct ext4_inode;

/*
 * Mounts what is on the disk, after replaying its journal. The cache takes
 * about so many bytes. Returns 0, -ENODEV if there is no ext4, -ENOTSUP if it
 * has features that this does not know, -EROFS if the journal has to be
 * replayed and the disk is read-only, or another -errno. What is wrong is
 * said, too (ext4_say).
 */
int ext4_mount(struct ext4_disk *disk, bool read_only, size_t cache_bytes,
               struct ext4_fs **mounted);

/* Writes everything, leaves the disk clean, and frees the memory. */
int ext4_unmount(struct ext4_fs *fs);

/* Everything is on the disk when this returns 0. */
int ext4_sync(struct ext4_fs *fs);

/* When the next periodic commit is due; 0: nothing to commit. */
uint64_t ext4_commit_ns(const struct ext4_fs *fs);

void ext4_statfs(struct ext4_fs *fs, struct statfs *result);

/* ---- Inodes: each has a number of references ---- */

#define EXT4_ROOT 2u

/* Returns the same one for the same number, as long as it has references. */
int ext4_get(struct ext4_fs *fs, uint32_t number, struct ext4_inode **inode);

/* The last one of a file without names frees the file. */
void ext4_put(struct ext4_inode *inode);

mode_t ext4_mode(const struct ext4_inode *inode);

uint64_t ext4_size(const struct ext4_inode *inode);

/* Of a character or block device. */
dev_t ext4_device(const struct ext4_inode *inode);

/* A place for the caller's own, NULL at first. */
void **ext4_owner(struct ext4_inode *inode);

/* Fills all but st_dev. */
int ext4_stat(struct ext4_inode *inode, struct stat *stat);

/* What is to be changed; NULL leaves it as it is. */
struct ext4_change {
    const mode_t *mode; /* permissions */
    const uid_t *user;
    const gid_t *group;
    const uint64_t *size;
    const struct timespec *accessed, *modified;
};

int ext4_set(struct ext4_inode *inode, const struct ext4_change *change);

/* ---- Names ---- */

int ext4_lookup(struct ext4_inode *directory, const char *name,
                struct ext4_inode **inode);

/*
 * Anything but a directory or a symbolic link. Without a name it is in no
 * directory, and goes with its last reference unless it is linked.
 */
int ext4_create(struct ext4_inode *directory, const char *name, mode_t mode,
                dev_t device, struct ext4_inode **inode);

int ext4_mkdir(struct ext4_inode *directory, const char *name, mode_t mode,
               struct ext4_inode **inode);

int ext4_symlink(struct ext4_inode *directory, const char *name,
                 const char *target, struct ext4_inode **inode);

/* One without a name is -ENOENT unless it is `linkable`. */
int ext4_link(struct ext4_inode *directory, const char *name,
              struct ext4_inode *inode, bool linkable);

/* `inode` is what the name stands for. */
int ext4_unlink(struct ext4_inode *directory, const char *name,
                struct ext4_inode *inode);

int ext4_rmdir(struct ext4_inode *directory, const char *name,
               struct ext4_inode *inode);

/*
 * `inode` becomes `new_name` in `to`, where `replaced` is now (NULL: nothing);
 * with `exchange` they change places.
 */
int ext4_rename(struct ext4_inode *from, const char *name,
                struct ext4_inode *inode, struct ext4_inode *to,
                const char *new_name, struct ext4_inode *replaced,
                bool exchange);

/* Returns the bytes of the target that were stored. */
long ext4_readlink(struct ext4_inode *inode, char *buffer, size_t bytes);

/* `type` is DT_REG and so on; returns whether there was room for it. */
typedef bool (*ext4_entry_fn)(void *context, const char *name, size_t length,
                              uint32_t number, unsigned type, uint64_t next);

/*
 * Calls `emit` for each name from `*position` on (0: the first one), until it
 * returns false; `*position` is then that of the name it did not take.
 */
int ext4_read_dir(struct ext4_inode *directory, uint64_t *position,
                  ext4_entry_fn emit, void *context);

/* ---- Data ---- */

long ext4_read(struct ext4_inode *inode, const struct iovec *iov, int count,
               uint64_t offset);

/* With `append` to the end; `*offset` is then set to where that was. */
long ext4_write(struct ext4_inode *inode, const struct iovec *iov, int count,
                uint64_t *offset, bool append);

int ext4_truncate(struct ext4_inode *inode, uint64_t bytes);

/* `mode`: FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE. */
int ext4_fallocate(struct ext4_inode *inode, int mode, uint64_t offset,
                   uint64_t bytes);

/* SEEK_DATA or SEEK_HOLE. */
long ext4_seek(struct ext4_inode *inode, uint64_t offset, int whence);

/* fsync and fdatasync. */
int ext4_fsync(struct ext4_inode *inode, bool data_only);

#endif
