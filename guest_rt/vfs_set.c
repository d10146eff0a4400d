/* SPDX-License-Identifier: MIT */
/* Changing what files are: modes, owners, times, sizes. */
#include <sys/time.h>
#include <utime.h>

#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

/* ---- Nodes by path or descriptor ---------------------------------------- */

static long set_at(long fd, const char *path, long flags,
                   const struct vfs_change *change)
{
    struct vnode *node;
    int error;

    if (flags & ~(long)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    error = vfs_lookup_at(fd, path, flags, &node);
    if (error)
        return error;
    error = vnode_set(node, change);
    vnode_put(node);
    return error;
}

static long set_of_file(long fd, const struct vfs_change *change)
{
    struct file *file = file_get_io(fd);
    int error;

    if (!file)
        return -EBADF;
    error = file->node ? vnode_set(file->node, change) : 0;
    file_put(file);
    return error;
}

/* ---- Modes and owners --------------------------------------------------- */

static struct vfs_change mode_change(long mode)
{
    return (struct vfs_change){.mask = VFS_SET_MODE,
                               .mode = (mode_t)mode & 07777};
}

long __mayfly_sys_fchmodat(long fd, long path, long mode)
{
    struct vfs_change change = mode_change(mode);

    return FILE_CALL(set_at(fd, (const char *)path, 0, &change));
}

long __mayfly_sys_chmod(long path, long mode)
{
    return __mayfly_sys_fchmodat(AT_FDCWD, path, mode);
}

long __mayfly_sys_fchmod(long fd, long mode)
{
    struct vfs_change change = mode_change(mode);

    return FILE_CALL(set_of_file(fd, &change));
}

/* -1 leaves it as it is. */
static struct vfs_change owner_change(long owner, long group)
{
    struct vfs_change change = {.owner = (uid_t)owner, .group = (gid_t)group};

    if (change.owner != (uid_t)-1)
        change.mask |= VFS_SET_OWNER;
    if (change.group != (gid_t)-1)
        change.mask |= VFS_SET_GROUP;
    return change;
}

long __mayfly_sys_fchownat(long fd, long path, long owner, long group,
                           long flags)
{
    struct vfs_change change = owner_change(owner, group);

    return FILE_CALL(set_at(fd, (const char *)path, (int)flags, &change));
}

long __mayfly_sys_chown(long path, long owner, long group)
{
    return __mayfly_sys_fchownat(AT_FDCWD, path, owner, group, 0);
}

long __mayfly_sys_lchown(long path, long owner, long group)
{
    return __mayfly_sys_fchownat(AT_FDCWD, path, owner, group,
                                 AT_SYMLINK_NOFOLLOW);
}

long __mayfly_sys_fchown(long fd, long owner, long group)
{
    struct vfs_change change = owner_change(owner, group);

    return FILE_CALL(set_of_file(fd, &change));
}

/* ---- Times -------------------------------------------------------------- */

static int change_time(struct vfs_change *change, unsigned which,
                       struct timespec *to, const struct timespec *wanted)
{
    uint64_t now = mf_clock_realtime();

    if (wanted && wanted->tv_nsec == UTIME_OMIT)
        return 0;
    change->mask |= which;
    if (!wanted || wanted->tv_nsec == UTIME_NOW) {
        *to = (struct timespec){(time_t)(now / 1000000000),
                                (long)(now % 1000000000)};
        return 0;
    }
    *to = *wanted;
    return (unsigned long)wanted->tv_nsec < 1000000000 ? 0 : -EINVAL;
}

/* Without a path it is the descriptor itself, as futimens has it. */
static long set_times(long fd, const char *path, const struct timespec *times,
                      long flags)
{
    struct vfs_change change = {0};
    int error;

    if (times && !user_can_read(times, 2 * sizeof(*times)))
        return -EFAULT;
    error = change_time(&change, VFS_SET_ACCESSED, &change.accessed, times);
    if (!error)
        error = change_time(&change, VFS_SET_MODIFIED, &change.modified,
                            times ? times + 1 : NULL);
    if (error)
        return error;
    if (path)
        return set_at(fd, path, flags, &change);
    return flags ? -EINVAL : set_of_file(fd, &change);
}

long __mayfly_sys_utimensat(long fd, long path, long times, long flags)
{
    return FILE_CALL(set_times(fd, (const char *)path,
                               (const struct timespec *)times, (int)flags));
}

long __mayfly_sys_futimesat(long fd, long path, long result)
{
    const struct timeval *times = (const struct timeval *)result;
    struct timespec exact[2];

    if (!times)
        return __mayfly_sys_utimensat(fd, path, 0, 0);
    if (!user_can_read(times, 2 * sizeof(*times)))
        return -EFAULT;
    for (int i = 0; i < 2; i++) {
        if ((unsigned long)times[i].tv_usec >= 1000000)
            return -EINVAL;
        exact[i] = (struct timespec){times[i].tv_sec, times[i].tv_usec * 1000};
    }
    return __mayfly_sys_utimensat(fd, path, (long)exact, 0);
}

long __mayfly_sys_utimes(long path, long times)
{
    return __mayfly_sys_futimesat(AT_FDCWD, path, times);
}

long __mayfly_sys_utime(long path, long result)
{
    const struct utimbuf *times = (const struct utimbuf *)result;
    struct timespec exact[2] = {{0}};

    if (!times)
        return __mayfly_sys_utimensat(AT_FDCWD, path, 0, 0);
    if (!user_can_read(times, sizeof(*times)))
        return -EFAULT;
    exact[0].tv_sec = times->actime;
    exact[1].tv_sec = times->modtime;
    return __mayfly_sys_utimensat(AT_FDCWD, path, (long)exact, 0);
}

/* ---- Sizes -------------------------------------------------------------- */

static long truncate_path(const char *path, off_t bytes)
{
    struct vfs_change change = {.mask = VFS_SET_SIZE, .size = bytes};
    struct vnode *node;
    int error;

    if (bytes < 0)
        return -EINVAL;
    error = vfs_lookup(NULL, path, true, &node);
    if (error)
        return error;
    if (S_ISDIR(node->type))
        error = -EISDIR;
    else
        error = S_ISREG(node->type) ? vnode_set(node, &change) : -EINVAL;
    vnode_put(node);
    return error;
}

long __mayfly_sys_truncate(long path, long bytes)
{
    return FILE_CALL(truncate_path((const char *)path, bytes));
}

static long truncate_file(long fd, off_t bytes)
{
    struct vfs_change change = {.mask = VFS_SET_SIZE, .size = bytes};
    struct file *file = file_get_io(fd);
    long error = -EINVAL;

    if (!file)
        return -EBADF;
    if (bytes >= 0 && file_can_write(file)) {
        if (file->ops->truncate)
            error = file->ops->truncate(file, bytes);
        else if (file->node && S_ISREG(file->node->type))
            error = vnode_set(file->node, &change);
    }
    file_put(file);
    return error;
}

long __mayfly_sys_ftruncate(long fd, long bytes)
{
    return FILE_CALL(truncate_file(fd, bytes));
}

long __mayfly_sys_umask(long mask)
{
    mode_t old = vfs_umask;

    vfs_umask = (mode_t)mask & 0777;
    return old;
}
