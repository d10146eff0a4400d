/* SPDX-License-Identifier: MIT */
/* Files on disks as nodes of the virtual file system. */
#include "guest_rt/ext4/guest_node.h"

#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "guest_rt/pool.h"

struct node {
    struct vnode vnode;
    struct ext4_inode *inode;
};

static struct node *node_of(struct vnode *vnode)
{
    return (struct node *)(void *)vnode;
}

static struct ext4_inode *inode_of(struct vnode *vnode)
{
    return node_of(vnode)->inode;
}

/* ---- Nodes -------------------------------------------------------------- */

struct vnode *guest_node(struct vfs *fs, struct ext4_inode *inode)
{
    void **owner = ext4_owner(inode);
    struct node *node = *owner;

    if (node) {
        vnode_get(&node->vnode);
        ext4_put(inode); /* it has its own reference */
        return &node->vnode;
    }
    node = pool_alloc(sizeof(*node));
    if (!node) {
        ext4_put(inode);
        return NULL;
    }
    node->vnode = (struct vnode){
        .ops = &guest_node_ops,
        .fs = fs,
        .references = 1,
        .type = ext4_mode(inode) & S_IFMT,
        .device = ext4_device(inode),
    };
    node->inode = inode;
    *owner = node;
    return &node->vnode;
}

static void release(struct vnode *vnode)
{
    struct node *node = node_of(vnode);
    struct ext4_inode *inode = node->inode;

    /* Whoever looks it up while this waits makes another one. */
    *ext4_owner(inode) = NULL;
    pool_free(node, sizeof(*node));
    ext4_put(inode);
}

static int found(struct vnode *like, int error, struct ext4_inode *inode,
                 struct vnode **node)
{
    if (error)
        return error;
    *node = guest_node(like->fs, inode);
    return *node ? 0 : -ENOMEM;
}

/* ---- Names -------------------------------------------------------------- */

static int lookup(struct vnode *directory, const char *name,
                  struct vnode **node)
{
    struct ext4_inode *inode = NULL;
    int error = ext4_lookup(inode_of(directory), name, &inode);

    return found(directory, error, inode, node);
}

static int create(struct vnode *directory, const char *name, mode_t mode,
                  dev_t device, struct vnode **made)
{
    struct ext4_inode *inode = NULL;
    int error = ext4_create(inode_of(directory), name, mode, device, &inode);

    return found(directory, error, inode, made);
}

static int make_directory(struct vnode *directory, const char *name,
                          mode_t mode, struct vnode **made)
{
    struct ext4_inode *inode = NULL;
    int error = ext4_mkdir(inode_of(directory), name, mode, &inode);

    return found(directory, error, inode, made);
}

static int make_symlink(struct vnode *directory, const char *name,
                        const char *target, struct vnode **made)
{
    struct ext4_inode *inode = NULL;
    int error = ext4_symlink(inode_of(directory), name, target, &inode);

    return found(directory, error, inode, made);
}

static int link_node(struct vnode *directory, const char *name,
                     struct vnode *node)
{
    return ext4_link(inode_of(directory), name, inode_of(node), node->linkable);
}

static int unlink_node(struct vnode *directory, const char *name,
                       struct vnode *node)
{
    return ext4_unlink(inode_of(directory), name, inode_of(node));
}

static int remove_directory(struct vnode *directory, const char *name,
                            struct vnode *node)
{
    return ext4_rmdir(inode_of(directory), name, inode_of(node));
}

static int rename_node(struct vnode *from, const char *name, struct vnode *node,
                       struct vnode *to, const char *new_name,
                       struct vnode *replaced, bool exchange)
{
    return ext4_rename(inode_of(from), name, inode_of(node), inode_of(to),
                       new_name, replaced ? inode_of(replaced) : NULL,
                       exchange);
}

static long read_link(struct vnode *node, char *buffer, size_t bytes)
{
    return ext4_readlink(inode_of(node), buffer, bytes);
}

/* ---- Attributes --------------------------------------------------------- */

static int stat_node(struct vnode *node, struct stat *stat)
{
    return ext4_stat(inode_of(node), stat);
}

static int set_node(struct vnode *node, const struct vfs_change *change)
{
    uint64_t size = (uint64_t)change->size;
    const struct ext4_change wanted = {
        .mode = change->mask & VFS_SET_MODE ? &change->mode : NULL,
        .user = change->mask & VFS_SET_OWNER ? &change->owner : NULL,
        .group = change->mask & VFS_SET_GROUP ? &change->group : NULL,
        .size = change->mask & VFS_SET_SIZE ? &size : NULL,
        .accessed = change->mask & VFS_SET_ACCESSED ? &change->accessed : NULL,
        .modified = change->mask & VFS_SET_MODIFIED ? &change->modified : NULL,
    };

    return ext4_set(inode_of(node), &wanted);
}

