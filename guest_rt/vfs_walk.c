/* SPDX-License-Identifier: MIT */
/* Walking paths. */
#include <string.h>

#include "guest_rt/pool.h"
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

/* ---- Arguments ---------------------------------------------------------- */

int vfs_check_path(const char *path)
{
    if (!user_can_read_string(path, VFS_PATH_MAX))
        return -EFAULT;
    if (strnlen(path, VFS_PATH_MAX) == VFS_PATH_MAX)
        return -ENAMETOOLONG;
    return *path ? 0 : -ENOENT;
}

bool vfs_path_is_empty(const char *path)
{
    return user_can_read(path, 1) && !*path;
}

struct vnode *vfs_base(long fd, int *error)
{
    struct file *file;
    struct vnode *node;

    *error = vfs_start();
    if (*error)
        return NULL;
    if ((int)fd == AT_FDCWD)
        return vnode_get(vfs_directory);
    file = file_get(fd);
    *error = file ? -ENOTDIR : -EBADF;
    if (!file)
        return NULL;
    node =
        file->node && S_ISDIR(file->node->type) ? vnode_get(file->node) : NULL;
    file_put(file);
    if (node)
        *error = 0;
    return node;
}

/* ---- One step ----------------------------------------------------------- */

static bool is_dots(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/*
 * Finds a name, and notes where the node is. While the file system waited for
 * a disk it may have been moved, and noted so: then it is looked for again.
 */
static int look_up(struct vnode *directory, const char *name,
                   struct vnode **node)
{
    struct vfs *fs = directory->fs;

    if (!directory->ops->lookup)
        return -ENOENT;
    for (;;) {
        unsigned renames = fs->renames;
        int error = directory->ops->lookup(directory, name, node);

        if (error)
            return error;
        if (fs->renames == renames)
            break;
        vnode_put(*node);
    }
    vnode_adopt(directory, name, *node);
    return 0;
}

/* Finds a name, which may be dots, in the directory. */
static int find_in(struct vnode *directory, const char *name,
                   struct vnode **found)
{
    struct vnode *node;
    int error;

    if (!S_ISDIR(directory->type))
        return -ENOTDIR;
    if (is_dots(name)) {
        node = name[1] && directory->parent ? directory->parent : directory;
        *found = vnode_get(node);
        return 0;
    }
    error = look_up(directory, name, &node);
    if (error)
        return error;
    while (node->mounted) {
        struct vnode *root = vnode_get(node->mounted);

        vnode_put(node);
        node = root;
    }
    *found = node;
    return 0;
}

static void go_to(struct vfs_walk *walk, struct vnode *node)
{
    vnode_put(walk->at);
    walk->at = node;
}

/* Goes on with the link's target, and then the rest. Puts the link. */
static int follow_link(struct vfs_walk *walk, struct vnode *link)
{
    size_t rest = strlen(walk->rest);
    char *buffer;
    long length;

    if (++walk->links > VFS_LINKS_MAX)
        return -ELOOP;
    buffer = pool_alloc(VFS_PATH_MAX);
    if (!buffer)
        return -ENOMEM;
    length = link->ops->readlink
                 ? link->ops->readlink(link, buffer, VFS_PATH_MAX)
                 : -EINVAL;
    if (length == 0)
        length = -ENOENT;
    else if (length > 0 && (size_t)length + rest + 2 > VFS_PATH_MAX)
        length = -ENAMETOOLONG;
    if (length < 0) {
        pool_free(buffer, VFS_PATH_MAX);
        return (int)length;
    }
    if (rest || walk->must_be_directory)
        buffer[length++] = '/';
    memcpy(buffer + length, walk->rest, rest + 1);
    pool_free(walk->buffer, VFS_PATH_MAX);
    walk->buffer = buffer;
    walk->rest = buffer;
    if (*buffer == '/')
        go_to(walk, vnode_get(vfs_root));
    return 0;
}

/* Follows what is a link to something that has no path. */
static int resolve_link(struct vfs_walk *walk, struct vnode **node)
{
    struct vnode *link = *node;
    int error;

    if (++walk->links > VFS_LINKS_MAX)
        return -ELOOP;
    error = link->ops->follow(link, node);
    if (!error)
        vnode_put(link);
    return error;
}

/* ---- Walks -------------------------------------------------------------- */

/* Takes the next name off the rest; false if there is none. */
static int take_name(struct vfs_walk *walk)
{
    size_t length;

    walk->rest += strspn(walk->rest, "/");
    length = strcspn(walk->rest, "/");
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(walk->name, walk->rest, length);
    walk->name[length] = '\0';
    walk->rest += length;
    return 0;
}

/* The name is one in the middle of the path: goes there. */
static int step(struct vfs_walk *walk)
{
    struct vnode *node;
    int error = find_in(walk->at, walk->name, &node);

    if (error)
        return error;
    if (S_ISLNK(node->type) && node->ops->follow)
        error = resolve_link(walk, &node);
    if (!error && S_ISLNK(node->type)) {
        error = follow_link(walk, node);
        vnode_put(node);
        return error;
    }
    if (error)
        vnode_put(node);
    else
        go_to(walk, node);
    return error;
}

/* Goes on until `name` is the last one. */
static int walk_to_last(struct vfs_walk *walk)
{
    for (;;) {
        int error = take_name(walk);

        if (!error && !S_ISDIR(walk->at->type))
            error = -ENOTDIR;
        if (error)
            return error;
        if (!*walk->name) { /* "/" */
            strcpy(walk->name, "/");
            walk->is_special = walk->must_be_directory = true;
            return 0;
        }
        if (!walk->rest[strspn(walk->rest, "/")])
            break;
        error = step(walk);
        if (error)
            return error;
    }
    walk->must_be_directory |= *walk->rest == '/';
    walk->rest = "";
    walk->is_special = is_dots(walk->name);
    return walk->is_special ? step(walk) : 0;
}

int vfs_walk_start(struct vfs_walk *walk, struct vnode *base, const char *path)
{
    int error = vfs_start();

    *walk = (struct vfs_walk){.rest = path};
    if (!error)
        error = vfs_check_path(path);
    if (error)
        return error;
    if (*path == '/')
        base = vfs_root;
    walk->at = vnode_get(base ? base : vfs_directory);
    return walk_to_last(walk);
}

static void hold_names(struct vfs_walk *walk)
{
    if (!walk->changes || walk->held)
        return;
    mutex_lock(&walk->at->names);
    walk->held = walk->at;
}

static void release_names(struct vfs_walk *walk)
{
    if (walk->held)
        mutex_unlock(&walk->held->names);
    walk->held = NULL;
}

int vfs_walk_last(struct vfs_walk *walk, bool follow, struct vnode **found)
{
    struct vnode *node;
    int error;

    *found = NULL;
    for (;;) {
        bool through = follow || walk->must_be_directory;

        if (walk->is_special) {
            *found = vnode_get(walk->at);
            return 0;
        }
        hold_names(walk);
        error = find_in(walk->at, walk->name, &node);
        if (error)
            return error == -ENOENT ? 0 : error;
        if (through && S_ISLNK(node->type) && node->ops->follow)
            error = resolve_link(walk, &node);
        if (error || !through || !S_ISLNK(node->type))
            break;
        release_names(walk);
        error = follow_link(walk, node);
        vnode_put(node);
        if (!error)
            error = walk_to_last(walk);
        if (error)
            return error;
    }
    if (!error && walk->must_be_directory && !S_ISDIR(node->type))
        error = -ENOTDIR;
    if (error)
        vnode_put(node);
    else
        *found = node;
    return error;
}

void vfs_walk_end(struct vfs_walk *walk)
{
    release_names(walk);
    if (walk->at)
        vnode_put(walk->at);
    pool_free(walk->buffer, VFS_PATH_MAX);
}

int vfs_lookup(struct vnode *base, const char *path, bool follow,
               struct vnode **found)
{
    struct vfs_walk walk;
    int error = vfs_walk_start(&walk, base, path);

    if (!error)
        error = vfs_walk_last(&walk, follow, found);
    if (!error && !*found)
        error = -ENOENT;
    vfs_walk_end(&walk);
    return error;
}

/* ---- Of *at calls ------------------------------------------------------- */

static int node_of_descriptor(long fd, struct vnode **found)
{
    struct file *file;
    int error = vfs_start();

    if (error)
        return error;
    if ((int)fd == AT_FDCWD) {
        *found = vnode_get(vfs_directory);
        return 0;
    }
    file = file_get(fd);
    if (!file)
        return -EBADF;
    error = file->node ? 0 : -EINVAL;
    if (!error)
        *found = vnode_get(file->node);
    file_put(file);
    return error;
}

int vfs_lookup_at(long fd, const char *path, long flags, struct vnode **found)
{
    struct vfs_walk_at walk;
    int error;

    if (flags & AT_EMPTY_PATH && vfs_path_is_empty(path))
        return node_of_descriptor(fd, found);
    error = vfs_walk_start_at(&walk, fd, path);
    if (!error)
        error =
            vfs_walk_last(&walk.walk, !(flags & AT_SYMLINK_NOFOLLOW), found);
    if (!error && !*found)
        error = -ENOENT;
    vfs_walk_end_at(&walk);
    return error;
}

int vfs_walk_start_at(struct vfs_walk_at *walk, long fd, const char *path)
{
    int error = vfs_check_path(path);

    *walk = (struct vfs_walk_at){0};
    /* What an absolute path does not need may be wrong. */
    if (!error && *path != '/')
        walk->base = vfs_base(fd, &error);
    return error ? error : vfs_walk_start(&walk->walk, walk->base, path);
}

void vfs_walk_end_at(struct vfs_walk_at *walk)
{
    vfs_walk_end(&walk->walk);
    if (walk->base)
        vnode_put(walk->base);
}
