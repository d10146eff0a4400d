/* SPDX-License-Identifier: MIT */
/* Files in memory: the root file system. */
#ifndef GUEST_RT_TMPFS_H
#define GUEST_RT_TMPFS_H

/*
 * A file's bytes are in extents: ranges of whole pages, in order of their
 * offsets; between them are holes, which read as zeroes. Files that grow at
 * their end have one extent, which moves to one of twice the size when it is
 * full; from 1 MiB on another one as large follows it. A mapping of the file is
 * an extent itself, and for that all are made one. One that is mapped does not
 * move: then the file goes on in another one. What the file
 * has beyond its size is zero.
 *
 * A file of the archive begins with an extent that is borrowed: read where it
 * lies, and copied before it is changed. Or it is loaded when it is opened.
 *
 * Directories hold one reference to each node in them.
 */

#include "vfs.h"

#define TMPFS_PAGE 4096ul

struct tmpfs_extent {
    off_t offset;  /* in the file; of a page */
    size_t bytes;  /* whole pages, unless it is borrowed */
    size_t mapped; /* bytes of mappings of it */
    unsigned char *memory;
    bool borrowed; /* not ours, and read-only */
};

/* One name in a directory. */
struct tmpfs_entry {
    struct tmpfs_entry *next, *previous; /* in order of cookies */
    struct tmpfs_entry *chain;           /* with the same hash */
    struct vnode *node;
    off_t cookie;  /* its offset in the directory */
    uint32_t hash; /* of the name */
    uint32_t length;
    char name[];
};

struct tmpfs_directory {
    struct tmpfs_entry *first, *last;
    struct tmpfs_entry **buckets;
    unsigned bucket_count; /* a power of two, or 0 */
    unsigned count;
    off_t next_cookie;
    /* Where a reader stopped: the first entry from cursor_cookie on. */
    off_t cursor_cookie;
    struct tmpfs_entry *cursor;
};

/* Reads bytes of a file that is elsewhere. Returns 0 or -errno. */
typedef int tmpfs_load(void *to, uint64_t from, size_t bytes);

struct tmpfs_file {
    struct tmpfs_extent *extents;
    unsigned count, capacity;
    tmpfs_load *load; /* not loaded yet: all of it, from `from` on */
    uint64_t from;
};

struct tmpfs_node {
    struct vnode vnode;
    ino_t inode;
    mode_t mode;
    nlink_t links;
    uid_t owner;
    gid_t group;
    off_t size;
    struct timespec accessed, modified, changed;
    union {
        struct tmpfs_file file;
        struct tmpfs_directory directory;
        char *target; /* of a symbolic link */
    };
};

static inline struct tmpfs_node *tmpfs_node(struct vnode *node)
{
    return (struct tmpfs_node *)node;
}

/*
 * A new node with one reference and no links; its file system is that of
 * `like`. Returns NULL if there is no memory.
 */
struct tmpfs_node *tmpfs_create_node(struct vnode *like, mode_t mode);

/* The time, for the stamps of nodes. */
struct timespec tmpfs_now(void);

/* ---- Contents of the archive -------------------------------------------- */

/* The bytes of an empty file, which stay where they are. 0 or -ENOMEM. */
int tmpfs_borrow(struct vnode *node, const void *bytes, size_t count);

/* They are loaded when the file is opened first. */
void tmpfs_load_later(struct vnode *node, tmpfs_load *load, uint64_t from,
                      size_t count);

/* ---- The parts ---------------------------------------------------------- */

extern const struct vnode_ops tmpfs_ops;

/* tmpfs_directory.c */
int tmpfs_lookup(struct vnode *directory, const char *name,
                 struct vnode **found);
int tmpfs_create(struct vnode *directory, const char *name, mode_t mode,
                 dev_t device, struct vnode **made);
int tmpfs_mkdir(struct vnode *directory, const char *name, mode_t mode,
                struct vnode **made);
int tmpfs_symlink(struct vnode *directory, const char *name, const char *target,
                  struct vnode **made);
int tmpfs_link(struct vnode *directory, const char *name, struct vnode *node);
int tmpfs_unlink(struct vnode *directory, const char *name, struct vnode *node);
int tmpfs_rmdir(struct vnode *directory, const char *name, struct vnode *node);
int tmpfs_rename(struct vnode *from, const char *name, struct vnode *node,
                 struct vnode *to, const char *new_name, struct vnode *replaced,
                 bool exchange);
void tmpfs_free_directory(struct tmpfs_node *node);
extern const struct file_ops tmpfs_directory_ops;

/* tmpfs_file.c */
extern const struct file_ops tmpfs_file_ops;

/* tmpfs_extent.c */

/* Pages that all files have, and may have. */
extern size_t tmpfs_bytes, tmpfs_bytes_most;

/* Loads what is not loaded yet. Returns 0 or -errno. */
int tmpfs_load_all(struct tmpfs_node *node);

/*
 * Gives [offset, offset + bytes) memory of its own that may be written.
 * Returns 0 or -ENOSPC.
 */
int tmpfs_reserve(struct tmpfs_node *node, off_t offset, size_t bytes);

/*
 * Opens mapped pages that are closed, as they are behind the end, for a file
 * of this size. Returns 0 or -ENOSPC.
 */
int tmpfs_open_mapped(const struct tmpfs_node *node, off_t bytes);

/*
 * Sets the size; what is cut off is freed, or zero if it comes back. Returns 0
 * or -ENOSPC.
 */
int tmpfs_resize(struct tmpfs_node *node, off_t bytes);

/* Makes [offset, offset + bytes) zeroes, as far as they are in the file. */
int tmpfs_clear(struct tmpfs_node *node, off_t offset, off_t bytes);

/*
 * The extent with that offset, or the next one behind it; NULL if there is
 * none.
 */
struct tmpfs_extent *tmpfs_find(const struct tmpfs_node *node, off_t offset);

/*
 * One extent that may be written and has all of [offset, offset + bytes), or
 * NULL.
 */
struct tmpfs_extent *tmpfs_find_whole(struct tmpfs_node *node, off_t offset,
                                      size_t bytes);

/*
 * Moves [offset, offset + bytes), whole pages, into this memory, which is the
 * file's then. Returns 0, or -ENOMEM, also if any of it is mapped.
 */
int tmpfs_place(struct tmpfs_node *node, off_t offset, size_t bytes,
                unsigned char *memory);

/* Moves what is in this memory, all in one extent, elsewhere; the same. */
int tmpfs_vacate(struct tmpfs_node *node, const void *address, size_t bytes);

void tmpfs_free_extents(struct tmpfs_node *node);

#endif
