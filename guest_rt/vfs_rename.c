/* SPDX-License-Identifier: MIT */
/* rename. */
#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

#undef RENAME_NOREPLACE
#undef RENAME_EXCHANGE
#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE  2u

/* One of the two names. */
struct end {
    struct vfs_walk_at at;
    struct vnode *node; /* what is there, or NULL */
    bool slash;         /* the path ends with one */
};

static int start_end(struct end *end, long fd, const char *path)
{
    int error = vfs_walk_start_at(&end->at, fd, path);

    end->node = NULL;
    if (error)
        return error;
    if (end->at.walk.is_special)
        return -EBUSY;
    end->slash = end->at.walk.must_be_directory;
    end->at.walk.must_be_directory = false; /* links are not followed */
    return 0;
}

static int find_end(struct end *end)
{
    return vfs_walk_last(&end->at.walk, false, &end->node);
}

/* Holds the names in both directories (vfs.h). */
static void hold_ends(struct vnode *from, struct vnode *to)
{
    if (from != to) {
        mutex_lock(&from->fs->moving);
        mutex_lock(&from->names);
    }
    mutex_lock(&to->names);
}

static void release_ends(struct vnode *from, struct vnode *to)
{
    mutex_unlock(&to->names);
    if (from != to) {
        mutex_unlock(&from->names);
        mutex_unlock(&from->fs->moving);
    }
}

static void finish_end(struct end *end)
{
    if (end->node)
        vnode_put(end->node);
    vfs_walk_end_at(&end->at);
}

static bool is_within(const struct vnode *node, const struct vnode *directory)
{
    for (; node; node = node->parent)
        if (node == directory)
            return true;
    return false;
}

static bool is_root(const struct vnode *node)
{
    return node->mounted || node == node->fs->root;
}

/* Whether what is at `to` may be replaced by `from`. */
static int check_kinds(const struct end *from, const struct end *to)
{
    bool is_directory = S_ISDIR(from->node->type);

    if (!is_directory && (from->slash || to->slash))
        return -ENOTDIR;
    if (!to->node)
        return 0;
    if (is_directory && !S_ISDIR(to->node->type))
        return -ENOTDIR;
    return !is_directory && S_ISDIR(to->node->type) ? -EISDIR : 0;
}

static int check_rename(const struct end *from, const struct end *to,
                        unsigned flags)
{
    const struct vnode *from_directory = from->at.walk.at;
    const struct vnode *to_directory = to->at.walk.at;
    bool exchange = flags & RENAME_EXCHANGE;

    if (!from->node || (exchange && !to->node))
        return -ENOENT;
    if (from_directory->fs->read_only)
        return -EROFS;
    if (flags & RENAME_NOREPLACE && to->node)
        return -EEXIST;
    if (is_root(from->node) || (to->node && is_root(to->node)))
        return -EBUSY;
    if (is_within(to_directory, from->node))
        return -EINVAL;
    if (to->node && is_within(from_directory, to->node))
        return exchange ? -EINVAL : -ENOTEMPTY;
    return exchange ? 0 : check_kinds(from, to);
}

static int rename_ends(struct end *from, struct end *to, unsigned flags)
{
    struct vfs_walk *a = &from->at.walk, *b = &to->at.walk;
    bool exchange = flags & RENAME_EXCHANGE;
    int error = check_rename(from, to, flags);

    if (error || from->node == to->node)
        return error;
    if (!a->at->ops->rename)
        return -EPERM;
    error = a->at->ops->rename(a->at, a->name, from->node, b->at, b->name,
                               to->node, exchange);
    if (error)
        return error;
    a->at->fs->renames++;
    vnode_adopt(b->at, b->name, from->node);
    if (exchange)
        vnode_adopt(a->at, a->name, to->node);
    return 0;
}

static int rename_between(struct end *from, struct end *to, unsigned flags)
{
    struct vnode *from_directory = from->at.walk.at;
    struct vnode *to_directory = to->at.walk.at;
    int error;

    if (from_directory->fs != to_directory->fs)
        return -EXDEV;
    hold_ends(from_directory, to_directory);
    error = find_end(from);
    if (!error)
        error = find_end(to);
    if (!error)
        error = rename_ends(from, to, flags);
    release_ends(from_directory, to_directory);
    return error;
}

static long rename_at(long old_fd, const char *old_path, long fd,
                      const char *path, unsigned flags)
{
    struct end from, to;
    int error = start_end(&from, old_fd, old_path);

    if (!error) {
        error = start_end(&to, fd, path);
        if (!error)
            error = rename_between(&from, &to, flags);
        finish_end(&to);
    }
    finish_end(&from);
    return error;
}

long __mayfly_sys_renameat2(long old_fd, long old_path, long fd, long path,
                            long flags)
{
    if ((unsigned)flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
        (unsigned)flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    return FILE_CALL(rename_at(old_fd, (const char *)old_path, fd,
                               (const char *)path, (unsigned)flags));
}

long __mayfly_sys_renameat(long old_fd, long old_path, long fd, long path)
{
    return __mayfly_sys_renameat2(old_fd, old_path, fd, path, 0);
}

long __mayfly_sys_rename(long old_path, long path)
{
    return __mayfly_sys_renameat2(AT_FDCWD, old_path, AT_FDCWD, path, 0);
}
