/* SPDX-License-Identifier: MIT */
/* The working directory, and reading directories. */
#include <dirent.h>
#include <string.h>

#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

/* ---- The working directory ---------------------------------------------- */

static int go_to(struct vnode *node)
{
    struct vnode *old = vfs_directory;

    if (!S_ISDIR(node->type)) {
        vnode_put(node);
        return -ENOTDIR;
    }
    vfs_directory = node;
    vnode_put(old); /* which may wait for a disk */
    return 0;
}

static long change_directory(const char *path)
{
    struct vnode *node;
    int error = vfs_lookup(NULL, path, true, &node);

    return error ? error : go_to(node);
}

long __mayfly_sys_chdir(long path)
{
    return FILE_CALL(change_directory((const char *)path));
}

static long change_to_file(long fd)
{
    struct file *file = file_get(fd);
    int error = -ENOTDIR;

    if (!file)
        return -EBADF;
    if (file->node)
        error = go_to(vnode_get(file->node));
    file_put(file);
    return error;
}

long __mayfly_sys_fchdir(long fd)
{
    return FILE_CALL(change_to_file(fd));
}

/* From the end of the buffer on. */
long vfs_path_of(struct vnode *node, char *buffer, size_t bytes)
{
    size_t at = bytes, length;

    for (; node->parent; node = node->parent) {
        if (!node->name)
            return -ENOENT;
        length = strlen(node->name);
        if (length + 1 > at)
            return -ERANGE;
        at -= length + 1;
        buffer[at] = '/';
        memcpy(buffer + at + 1, node->name, length);
    }
    if (node != vfs_root)
        return -ENOENT;
    if (at == bytes) {
        if (!at)
            return -ERANGE;
        buffer[--at] = '/';
    }
    memmove(buffer, buffer + at, bytes - at);
    return (long)(bytes - at);
}

/* Whether a directory was removed, which then has no links. */
static bool is_removed(struct vnode *node)
{
    struct stat stat = {0};

    return node->ops->stat && vnode_stat(node, &stat) == 0 &&
           stat.st_nlink == 0;
}

/* Writes a directory's path, with its NUL, into a buffer. */
static long write_path(struct vnode *directory, char *buffer, size_t bytes)
{
    long length;

    if (is_removed(directory))
        return -ENOENT;
    length = vfs_path_of(directory, buffer, bytes - 1);
    if (length < 0)
        return length;
    buffer[length] = '\0';
    return length + 1;
}

static long working_directory(char *buffer, size_t bytes)
{
    struct vnode *directory;
    long length = vfs_start();

    if (length)
        return length;
    if (bytes > VFS_PATH_MAX)
        bytes = VFS_PATH_MAX;
    if (bytes == 0)
        return -ERANGE;
    if (!user_can_write(buffer, bytes))
        return -EFAULT;
    directory = vnode_get(vfs_directory);
    length = write_path(directory, buffer, bytes);
    vnode_put(directory);
    return length;
}

long __mayfly_sys_getcwd(long buffer, long bytes)
{
    return FILE_CALL(working_directory((char *)buffer, (size_t)bytes));
}

/* ---- Reading directories ------------------------------------------------ */

/* Linux's struct linux_dirent64. */
struct entry {
    uint64_t inode;
    int64_t next;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

#define ENTRY_HEAD  offsetof(struct entry, name)
#define ENTRY_ALIGN 8u

bool vfs_entries_add(struct vfs_entries *entries, ino_t inode, off_t next,
                     mode_t type, const char *name, size_t length)
{
    size_t bytes = (ENTRY_HEAD + length + ENTRY_ALIGN) & -(size_t)ENTRY_ALIGN;
    struct entry *entry = (struct entry *)entries->at;

    /* The directory may have waited for its device. */
    if (bytes > (size_t)(entries->end - entries->at) ||
        !user_can_write(entry, bytes))
        return false;
    *entry = (struct entry){inode, next, (uint16_t)bytes,
                            (uint8_t)((type & S_IFMT) >> 12)};
    memcpy(entry->name, name, length);
    memset(entry->name + length, 0, bytes - ENTRY_HEAD - length);
    entries->at += bytes;
    return true;
}

static long read_entries(long fd, void *buffer, size_t bytes)
{
    struct file *file = file_get_io(fd);
    long result = -ENOTDIR;

    if (!file)
        return -EBADF;
    if (!user_can_write(buffer, bytes))
        result = -EFAULT;
    else if (file->ops->read_dir)
        result = file->ops->read_dir(file, buffer, bytes);
    file_put(file);
    return result;
}

long __mayfly_sys_getdents64(long fd, long buffer, long bytes)
{
    return FILE_CALL(read_entries(fd, (void *)buffer, (unsigned)bytes));
}

/* The only root there is. */
static long change_root(const char *path)
{
    struct vnode *node;
    int error = vfs_lookup(NULL, path, true, &node);

    if (error)
        return error;
    error = S_ISDIR(node->type) ? -EPERM : -ENOTDIR;
    if (node == vfs_root)
        error = 0;
    vnode_put(node);
    return error;
}

long __mayfly_sys_chroot(long path)
{
    return FILE_CALL(change_root((const char *)path));
}
