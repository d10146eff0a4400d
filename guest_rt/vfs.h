/* SPDX-License-Identifier: MIT */
/* Names of files: nodes, mounted file systems, and paths. */
#ifndef GUEST_RT_VFS_H
#define GUEST_RT_VFS_H

/*
 * A file system offers its files and directories as nodes (struct vnode), each
 * with functions (struct vnode_ops), and mounts its root somewhere in the tree,
 * which begins with a file system in memory (tmpfs.c). Paths are walked here,
 * name by name: the dots, symbolic links, mount points and Linux's checks are
 * done before a function is called.
 *
 * A node is counted: by open files, by the walk, by its children's nodes, by
 * the working directory, by what is mounted on it. release() is called when
 * the last reference is gone, and frees it; a file system that keeps nodes in
 * memory holds references itself. While a node exists its file system returns
 * the same one for the same file: locks, FIFOs and ".." depend on it.
 *
 * Everything runs with the runtime's lock held. Functions that block (on a
 * device) may let other threads in; they see to it themselves that their own
 * structures bear that (struct mutex).
 *
 * Whoever changes the names in a directory holds its `names` from the look at
 * what is there to the end of the change, so that what was found is still so
 * when a file system is called. A rename between two directories holds those of
 * both, and there is one at a time in a file system (`moving`): so nobody waits
 * in a circle, and where a directory is does not change while that is checked.
 * Whoever looks up only holds nothing, and looks again if there was a rename
 * meanwhile: its answer may be where the node was before.
 */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>
#include <time.h>

#include "file.h"

#ifndef NAME_MAX
#define NAME_MAX 255
#endif
#define VFS_PATH_MAX  4096u /* with the NUL */
#define VFS_LINKS_MAX 40u   /* symbolic links in one walk */

struct vnode;

/* What set() changes: those of `mask`, times as they are. */
enum {
    VFS_SET_MODE = 1,
    VFS_SET_OWNER = 2,
    VFS_SET_GROUP = 4,
    VFS_SET_SIZE = 8,
    VFS_SET_ACCESSED = 16,
    VFS_SET_MODIFIED = 32,
};

struct vfs_change {
    unsigned mask;
    mode_t mode; /* permissions only */
    uid_t owner;
    gid_t group;
    off_t size;
    struct timespec accessed, modified;
};

/*
 * Names are neither empty, nor "." or "..", nor longer than NAME_MAX, nor have
 * a slash. Nodes are returned with a reference for the caller. Results are 0 or
 * more, or -errno. What is NULL is -EPERM, unless said otherwise.
 *
 * A file system need not check: that the directory is one (ENOTDIR), EROFS,
 * EXDEV, EEXIST of what is made, EISDIR and ENOTDIR of what is removed or
 * replaced, a directory that is moved into itself, or sizes below 0.
 */