static int sync_node(struct vnode *node, bool data_only, bool all)
{
    return all ? ext4_sync(guest_fs_of(node))
               : ext4_fsync(inode_of(node), data_only);
}

static int statfs_node(struct vnode *node, struct statfs *statfs)
{
    ext4_statfs(guest_fs_of(node), statfs);
    return 0;
}

/* ---- Open files --------------------------------------------------------- */

static struct ext4_inode *file_inode(const struct file *file)
{
    return inode_of(file->data);
}

static long read_file(struct file *file, const struct iovec *iov, int count,
                      off_t offset)
{
    off_t at = file_position(file, offset);

    return file_moved(file, offset,
                      ext4_read(file_inode(file), iov, count, (uint64_t)at));
}

static long write_file(struct file *file, const struct iovec *iov, int count,
                       off_t offset)
{
    struct ext4_inode *inode = file_inode(file);
    uint64_t at = (uint64_t)file_position(file, offset);
    long done = ext4_write(inode, iov, count, &at, file->flags & O_APPEND);

    if (done > 0 && offset == FILE_HERE)
        file->offset = (off_t)at + done;
    if (done > 0 && file->flags & O_DSYNC) {
        int error = ext4_fsync(inode, (file->flags & O_SYNC) != O_SYNC);

        if (error)
            return error;
    }
    return done;
}

static long seek(struct file *file, off_t offset, int whence)
{
    long result;

    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return file_seek(file, offset, whence,
                         (off_t)ext4_size(file_inode(file)));
    if (offset < 0)
        return -ENXIO;
    result = ext4_seek(file_inode(file), (uint64_t)offset, whence);
    if (result >= 0)
        file->offset = result;
    return result;
}

static long control(struct file *file, unsigned request, long argument)
{
    off_t left = (off_t)ext4_size(file_inode(file)) - file->offset;

    if (request != FIONREAD)
        return -ENOTTY;
    if (!user_can_write((void *)argument, sizeof(int)))
        return -EFAULT;
    *(int *)argument = left > INT_MAX ? INT_MAX : left < 0 ? 0 : (int)left;
    return 0;
}

static int allocate(struct file *file, int mode, off_t offset, off_t bytes)
{
    return ext4_fallocate(file_inode(file), mode, (uint64_t)offset,
                          (uint64_t)bytes);
}

static const struct file_ops file_ops = {
    .read = read_file,
    .write = write_file,
    .seek = seek,
    .ioctl = control,
    .allocate = allocate,
};

/* ---- Directories -------------------------------------------------------- */

static bool add_entry(void *context, const char *name, size_t length,
                      uint32_t number, unsigned type, uint64_t next)
{
    /* DT_* are the bits of the mode. */
    return vfs_entries_add(context, number, (off_t)next, (mode_t)type << 12,
                           name, length);
}

static long read_dir(struct file *file, void *buffer, size_t bytes)
{
    struct vfs_entries entries = {buffer, (char *)buffer + bytes};
    uint64_t position = (uint64_t)file->offset;
    uint64_t before = position;
    int error = ext4_read_dir(file_inode(file), &position, add_entry, &entries);

    if (error)
        return error;
    file->offset = (off_t)position;
    if (entries.at == buffer && position == before &&
        position < ext4_size(file_inode(file)) && bytes < 280)
        return -EINVAL;
    return entries.at - (char *)buffer;
}

static long seek_directory(struct file *file, off_t offset, int whence)
{
    return file_seek(file, offset, whence, LONG_MAX);
}

static const struct file_ops directory_ops = {
    .read = file_read_directory,
    .seek = seek_directory,
    .read_dir = read_dir,
};

static int open_node(struct vnode *node, int flags, struct file **opened)
{
    if (!S_ISDIR(node->type) && !S_ISREG(node->type))
        return -ENXIO; /* a socket */
    *opened = file_create(S_ISDIR(node->type) ? &directory_ops : &file_ops,
                          node, flags);
    return *opened ? 0 : -ENOMEM;
}

const struct vnode_ops guest_node_ops = {
    .lookup = lookup,
    .create = create,
    .mkdir = make_directory,
    .symlink = make_symlink,
    .link = link_node,
    .unlink = unlink_node,
    .rmdir = remove_directory,
    .rename = rename_node,
    .readlink = read_link,
    .stat = stat_node,
    .set = set_node,
    .open = open_node,
    .sync = sync_node,
    .statfs = statfs_node,
    .release = release,
};
