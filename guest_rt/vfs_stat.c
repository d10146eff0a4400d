/* SPDX-License-Identifier: MIT */
/* What files are: stat, statx, access, readlink, statfs. */
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

/* ---- stat --------------------------------------------------------------- */

static int stat_path(long fd, const char *path, long flags, struct stat *stat)
{
    struct vnode *node;
    int error = vfs_lookup_at(fd, path, flags, &node);

    if (error)
        return error;
    error = vnode_stat(node, stat);
    vnode_put(node);
    return error;
}

/* With an empty path it is any descriptor's. */
static int stat_at(long fd, const char *path, long flags, struct stat *stat)
{
    struct file *file;
    int error;

    if (!(flags & AT_EMPTY_PATH) || !vfs_path_is_empty(path) ||
        (int)fd == AT_FDCWD)
        return stat_path(fd, path, flags, stat);
    file = file_get(fd);
    if (!file)
        return -EBADF;
    error = file_stat(file, stat);
    file_put(file);
    return error;
}

static long stat_to(long fd, const char *path, long flags, struct stat *result)
{
    struct stat stat = {0};
    int error;

    if (flags & ~(long)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
        return -EINVAL;
    error = stat_at(fd, path, flags, &stat);
    if (!error && !user_can_write(result, sizeof(*result)))
        error = -EFAULT;
    if (!error)
        *result = stat;
    return error;
}

long __mayfly_sys_newfstatat(long fd, long path, long result, long flags)
{
    return FILE_CALL(
        stat_to(fd, (const char *)path, (int)flags, (struct stat *)result));
}

long __mayfly_sys_stat(long path, long result)
{
    return __mayfly_sys_newfstatat(AT_FDCWD, path, result, 0);
}

long __mayfly_sys_lstat(long path, long result)
{
    return __mayfly_sys_newfstatat(AT_FDCWD, path, result, AT_SYMLINK_NOFOLLOW);
}

/* ---- statx -------------------------------------------------------------- */

/* Linux's struct statx: libcs differ in where they declare it. */
struct statx_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};

struct statx_result {
    uint32_t mask, block_bytes;
    uint64_t attributes;
    uint32_t links, owner, group;
    uint16_t mode, spare;
    uint64_t inode, bytes, blocks, attributes_mask;
    struct statx_time accessed, born, changed, modified;
    uint32_t special_major, special_minor, device_major, device_minor;
    uint64_t more[14];
};

_Static_assert(sizeof(struct statx_result) == 256, "as Linux has it");

#define STATX_FILLED 0x7ffu /* STATX_BASIC_STATS */

static struct statx_time statx_time(struct timespec time)
{
    return (struct statx_time){time.tv_sec, (uint32_t)time.tv_nsec, 0};
}

static void fill_statx(struct statx_result *to, const struct stat *stat)
{
    *to = (struct statx_result){
        .mask = STATX_FILLED,
        .block_bytes = (uint32_t)stat->st_blksize,
        .links = (uint32_t)stat->st_nlink,
        .owner = stat->st_uid,
        .group = stat->st_gid,
        .mode = (uint16_t)stat->st_mode,
        .inode = stat->st_ino,
        .bytes = (uint64_t)stat->st_size,
        .blocks = (uint64_t)stat->st_blocks,
        .accessed = statx_time(stat->st_atim),
        .changed = statx_time(stat->st_ctim),
        .modified = statx_time(stat->st_mtim),
        .special_major = major(stat->st_rdev),
        .special_minor = minor(stat->st_rdev),
        .device_major = major(stat->st_dev),
        .device_minor = minor(stat->st_dev),
    };
}

#define STATX_SYNC_TYPE 0x6000

static long statx_to(long fd, const char *path, long flags,
                     struct statx_result *result)
{
    struct stat stat = {0};
    int error;

    if (flags & ~(long)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT |
                        STATX_SYNC_TYPE) ||
        (flags & STATX_SYNC_TYPE) == STATX_SYNC_TYPE)
        return -EINVAL;
    error = stat_at(fd, path, flags, &stat);
    if (!error && !user_can_write(result, sizeof(*result)))
        error = -EFAULT;
    if (!error)
        fill_statx(result, &stat);
    return error;
}

