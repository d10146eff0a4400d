/* SPDX-License-Identifier: MIT */
/* Writing back, hints, and space. */
#include "guest_rt/file.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"

#pragma weak vfs_first

/* ---- Writing back ------------------------------------------------------- */

static int sync_node(struct vnode *node, bool data_only, bool all)
{
    return node->ops->sync ? node->ops->sync(node, data_only, all) : 0;
}

static long sync_file(long fd, bool data_only)
{
    struct file *file = file_get_io(fd);
    long result = -EINVAL;

    if (!file)
        return -EBADF;
    if (file->ops->sync)
        result = file->ops->sync(file, data_only);
    else if (file->node &&
             (S_ISREG(file->node->type) || S_ISDIR(file->node->type)))
        result = sync_node(file->node, data_only, false);
    file_put(file);
    return result;
}

long __mayfly_sys_fsync(long fd)
{
    return FILE_CALL(sync_file(fd, false));
}

long __mayfly_sys_fdatasync(long fd)
{
    return FILE_CALL(sync_file(fd, true));
}

/* The range does not matter: all of the file is written. */
long __mayfly_sys_sync_file_range(long fd, long offset, long bytes, long flags)
{
    if (offset < 0 || bytes < 0 || flags & ~7l)
        return -EINVAL;
    return __mayfly_sys_fdatasync(fd);
}

long __mayfly_sys_sync(void)
{
    mf_lock();
    for (struct vfs *fs = vfs_first ? vfs_first() : NULL; fs; fs = fs->next)
        sync_node(fs->root, false, true);
    mf_unlock();
    return 0;
}

static long sync_system(long fd)
{
    struct file *file = file_get_io(fd);
    long result = 0;

    if (!file)
        return -EBADF;
    if (file->node)
        result = sync_node(file->node->fs->root, false, true);
    file_put(file);
    return result;
}

long __mayfly_sys_syncfs(long fd)
{
    return FILE_CALL(sync_system(fd));
}

/* ---- Hints -------------------------------------------------------------- */

/* Whether the descriptor is one that these calls take. */
static long check_seekable(long fd, long not_seekable)
{
    struct file *file;
    long result = 0;

    mf_lock();
    file = file_get_io(fd);
    if (!file) {
        result = -EBADF;
    } else {
        if (!file->ops->seek)
            result = not_seekable;
        file_put(file);
    }
    mf_unlock();
    return result;
}

long __mayfly_sys_fadvise64(long fd, long offset, long bytes, long advice)
{
    long error = check_seekable(fd, -ESPIPE);

    (void)offset;
    if (error)
        return error;
    return bytes < 0 || advice < 0 || advice > POSIX_FADV_NOREUSE ? -EINVAL : 0;
}

long __mayfly_sys_readahead(long fd, long offset, long bytes)
{
    (void)offset;
    (void)bytes;
    return check_seekable(fd, -EINVAL);
}

/* ---- Space -------------------------------------------------------------- */

static long allocate(long fd, int mode, off_t offset, off_t bytes)
{
    struct file *file = file_get_io(fd);
    long result;

    if (!file)
        return -EBADF;
    if (offset < 0 || bytes <= 0)
        result = -EINVAL;
    else if (!file_can_write(file))
        result = -EBADF;
    else if (file->ops->allocate)
        result = file->ops->allocate(file, mode, offset, bytes);
    else
        result = file->ops->seek ? -EOPNOTSUPP : -ESPIPE;
    file_put(file);
    return result;
}

long __mayfly_sys_fallocate(long fd, long mode, long offset, long bytes)
{
    return FILE_CALL(allocate(fd, (int)mode, offset, bytes));
}
