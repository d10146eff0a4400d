/* SPDX-License-Identifier: MIT */
/* Opening files by their names. */
#include <string.h>

#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

#pragma weak vfs_open_fifo

/* What O_PATH opens: nothing but a name for fstat, fchdir and *at calls. */
static const struct file_ops path_ops;

static bool wants_write(int flags)
{
    return (flags & FILE_ACCESS) != O_RDONLY;
}

/* ---- Nodes -------------------------------------------------------------- */

static int open_ops(struct vnode *node, int flags, struct file **opened)
{
    bool is_special = S_ISCHR(node->type) || S_ISBLK(node->type);

    if (flags & O_PATH) {
        *opened = file_create(&path_ops, NULL, flags);
        return *opened ? 0 : -ENOMEM;
    }
    if (S_ISFIFO(node->type))
        return vfs_open_fifo ? vfs_open_fifo(node, flags, opened) : -ENXIO;
    if (is_special && node->device)
        return vfs_open_device(node, flags, opened);
    return node->ops->open ? node->ops->open(node, flags, opened) : -ENXIO;
}

int vfs_open_node(struct vnode *node, int flags, struct file **opened)
{
    int error;

    if (S_ISLNK(node->type) && !(flags & O_PATH))
        return -ELOOP;
    if (S_ISDIR(node->type) && wants_write(flags) && !(flags & O_PATH))
        return -EISDIR;
    if (S_ISREG(node->type) && wants_write(flags) && node->fs->read_only)
        return -EROFS;
    error = open_ops(node, flags, opened);
    if (!error && !(*opened)->node)
        (*opened)->node = vnode_get(node);
    return error;
}

/* ---- Paths -------------------------------------------------------------- */

static int truncate_node(struct vnode *node)
{
    const struct vfs_change change = {.mask = VFS_SET_SIZE};

    return S_ISREG(node->type) ? vnode_set(node, &change) : 0;
}

/* A file without a name in the directory that the path names. */
static int open_unnamed(struct vnode *base, const char *path, int flags,
                        mode_t mode, struct file **opened)
{
    struct vnode *directory, *made;
    int error;

    if (!wants_write(flags))
        return -EINVAL;
    error = vfs_lookup(base, path, true, &directory);
    if (error)
        return error;
    error = -EOPNOTSUPP;
    if (!S_ISDIR(directory->type))
        error = -ENOTDIR;
    else if (directory->fs->read_only)
        error = -EROFS;
    else if (directory->ops->create)
        error =
            directory->ops->create(directory, NULL, mode | S_IFREG, 0, &made);
    vnode_put(directory);
    if (error)
        return error;
    made->linkable = !(flags & O_EXCL);
    error = vfs_open_node(made, flags & ~O_TMPFILE, opened);
    vnode_put(made);
    return error;
}

/* Makes the file that the walk did not find. */
static int create_last(struct vfs_walk *walk, mode_t mode, struct vnode **made)
{
    struct vnode *directory = walk->at;
    int error;

    if (walk->must_be_directory)
        return -EISDIR;
    if (directory->fs->read_only)
        return -EROFS;
    if (!directory->ops->create)
        return -EPERM;
    error =
        directory->ops->create(directory, walk->name, mode | S_IFREG, 0, made);
    if (!error)
        vnode_adopt(directory, walk->name, *made);
    return error;
}

/* Finds or makes the node. */
static int find_or_create(struct vfs_walk *walk, int flags, mode_t mode,
                          struct vnode **node, bool *created)
{
    bool exclusive = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
    bool again = !exclusive; /* the host of a share may make it meanwhile */
    int error;

    walk->changes = flags & O_CREAT;
    for (;;) {
        error = vfs_walk_last(walk, !(flags & O_NOFOLLOW) && !exclusive, node);
        if (error)
            return error;
        if (*node)
            break;
        if (!(flags & O_CREAT))
            return -ENOENT;
        error = create_last(walk, mode, node);
        *created = !error;
        if (error != -EEXIST || !again)
            return error;
        again = false;
    }
    if (exclusive)
        error = -EEXIST;
    else if (flags & O_CREAT && S_ISDIR((*node)->type))
        error = -EISDIR;
    else if (flags & O_DIRECTORY && !S_ISDIR((*node)->type))
        error = -ENOTDIR;
    if (error)
        vnode_put(*node);
    return error;
}

int vfs_open(struct vnode *base, const char *path, int flags, mode_t mode,
             struct file **opened)
{
    struct vfs_walk walk;
    struct vnode *node;
    bool created = false;
    int error;

    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return open_unnamed(base, path, flags, mode, opened);
    if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
        return -EINVAL;
    error = vfs_walk_start(&walk, base, path);
    if (!error)
        error = find_or_create(&walk, flags, mode, &node, &created);
    vfs_walk_end(&walk);
    if (error)
        return error;
    error = vfs_open_node(node, flags, opened);
    if (!error && flags & O_TRUNC && !created) {
        error = truncate_node(node);
        if (error)
            file_put(*opened);
    }
    vnode_put(node);
    return error;
}

/* ---- System calls ------------------------------------------------------- */

static long open_at(long fd, const char *path, int flags, mode_t mode)
{
    struct vnode *base = NULL;
    struct file *file;
    int error = vfs_check_path(path);

    if (!error && *path != '/')
        base = vfs_base(fd, &error);
    if (!error)
        error = vfs_open(base, path, flags, mode & 07777 & ~vfs_umask, &file);
    if (base)
        vnode_put(base);
    return error ? error : file_install(file, 0, flags & O_CLOEXEC);
}

long __mayfly_sys_openat(long fd, long path, long flags, long mode)
{
    return FILE_CALL(open_at(fd, (const char *)path, (int)flags, (mode_t)mode));
}

long __mayfly_sys_open(long path, long flags, long mode)
{
    return __mayfly_sys_openat(AT_FDCWD, path, flags, mode);
}

long __mayfly_sys_creat(long path, long mode)
{
    return __mayfly_sys_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC,
                               mode);
}
