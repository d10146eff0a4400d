/* SPDX-License-Identifier: MIT */
/* Making names, and removing them. */
#include <string.h>

#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

/* ---- Making ------------------------------------------------------------- */

static int make_by_type(struct vnode *directory, const char *name, mode_t mode,
                        dev_t device, const char *target, struct vnode **made)
{
    const struct vnode_ops *ops = directory->ops;

    if (S_ISDIR(mode))
        return ops->mkdir ? ops->mkdir(directory, name, mode & 07777, made)
                          : -EPERM;
    if (S_ISLNK(mode))
        return ops->symlink ? ops->symlink(directory, name, target, made)
                            : -EPERM;
    return ops->create ? ops->create(directory, name, mode, device, made)
                       : -EPERM;
}

/* Makes what a walk leads to. *made gets a reference. */
static int make_last(struct vfs_walk *walk, mode_t mode, dev_t device,
                     const char *target, struct vnode **made)
{
    bool must_be_directory = walk->must_be_directory;
    int error;

    walk->must_be_directory = false; /* a link there is in the way */
    walk->changes = true;
    error = vfs_walk_last(walk, false, made);
    if (error)
        return error;
    if (*made) {
        vnode_put(*made);
        return -EEXIST;
    }
    if (must_be_directory && !S_ISDIR(mode))
        return -ENOENT;
    if (walk->at->fs->read_only)
        return -EROFS;
    error = make_by_type(walk->at, walk->name, mode, device, target, made);
    if (!error)
        vnode_adopt(walk->at, walk->name, *made);
    return error;
}

int vfs_make(struct vnode *base, const char *path, mode_t mode, dev_t device,
             const char *target, struct vnode **made)
{
    struct vfs_walk walk;
    struct vnode *node;
    int error = vfs_walk_start(&walk, base, path);

    if (!error)
        error = make_last(&walk, mode, device, target, &node);
    vfs_walk_end(&walk);
    if (error)
        return error;
    if (made)
        *made = node;
    else
        vnode_put(node);
    return 0;
}

long vfs_make_at(long fd, const char *path, mode_t mode, dev_t device,
                 const char *target)
{
    struct vfs_walk_at walk;
    struct vnode *node;
    int error = vfs_walk_start_at(&walk, fd, path);

    if (!error)
        error = make_last(&walk.walk, mode, device, target, &node);
    if (!error)
        vnode_put(node);
    vfs_walk_end_at(&walk);
    return error;
}

long __mayfly_sys_mkdirat(long fd, long path, long mode)
{
    mode_t permissions = (mode_t)mode & 01777 & ~vfs_umask;

    return FILE_CALL(
        vfs_make_at(fd, (const char *)path, S_IFDIR | permissions, 0, NULL));
}

long __mayfly_sys_mkdir(long path, long mode)
{
    return __mayfly_sys_mkdirat(AT_FDCWD, path, mode);
}

static long make_link(const char *target, long fd, const char *path)
{
    int error = vfs_check_path(target);

    return error ? error : vfs_make_at(fd, path, S_IFLNK | 0777, 0, target);
}

long __mayfly_sys_symlinkat(long target, long fd, long path)
{
    return FILE_CALL(make_link((const char *)target, fd, (const char *)path));
}

long __mayfly_sys_symlink(long target, long path)
{
    return __mayfly_sys_symlinkat(target, AT_FDCWD, path);
}

/* ---- Hard links --------------------------------------------------------- */

static int link_last(struct vfs_walk *walk, struct vnode *node)
{
    struct vnode *there;
    int error;

    walk->must_be_directory = false;
    walk->changes = true;
    error = vfs_walk_last(walk, false, &there);
    if (error)
        return error;
    if (there) {
        vnode_put(there);
        return -EEXIST;
    }
    if (walk->at->fs != node->fs)
        return -EXDEV;
    if (node->fs->read_only)
        return -EROFS;
    if (S_ISDIR(node->type) || !walk->at->ops->link)
        return -EPERM;
    error = walk->at->ops->link(walk->at, walk->name, node);
    if (!error)
        node->linkable = false;
    return error;
}

static long link_at(long old_fd, const char *old_path, long fd,
                    const char *path, long flags)
{
    struct vfs_walk_at walk;
    struct vnode *node;
    long lookup = flags & AT_EMPTY_PATH;
    int error;

    if (flags & ~(long)(AT_EMPTY_PATH | AT_SYMLINK_FOLLOW))
        return -EINVAL;
    if (!(flags & AT_SYMLINK_FOLLOW))
        lookup |= AT_SYMLINK_NOFOLLOW;
    error = vfs_lookup_at(old_fd, old_path, lookup, &node);
    if (error)
        return error;
    error = vfs_walk_start_at(&walk, fd, path);
    if (!error)
        error = link_last(&walk.walk, node);
    vfs_walk_end_at(&walk);
    vnode_put(node);
    return error;
}