long __mayfly_sys_statx(long fd, long path, long flags, long mask, long result)
{
    (void)mask;
    return FILE_CALL(statx_to(fd, (const char *)path, (int)flags,
                              (struct statx_result *)result));
}

/* ---- access ------------------------------------------------------------- */

/* Everyone is root, to whom only missing execute permissions matter. */
static int check_access(struct vnode *node, int mode)
{
    struct stat stat = {0};
    int error;

    if (mode & W_OK && node->fs->read_only &&
        (S_ISREG(node->type) || S_ISDIR(node->type)))
        return -EROFS;
    if (!(mode & X_OK) || S_ISDIR(node->type))
        return 0;
    error = vnode_stat(node, &stat);
    if (error)
        return error;
    return stat.st_mode & 0111 ? 0 : -EACCES;
}

static long access_at(long fd, const char *path, int mode, long flags)
{
    struct vnode *node;
    int error;

    if (mode & ~(R_OK | W_OK | X_OK) ||
        flags & ~(long)(AT_EACCESS | AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    error = vfs_lookup_at(fd, path, flags, &node);
    if (error)
        return error;
    error = check_access(node, mode);
    vnode_put(node);
    return error;
}

long __mayfly_sys_faccessat2(long fd, long path, long mode, long flags)
{
    return FILE_CALL(access_at(fd, (const char *)path, (int)mode, (int)flags));
}

long __mayfly_sys_faccessat(long fd, long path, long mode)
{
    return __mayfly_sys_faccessat2(fd, path, mode, 0);
}

long __mayfly_sys_access(long path, long mode)
{
    return __mayfly_sys_faccessat2(AT_FDCWD, path, mode, 0);
}

/* ---- readlink ----------------------------------------------------------- */

static long read_link_at(long fd, const char *path, char *buffer, int bytes)
{
    struct vnode *node;
    long result;

    if (bytes <= 0)
        return -EINVAL;
    result =
        vfs_lookup_at(fd, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &node);
    if (result)
        return result;
    if (!S_ISLNK(node->type) || !node->ops->readlink)
        result = -EINVAL;
    else if (!user_can_write(buffer, (size_t)bytes))
        result = -EFAULT;
    else
        result = node->ops->readlink(node, buffer, (size_t)bytes);
    vnode_put(node);
    return result;
}

long __mayfly_sys_readlinkat(long fd, long path, long buffer, long bytes)
{
    return FILE_CALL(
        read_link_at(fd, (const char *)path, (char *)buffer, (int)bytes));
}

long __mayfly_sys_readlink(long path, long buffer, long bytes)
{
    return __mayfly_sys_readlinkat(AT_FDCWD, path, buffer, bytes);
}

/* ---- statfs ------------------------------------------------------------- */

static int statfs_node(struct vnode *node, struct statfs *result)
{
    struct statfs statfs = {.f_namelen = NAME_MAX, .f_bsize = 4096};
    int error = 0;

    if (!user_can_write(result, sizeof(*result)))
        return -EFAULT;
    if (node->ops->statfs)
        error = node->ops->statfs(node, &statfs);
    if (!error)
        *result = statfs;
    return error;
}

static long statfs_path(const char *path, struct statfs *result)
{
    struct vnode *node;
    int error = vfs_lookup(NULL, path, true, &node);

    if (error)
        return error;
    error = statfs_node(node, result);
    vnode_put(node);
    return error;
}

static long statfs_file(long fd, struct statfs *result)
{
    struct file *file = file_get(fd);
    long error;

    if (!file)
        return -EBADF;
    error = file->node ? statfs_node(file->node, result) : -ENOSYS;
    file_put(file);
    return error;
}

long __mayfly_sys_statfs(long path, long result)
{
    return FILE_CALL(statfs_path((const char *)path, (struct statfs *)result));
}

long __mayfly_sys_fstatfs(long fd, long result)
{
    return FILE_CALL(statfs_file(fd, (struct statfs *)result));
}
