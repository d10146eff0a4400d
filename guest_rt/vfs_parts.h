/* SPDX-License-Identifier: MIT */
/* What the parts of the virtual file system know of each other. */
#ifndef GUEST_RT_VFS_PARTS_H
#define GUEST_RT_VFS_PARTS_H

#include "vfs.h"

extern struct vnode *vfs_root;      /* "/"; NULL before vfs_start() */
extern struct vnode *vfs_directory; /* the working directory */

/* Sets up the tree on first use. Returns 0, or -ENOMEM. */
int vfs_start(void);

/* Makes /tmp, /dev, /proc, /etc (vfs_tree.c). */
void vfs_start_tree(void);

/* Notes where a node was found, unless it is a root. */
void vnode_adopt(struct vnode *directory, const char *name, struct vnode *node);

/* The root of an empty file system in memory, or NULL. */
struct vnode *tmpfs_create_root(void);

/* The root of /proc (proc.c), or NULL. */
struct vnode *proc_create_root(void);

/*
 * A path argument of a system call: 0, -EFAULT, -ENAMETOOLONG, or -ENOENT for
 * an empty one.
 */
int vfs_check_path(const char *path);

/* Whether a path argument is the empty string, for AT_EMPTY_PATH. */
bool vfs_path_is_empty(const char *path);

/*
 * A walk for a call that makes, renames or removes a name: vfs_walk_start() at
 * an *at call's descriptor. `base` is put by vfs_walk_end_at().
 */
struct vfs_walk_at {
    struct vfs_walk walk;
    struct vnode *base;
};

int vfs_walk_start_at(struct vfs_walk_at *walk, long fd, const char *path);
void vfs_walk_end_at(struct vfs_walk_at *walk);

/* vfs_make() for the system calls that are made of it. */
long vfs_make_at(long fd, const char *path, mode_t mode, dev_t device,
                 const char *target);

#endif