struct vnode_ops {
    /* [-ENOENT] */
    int (*lookup)(struct vnode *directory, const char *name,
                  struct vnode **found);
    /*
     * Makes a regular file, FIFO, socket or device (`device`), by the type in
     * `mode`. With a NULL name it is in no directory (O_TMPFILE); -EOPNOTSUPP
     * if that is not possible.
     */
    int (*create)(struct vnode *directory, const char *name, mode_t mode,
                  dev_t device, struct vnode **made);
    int (*mkdir)(struct vnode *directory, const char *name, mode_t mode,
                 struct vnode **made);
    int (*symlink)(struct vnode *directory, const char *name,
                   const char *target, struct vnode **made);
    /* Gives `node` a further name. -ENOENT: it has none, and is not linkable */
    int (*link)(struct vnode *directory, const char *name, struct vnode *node);
    /* `node` is what the name stands for, and not a directory. */
    int (*unlink)(struct vnode *directory, const char *name,
                  struct vnode *node);
    /* -ENOTEMPTY if it is not empty. */
    int (*rmdir)(struct vnode *directory, const char *name, struct vnode *node);
    /*
     * `node` becomes `new_name` in `to`, where `replaced` is now (NULL:
     * nothing); that is not `node` itself, and of the same kind: a directory
     * must be empty, -ENOTEMPTY. With `exchange` the two change places.
     */
    int (*rename)(struct vnode *from, const char *name, struct vnode *node,
                  struct vnode *to, const char *new_name,
                  struct vnode *replaced, bool exchange);
    /* As readlink(2), without a NUL. [-EINVAL] */
    long (*readlink)(struct vnode *node, char *buffer, size_t bytes);
    /*
     * What a link that names no path leads to, as in /proc/self/fd. [the path
     * that readlink returns]
     */
    int (*follow)(struct vnode *link, struct vnode **target);
    /* Fills all but st_dev. */
    int (*stat)(struct vnode *node, struct stat *stat);
    int (*set)(struct vnode *node, const struct vfs_change *change);
    /*
     * Opens a regular file or directory, or what else the file system has of
     * its own (not FIFOs and devices: those are opened for it): a file with one
     * reference, from file_create(). `node` of the file is set by the caller.
     */
    int (*open)(struct vnode *node, int flags, struct file **opened);
    /*
     * Writes back what belongs to this node, or to the whole file system if it
     * is the root and `all`. [0: there is nothing to write back]
     */
    int (*sync)(struct vnode *node, bool data_only, bool all);
    /* [zeroes] */
    int (*statfs)(struct vnode *node, struct statfs *statfs);
    /* Frees it. [nothing] */
    void (*release)(struct vnode *node);
};

/* One mounted file system; its owner fills in the first three. */
struct vfs {
    dev_t device;         /* st_dev; vfs_mount() sets it if it is 0 */
    bool read_only;       /* changes are -EROFS */
    const char *type;     /* for /proc/self/mountinfo: "tmpfs", "ext4", ... */
    const char *source;   /* what is mounted, or NULL */
    struct vnode *root;   /* the rest is vfs.c's */
    struct vnode *covers; /* the directory it is mounted on */
    struct vfs *next;
    struct mutex moving; /* from one directory to another */
    unsigned renames;    /* so far */
};

struct vnode {
    const struct vnode_ops *ops;
    struct vfs *fs;
    unsigned references;
    mode_t type;  /* S_IFREG, S_IFDIR, ... */
    dev_t device; /* of S_IFCHR and S_IFBLK */

    /* vfs.c's own. */
    struct mutex names;    /* of a directory: who changes them */
    bool linkable;         /* has no name yet, and may get one (O_TMPFILE) */
    struct vnode *parent;  /* where it was found last; of roots, where they
                              are mounted; holds a reference */
    char *name;            /* its name there */
    struct vnode *mounted; /* the root of what is mounted on it */
    void *special;         /* the FIFO's pipe; the socket bound to it */
    void (*special_gone)(struct vnode *node); /* at the end, if special */
};

static inline struct vnode *vnode_get(struct vnode *node)
{
    node->references++;
    return node;
}

/* Gives a reference back; the last one releases the node. */
void vnode_put(struct vnode *node);

/* Fills a zeroed struct stat. Returns 0 or -errno. */
int vnode_stat(struct vnode *node, struct stat *stat);

/* Changes attributes. Returns 0, -EROFS or -errno. */
int vnode_set(struct vnode *node, const struct vfs_change *change);

/* ---- Mounting ----------------------------------------------------------- */

/*
 * Mounts a file system whose root is `root` (its `fs` names it) on an absolute
 * path; directories that are missing there are made. Takes over one reference
 * to the root. Returns 0 or -errno.
 */
int vfs_mount(const char *path, struct vnode *root);

/*
 * Called once, before the first path is walked, in this order; whoever has
 * something to mount or to write then defines one. They may use everything in
 * this header, and end the program with a message if they fail.
 */
void vfs_start_archive(void);                       /* archive.c */
void vfs_start_disks(void) __attribute__((weak));   /* mount= */
void vfs_start_network(void) __attribute__((weak)); /* /etc/resolv.conf */
void vfs_follow_network(void) __attribute__((weak));

/* Before the network's: share= (p9_mount.c), in every program with paths. */
void vfs_start_shares(void);

