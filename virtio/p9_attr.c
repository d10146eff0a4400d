/* SPDX-License-Identifier: MIT */
/* 9P requests about attributes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>

#include "virtio/p9_parts.h"
#include "vmm/base/os.h"

/* Not known to every libc: Linux 6.6 and later. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static void put_time(struct p9 *p9, const struct timespec *time)
{
    p9_put_u64(p9, (uint64_t)time->tv_sec);
    p9_put_u64(p9, (uint64_t)time->tv_nsec);
}

/*
 * All files are user 0's and group 0's, as everything in a guest is: who they
 * belong to on the host is not the guest's business, and what it may do with
 * them is decided there.
 */
int p9_getattr(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9);
    struct stat status;
    struct p9_fid *fid;

    p9_take_u64(p9); /* all that there is comes in one call anyway */
    int error = p9_find_whole(p9, number, &fid);
    if (!error)
        error = p9_host_stat_fid(p9, fid, &status);
    if (error)
        return error;
    p9_put_u64(p9, P9_GETATTR_BASIC);
    p9_put_qid(p9, &status);
    p9_put_u32(p9, status.st_mode);
    p9_put_u32(p9, 0); /* user */
    p9_put_u32(p9, 0); /* group */
    p9_put_u64(p9, status.st_nlink);
    p9_put_u64(p9, status.st_rdev);
    p9_put_u64(p9, (uint64_t)status.st_size);
    p9_put_u64(p9, (uint64_t)status.st_blksize);
    p9_put_u64(p9, (uint64_t)status.st_blocks);
    put_time(p9, &status.st_atim);
    put_time(p9, &status.st_mtim);
    put_time(p9, &status.st_ctim);
    for (unsigned i = 0; i < 4; i++)
        p9_put_u64(p9, 0); /* time of birth, generation, data version */
    return 0;
}

/* ---- Changing them ---------------------------------------------------------
 */

struct change {
    uint32_t valid, mode, uid, gid;
    uint64_t size;
    struct timespec times[2];
};

static struct timespec take_time(struct p9 *p9)
{
    int64_t seconds = (int64_t)p9_take_u64(p9);

    return (struct timespec){seconds, (long)p9_take_u64(p9)};
}

/* As utimensat() wants it: the time given, now, or as it was. */
static void choose_time(const struct change *change, struct timespec *time,
                        uint32_t set, uint32_t set_to)
{
    if (!(change->valid & set))
        time->tv_nsec = UTIME_OMIT;
    else if (!(change->valid & set_to))
        time->tv_nsec = UTIME_NOW;
}

/* Whether nobody but user 0 is to own it: there is no other to give it to. */
static bool keeps_owner(const struct change *change)
{
    return (!(change->valid & P9_SET_UID) || change->uid == 0 ||
            change->uid == UINT32_MAX) &&
           (!(change->valid & P9_SET_GID) || change->gid == 0 ||
            change->gid == UINT32_MAX);
}

static int set_size(struct p9 *p9, const struct p9_fid *fid, uint64_t size)
{
    int fd;

    if (size > INT64_MAX)
        return -EINVAL;
    if (fid->fd >= 0) {
        int error = (int)os_syscall(SYS_ftruncate, fid->fd, (off_t)size);

        /* It may be open for reading only. */
        if (error != -EINVAL && error != -EBADF)
            return error;
    }
    fd = p9_host_open_plain(p9, p9_path(p9, fid), O_WRONLY);
    if (fd < 0)
        return fd;
    int error = (int)os_syscall(SYS_ftruncate, fd, (off_t)size);
    os_close(fd);
    return error;
}

/*
 * By fchmodat2(), which takes a path descriptor. A chmod() by name would
 * follow a link that was put there meanwhile; where the kernel is too old, the
 * file is opened instead, which needs the right to read it.
 */
static int set_mode(struct p9 *p9, const struct p9_fid *fid, unsigned mode)
{
    const char *path = p9_path(p9, fid);
    int fd, error;

    mode &= P9_MODE_MASK;
    if (fid->type == P9_QID_SYMLINK)
        return -EOPNOTSUPP;
    if (fid->fd >= 0)
        return (int)os_syscall(SYS_fchmod, fid->fd, mode);
    fd = p9_host_find(p9, path);
    if (fd < 0)
        return fd;
    error = (int)os_syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH);
    os_close(fd);
    if (error != -ENOSYS)
        return error;
    fd = p9_host_open_plain(p9, path, O_RDONLY);
    if (fd < 0)
        return fd;
    error = (int)os_syscall(SYS_fchmod, fd, mode);
    os_close(fd);
    return error;
}

static int set_times(struct p9 *p9, const struct p9_fid *fid,
                     const struct timespec times[2])
{
    char name[P9_NAME_MAX + 1];

    if (fid->fd >= 0)
        return (int)os_syscall(SYS_utimensat, fid->fd, NULL, times, 0);
    int fd = p9_host_find_parent(p9, p9_path(p9, fid), name);
    if (fd < 0)
        return fd;
    int error =
        (int)os_syscall(SYS_utimensat, fd, name, times, AT_SYMLINK_NOFOLLOW);
    os_close(fd);
    return error;
}

static int change_file(struct p9 *p9, const struct p9_fid *fid,
                       struct change *change)
{
    const uint32_t times = P9_SET_ATIME | P9_SET_MTIME;
    int error = 0;

    if (!keeps_owner(change))
        return -EPERM;
    if (change->valid & P9_SET_SIZE)
        error = set_size(p9, fid, change->size);
    if (!error && change->valid & P9_SET_MODE)
        error = set_mode(p9, fid, change->mode);
    choose_time(change, &change->times[0], P9_SET_ATIME, P9_SET_ATIME_TO);
    choose_time(change, &change->times[1], P9_SET_MTIME, P9_SET_MTIME_TO);
    if (!error && change->valid & times)
        error = set_times(p9, fid, change->times);
    return error;
}

int p9_setattr(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9);
    struct change change = {.valid = p9_take_u32(p9)};
    struct p9_fid *fid;

    change.mode = p9_take_u32(p9);
    change.uid = p9_take_u32(p9);
    change.gid = p9_take_u32(p9);
    change.size = p9_take_u64(p9);
    change.times[0] = take_time(p9);
    change.times[1] = take_time(p9);
    int error = p9_find_whole(p9, number, &fid);
    return error ? error : change_file(p9, fid, &change);
}

/* ---- The file system -------------------------------------------------------
 */

int p9_statfs(struct p9 *p9)
{
    struct statfs status;
    struct p9_fid *fid;
    int error = p9_find_whole(p9, p9_take_u32(p9), &fid);

    if (error)
        return error;
    int fd = p9_host_find(p9, p9_path(p9, fid));
    if (fd < 0)
        return fd;
    error = (int)os_syscall(SYS_fstatfs, fd, &status);
    os_close(fd);
    if (error)
        return error;
    p9_put_u32(p9, (uint32_t)status.f_type);
    p9_put_u32(p9, (uint32_t)status.f_bsize);
    p9_put_u64(p9, status.f_blocks);
    p9_put_u64(p9, status.f_bfree);
    p9_put_u64(p9, status.f_bavail);
    p9_put_u64(p9, status.f_files);
    p9_put_u64(p9, status.f_ffree);
    p9_put_u64(p9, 0); /* the host's id of it is not the guest's business */
    p9_put_u32(p9, (uint32_t)status.f_namelen);
    return 0;
}
