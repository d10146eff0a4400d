/* SPDX-License-Identifier: MIT */
/* The door from a share to the host's files. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>

#include "virtio/p9_parts.h"
#include "vmm/base/os.h"

/*
 * What the kernel itself holds to: nothing outside the root, no link followed
 * (the last name may be one only with O_PATH), no other mount. The last, too,
 * because below another mount may be /proc, and there this process.
 */
#define RESOLVE                                                      \
    (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | \
     RESOLVE_NO_XDEV)

int p9_host_open(const struct p9 *p9, const char *path, unsigned flags,
                 unsigned mode)
{
    struct open_how how = {
        .flags = flags | O_NOFOLLOW | O_CLOEXEC,
        .mode = mode,
        .resolve = RESOLVE,
    };

    return (int)os_syscall(SYS_openat2, p9->root, *path ? path : ".", &how,
                           sizeof(how));
}

int p9_host_find(const struct p9 *p9, const char *path)
{
    return p9_host_open(p9, path, O_PATH, 0);
}

int p9_host_find_parent(const struct p9 *p9, const char *path,
                        char name[P9_NAME_MAX + 1])
{
    char parent[P9_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    const char *last = slash ? slash + 1 : path;

    p9_copy(name, *path ? last : ".");
    p9_copy(parent, path);
    p9_leave(parent);
    return p9_host_open(p9, parent, O_PATH | O_DIRECTORY, 0);
}

static int stat_fd(int fd, struct stat *status)
{
    /* Not by fstat(), behind which libcs have different calls. */
    return (int)os_syscall(SYS_fstat, fd, status);
}

/* Whether a mode is one that may be opened. Returns 0 or -errno. */
static int check_plain(unsigned mode)
{
    if (S_ISLNK(mode))
        return -ELOOP;
    return S_ISREG(mode) || S_ISDIR(mode) ? 0 : -EACCES;
}

int p9_host_open_plain(const struct p9 *p9, const char *path, unsigned flags)
{
    struct stat status;
    int error = p9_host_stat(p9, path, &status);

    if (!error)
        error = check_plain(status.st_mode);
    if (error)
        return error;
    /* Should it be a FIFO by now, opening it blocks nobody. */
    int fd = p9_host_open(p9, path, flags | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    error = stat_fd(fd, &status);
    if (!error)
        error = check_plain(status.st_mode);
    if (!error)
        return fd;
    os_close(fd);
    return error;
}

int p9_host_stat(const struct p9 *p9, const char *path, struct stat *status)
{
    int fd = p9_host_find(p9, path);

    if (fd < 0)
        return fd;
    int error = stat_fd(fd, status);
    os_close(fd);
    return error;
}

int p9_host_stat_fid(struct p9 *p9, const struct p9_fid *fid,
                     struct stat *status)
{
    if (fid->fd >= 0)
        return stat_fd(fid->fd, status);
    return p9_host_stat(p9, p9_path(p9, fid), status);
}

uint8_t p9_qid_type(unsigned mode)
{
    if (S_ISDIR(mode))
        return P9_QID_DIRECTORY;
    return S_ISLNK(mode) ? P9_QID_SYMLINK : P9_QID_FILE;
}

/*
 * The path in a qid is the inode's number. One mount can have files of several
 * devices (subvolumes): theirs are moved apart.
 */
void p9_put_qid(struct p9 *p9, const struct stat *status)
{
    uint64_t device = (uint64_t)status->st_dev - p9->root_device;
    uint64_t version = (uint64_t)status->st_mtim.tv_sec * 1000000000u +
                       (uint64_t)status->st_mtim.tv_nsec +
                       (uint64_t)status->st_size;

    p9_put_u8(p9, p9_qid_type(status->st_mode));
    p9_put_u32(p9, (uint32_t)(version ^ version >> 32));
    p9_put_u64(p9, status->st_ino + device * UINT64_C(0x9e3779b97f4a7c15));
}