/* The list of what is mounted, the root's first. */
struct vfs *vfs_first(void);

/* ---- Paths -------------------------------------------------------------- */

/*
 * A walk: where it is, and what is left. vfs_walk_start() to vfs_walk_end().
 */
struct vfs_walk {
    struct vnode *at;        /* the directory reached so far */
    const char *rest;        /* of the path */
    char *buffer;            /* that the rest is in after a link, or NULL */
    unsigned links;          /* followed so far */
    bool must_be_directory;  /* the path ends with a slash, or a dot */
    bool is_special;         /* the last name is "/", "." or "..": `at` is it */
    bool changes;            /* the last name is looked up to be changed */
    struct vnode *held;      /* `at`, if its names are held for that */
    char name[NAME_MAX + 1]; /* the last name */
};

/*
 * The directory that relative paths of an *at call begin in: AT_FDCWD or a
 * descriptor. Returns it with a reference, or NULL: -EBADF or -ENOTDIR in
 * *error.
 */
struct vnode *vfs_base(long fd, int *error);

/*
 * Walks to the directory that the last name of `path` is in. `base` is for
 * relative paths (NULL: the working directory). Returns 0 or -errno; call
 * vfs_walk_end() either way.
 */
int vfs_walk_start(struct vfs_walk *walk, struct vnode *base, const char *path);

/*
 * Looks up the last name; symbolic links are followed if `follow`, or if the
 * path ends with a slash, and `at` and `name` are then those of the end. Sets
 * *found to NULL if there is no such name. If the walk `changes`, the names in
 * `at` are held from here to vfs_walk_end(). Returns 0 or -errno.
 */
int vfs_walk_last(struct vfs_walk *walk, bool follow, struct vnode **found);

void vfs_walk_end(struct vfs_walk *walk);

/* All of that: a node that exists, or -ENOENT and so on. */
int vfs_lookup(struct vnode *base, const char *path, bool follow,
               struct vnode **found);

/*
 * A path of a system call's *at argument, as those calls take it: with
 * AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW in `flags`. Returns 0 or -errno.
 */
int vfs_lookup_at(long fd, const char *path, long flags, struct vnode **found);

/*
 * Opens as open(2) does, umask aside. Returns 0 and a file with one reference,
 * or -errno.
 */
int vfs_open(struct vnode *base, const char *path, int flags, mode_t mode,
             struct file **opened);

/* Opens a node. Returns 0 and a file with one reference, or -errno. */
int vfs_open_node(struct vnode *node, int flags, struct file **opened);

/*
 * Makes a node of mode's type: S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK or
 * S_IFDIR; S_IFLNK to `target`. *made may be NULL. Returns 0 or -errno.
 */
int vfs_make(struct vnode *base, const char *path, mode_t mode, dev_t device,
             const char *target, struct vnode **made);

/* Makes a directory and those that it is in, as far as they are missing. */
int vfs_make_directories(const char *path, mode_t mode);

/* Makes, or replaces, a regular file. Returns 0 or -errno. */
int vfs_write_file(const char *path, const void *bytes, size_t count);

/*
 * Writes the absolute path of a node into `buffer` of `bytes`. Returns its
 * length without the NUL, -ERANGE, or -ENOENT if it was removed.
 */
long vfs_path_of(struct vnode *node, char *buffer, size_t bytes);

/* The mask of umask(2). */
extern mode_t vfs_umask;

/* ---- For file systems --------------------------------------------------- */

/* Opens a device by its number (dev.c). */
int vfs_open_device(struct vnode *node, int flags, struct file **opened);

/* Opens a FIFO (pipe_fifo.c); linked if the program can make one. */
int vfs_open_fifo(struct vnode *node, int flags, struct file **opened);

/* Entries of getdents64. */
struct vfs_entries {
    char *at, *end;
};

/*
 * Adds an entry; `next` is the offset of the entry after it. `type` is a mode.
 * Returns whether there was room.
 */
bool vfs_entries_add(struct vfs_entries *entries, ino_t inode, off_t next,
                     mode_t type, const char *name, size_t length);

#endif