long __mayfly_sys_linkat(long old_fd, long old_path, long fd, long path,
                         long flags)
{
    return FILE_CALL(link_at(old_fd, (const char *)old_path, fd,
                             (const char *)path, (int)flags));
}

long __mayfly_sys_link(long old_path, long path)
{
    return __mayfly_sys_linkat(AT_FDCWD, old_path, AT_FDCWD, path, 0);
}

/* ---- Removing ----------------------------------------------------------- */

static int remove_directory(struct vnode *directory, const char *name,
                            struct vnode *node)
{
    if (!S_ISDIR(node->type))
        return -ENOTDIR;
    if (node == node->fs->root || node->mounted)
        return -EBUSY;
    if (directory->fs->read_only)
        return -EROFS;
    return directory->ops->rmdir ? directory->ops->rmdir(directory, name, node)
                                 : -EPERM;
}

static int remove_file(struct vfs_walk *walk, struct vnode *node)
{
    struct vnode *directory = walk->at;

    if (S_ISDIR(node->type))
        return -EISDIR;
    if (walk->must_be_directory)
        return -ENOTDIR;
    if (directory->fs->read_only)
        return -EROFS;
    return directory->ops->unlink
               ? directory->ops->unlink(directory, walk->name, node)
               : -EPERM;
}

/* What rmdir says of a path that ends with "/", "." or "..". */
static int special_error(const char *name, bool is_rmdir)
{
    if (!is_rmdir)
        return -EISDIR;
    if (*name == '/')
        return -EBUSY;
    return name[1] ? -ENOTEMPTY : -EINVAL;
}

static int remove_last(struct vfs_walk *walk, bool is_rmdir)
{
    bool must_be_directory = walk->must_be_directory;
    struct vnode *node;
    int error;

    if (walk->is_special)
        return special_error(walk->name, is_rmdir);
    walk->must_be_directory = false; /* a link is not followed */
    walk->changes = true;
    error = vfs_walk_last(walk, false, &node);
    walk->must_be_directory = must_be_directory;
    if (!error && !node)
        error = -ENOENT;
    if (error)
        return error;
    error = is_rmdir ? remove_directory(walk->at, walk->name, node)
                     : remove_file(walk, node);
    vnode_put(node);
    return error;
}

static long remove_at(long fd, const char *path, bool is_rmdir)
{
    struct vfs_walk_at walk;
    int error = vfs_walk_start_at(&walk, fd, path);

    if (!error)
        error = remove_last(&walk.walk, is_rmdir);
    vfs_walk_end_at(&walk);
    return error;
}

long __mayfly_sys_unlinkat(long fd, long path, long flags)
{
    if ((int)flags & ~AT_REMOVEDIR)
        return -EINVAL;
    return FILE_CALL(remove_at(fd, (const char *)path, flags & AT_REMOVEDIR));
}

long __mayfly_sys_unlink(long path)
{
    return __mayfly_sys_unlinkat(AT_FDCWD, path, 0);
}

long __mayfly_sys_rmdir(long path)
{
    return __mayfly_sys_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/* ---- For the runtime itself --------------------------------------------- */

int vfs_make_directories(const char *path, mode_t mode)
{
    char part[VFS_PATH_MAX];
    size_t length = strlen(path);
    int error = 0;

    if (length >= sizeof(part))
        return -ENAMETOOLONG;
    for (size_t i = 1; i <= length && (!error || error == -EEXIST); i++) {
        if (path[i] != '/' && path[i])
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        error = vfs_make(NULL, part, S_IFDIR | mode, 0, NULL, NULL);
    }
    return error == -EEXIST ? 0 : error;
}

int vfs_write_file(const char *path, const void *bytes, size_t count)
{
    struct iovec whole = {(void *)(uintptr_t)bytes, count};
    struct file *file;
    long result =
        vfs_open(NULL, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &file);

    if (result)
        return (int)result;
    result = file->ops->write ? file->ops->write(file, &whole, 1, FILE_HERE)
                              : -EINVAL;
    file_put(file);
    if (result < 0)
        return (int)result;
    return (size_t)result == count ? 0 : -ENOSPC;
}
