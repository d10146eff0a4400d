/* SPDX-License-Identifier: MIT */
/* Files in memory: nodes and what they are. */
#include "guest_rt/tmpfs.h"

#include <string.h>

#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/vfs_parts.h"

#define TMPFS_MAGIC 0x01021994 /* of statfs, as Linux's */

static struct vfs tmpfs = {.type = "tmpfs"};
static ino_t next_inode = 1;
static unsigned node_count;

struct timespec tmpfs_now(void)
{
    uint64_t now = mf_clock_realtime();

    return (struct timespec){(time_t)(now / 1000000000),
                             (long)(now % 1000000000)};
}

/* ---- Nodes -------------------------------------------------------------- */

struct tmpfs_node *tmpfs_create_node(struct vnode *like, mode_t mode)
{
    struct tmpfs_node *node = pool_alloc(sizeof(*node));

    if (!node)
        return NULL;
    node->vnode = (struct vnode){
        .ops = &tmpfs_ops,
        .fs = like ? like->fs : &tmpfs,
        .references = 1,
        .type = mode & S_IFMT,
    };
    node->inode = next_inode++;
    node->mode = mode;
    node->accessed = node->modified = node->changed = tmpfs_now();
    node->directory.next_cookie = 2; /* after the dots */
    if (!S_ISDIR(mode))
        node->directory = (struct tmpfs_directory){0};
    node_count++;
    return node;
}

struct vnode *tmpfs_create_root(void)
{
    struct tmpfs_node *root = tmpfs_create_node(NULL, S_IFDIR | 0755);

    if (!root)
        return NULL;
    tmpfs_bytes_most = mf_memory_free_bytes() / 2;
    root->links = 2;
    return &root->vnode;
}

/* Without references it has no name either, or it is in a removed directory. */
static void release(struct vnode *vnode)
{
    struct tmpfs_node *node = tmpfs_node(vnode);

    if (S_ISREG(vnode->type))
        tmpfs_free_extents(node);
    else if (S_ISDIR(vnode->type))
        tmpfs_free_directory(node);
    else if (S_ISLNK(vnode->type) && node->target)
        pool_free(node->target, strlen(node->target) + 1);
    node_count--;
    pool_free(node, sizeof(*node));
}

/* ---- What they are ------------------------------------------------------ */

/* Bytes that the file's extents have. */
static size_t bytes_of(const struct tmpfs_node *node)
{
    size_t total = 0;

    if (S_ISREG(node->mode))
        for (unsigned i = 0; i < node->file.count; i++)
            total += node->file.extents[i].bytes;
    return total;
}

static int stat_node(struct vnode *vnode, struct stat *stat)
{
    struct tmpfs_node *node = tmpfs_node(vnode);

    stat->st_ino = node->inode;
    stat->st_mode = node->mode;
    stat->st_nlink = node->links;
    stat->st_uid = node->owner;
    stat->st_gid = node->group;
    stat->st_rdev = vnode->device;
    stat->st_size = node->size;
    stat->st_blksize = (blksize_t)TMPFS_PAGE;
    stat->st_blocks = (blkcnt_t)((bytes_of(node) + 511) / 512);
    stat->st_atim = node->accessed;
    stat->st_mtim = node->modified;
    stat->st_ctim = node->changed;
    return 0;
}

static int set_node(struct vnode *vnode, const struct vfs_change *change)
{
    struct tmpfs_node *node = tmpfs_node(vnode);

    if (change->mask & VFS_SET_SIZE) {
        int error = tmpfs_load_all(node);

        if (!error)
            error = tmpfs_resize(node, change->size);
        if (error)
            return error;
        node->modified = tmpfs_now();
    }
    if (change->mask & VFS_SET_MODE)
        node->mode = (node->mode & S_IFMT) | change->mode;
    if (change->mask & VFS_SET_OWNER)
        node->owner = change->owner;
    if (change->mask & VFS_SET_GROUP)
        node->group = change->group;
    if (change->mask & VFS_SET_ACCESSED)
        node->accessed = change->accessed;
    if (change->mask & VFS_SET_MODIFIED)
        node->modified = change->modified;
    node->changed = tmpfs_now();
    return 0;
}

static long read_link(struct vnode *vnode, char *buffer, size_t bytes)
{
    struct tmpfs_node *node = tmpfs_node(vnode);

    if (bytes > (size_t)node->size)
        bytes = (size_t)node->size;
    memcpy(buffer, node->target, bytes);
    return (long)bytes;
}

static int open_node(struct vnode *vnode, int flags, struct file **opened)
{
    bool is_directory = S_ISDIR(vnode->type);
    int error = 0;

    if (!is_directory && !S_ISREG(vnode->type))
        return -ENXIO; /* a socket */
    if (!is_directory && !(flags & O_TRUNC))
        error = tmpfs_load_all(tmpfs_node(vnode));
    if (error)
        return error;
    *opened = file_create(is_directory ? &tmpfs_directory_ops : &tmpfs_file_ops,
                          vnode, flags);
    return *opened ? 0 : -ENOMEM;
}

static int statfs_node(struct vnode *vnode, struct statfs *statfs)
{
    uint64_t free = mf_memory_free_bytes();

    (void)vnode;
    if (free > tmpfs_bytes_most - tmpfs_bytes)
        free = tmpfs_bytes_most - tmpfs_bytes;
    statfs->f_type = TMPFS_MAGIC;
    statfs->f_blocks = tmpfs_bytes_most / TMPFS_PAGE;
    statfs->f_bfree = statfs->f_bavail = free / TMPFS_PAGE;
    statfs->f_files = node_count + free / TMPFS_PAGE;
    statfs->f_ffree = free / TMPFS_PAGE;
    statfs->f_frsize = statfs->f_bsize;
    return 0;
}

const struct vnode_ops tmpfs_ops = {
    .lookup = tmpfs_lookup,
    .create = tmpfs_create,
    .mkdir = tmpfs_mkdir,
    .symlink = tmpfs_symlink,
    .link = tmpfs_link,
    .unlink = tmpfs_unlink,
    .rmdir = tmpfs_rmdir,
    .rename = tmpfs_rename,
    .readlink = read_link,
    .stat = stat_node,
    .set = set_node,
    .open = open_node,
    .statfs = statfs_node,
    .release = release,
};
