/* SPDX-License-Identifier: MIT */
/* 9P requests about names: making, linking, removing, renaming. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "virtio/p9_parts.h"
#include "vmm/base/os.h"

/* The kernel's limit for the target of a symbolic link, its NUL included. */
#define TARGET_BYTES 4096u

/*
 * Finds the directory with fid `number`, in which `name` is to be made or
 * removed. Returns a descriptor, which the caller closes, or -errno.
 */
static int open_directory(struct p9 *p9, uint32_t number, const char *name,
                          struct p9_fid **fid)
{
    int error = p9_find_whole(p9, number, fid);

    if (!error)
        error = p9_check_name(name);
    if (error)
        return error;
    return p9_host_open(p9, p9_path(p9, *fid), O_PATH | O_DIRECTORY, 0);
}

/* ---- Making ----------------------------------------------------------------
 */

/*
 * `made` is what came of making `name` in `dir`: if it worked, its qid is
 * appended. Closes the directory. Returns 0 or -errno.
 */
static int answer_made(struct p9 *p9, const struct p9_fid *dir, int dir_fd,
                       const char *name, long made)
{
    char path[P9_PATH_BYTES];
    struct stat status;
    int error = (int)made;

    os_close(dir_fd);
    if (error)
        return error;
    p9_copy(path, p9_path(p9, dir));
    error = p9_enter(path, name);
    if (!error)
        error = p9_host_stat(p9, path, &status);
    if (!error)
        p9_put_qid(p9, &status);
    /* It is made: what follows must not be done twice. */
    return error == -EINTR ? -EIO : error;
}

int p9_mkdir(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9);
    const char *name = p9_take_string(p9);
    uint32_t mode = p9_take_u32(p9);
    struct p9_fid *dir;

    p9_take_u32(p9);
    int fd = open_directory(p9, number, name, &dir);
    if (fd < 0)
        return fd;
    return answer_made(p9, dir, fd, name,
                       os_syscall(SYS_mkdirat, fd, name, mode & P9_MODE_MASK));
}

int p9_symlink(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9);
    const char *name = p9_take_string(p9), *target = p9_take_string(p9);
    struct p9_fid *dir;

    p9_take_u32(p9);
    int fd = open_directory(p9, number, name, &dir);
    if (fd < 0)
        return fd;
    return answer_made(p9, dir, fd, name,
                       os_syscall(SYS_symlinkat, target, fd, name));
}

/* Files and FIFOs; a device made by a guest would be one on the host. */
int p9_mknod(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9);
    const char *name = p9_take_string(p9);
    uint32_t mode = p9_take_u32(p9);
    struct p9_fid *dir;

    p9_take_u32(p9);
    p9_take_u32(p9);
    p9_take_u32(p9);
    if ((mode & S_IFMT) == 0)
        mode |= S_IFREG;
    int fd = open_directory(p9, number, name, &dir);
    if (fd < 0)
        return fd;
    if (!S_ISREG(mode) && !S_ISFIFO(mode)) {
        os_close(fd);
        return -EPERM;
    }
    mode &= S_IFMT | P9_MODE_MASK;
    return answer_made(p9, dir, fd, name,
                       os_syscall(SYS_mknodat, fd, name, mode, 0));
}

int p9_link(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9), old = p9_take_u32(p9);
    const char *name = p9_take_string(p9);
    char last[P9_NAME_MAX + 1];
    struct p9_fid *dir, *fid;
    int error = p9_find_whole(p9, old, &fid);
    int fd = error ? error : open_directory(p9, number, name, &dir);

    if (fd < 0)
        return fd;
    int from = p9_host_find_parent(p9, p9_path(p9, fid), last);
    error = from;
    if (from >= 0) {
        error = (int)os_syscall(SYS_linkat, from, last, fd, name, 0);
        os_close(from);
    }
    os_close(fd);
    return error;
}

int p9_readlink(struct p9 *p9)
{
    char target[TARGET_BYTES];
    struct p9_fid *fid;
    int error = p9_find_whole(p9, p9_take_u32(p9), &fid);

    if (error)
        return error;
    if (fid->type != P9_QID_SYMLINK)
        return -EINVAL;
    int fd = p9_host_find(p9, p9_path(p9, fid));
    if (fd < 0)
        return fd;
    long bytes = os_syscall(SYS_readlinkat, fd, "", target, sizeof(target));
    os_close(fd);
    if (bytes < 0)
        return (int)bytes;
    p9_put_string(p9, target, (size_t)bytes);
    return 0;
}

/* ---- Removing --------------------------------------------------------------
 */

int p9_unlinkat(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9);
    const char *name = p9_take_string(p9);
    uint32_t flags = p9_take_u32(p9);
    struct p9_fid *dir;

    int fd = open_directory(p9, number, name, &dir);
    if (fd < 0)
        return fd;
    int error = (int)os_syscall(SYS_unlinkat, fd, name,
                                flags & P9_UNLINK_DIRECTORY ? AT_REMOVEDIR : 0);
    os_close(fd);
    return error;
}

static int remove_path(struct p9 *p9, const char *path, uint8_t type)
{
    char name[P9_NAME_MAX + 1];

    if (p9->read_only)
        return -EROFS;
    if (!*path)
        return -EBUSY;
    int fd = p9_host_find_parent(p9, path, name);
    if (fd < 0)
        return fd;
    int error = (int)os_syscall(SYS_unlinkat, fd, name,
                                type == P9_QID_DIRECTORY ? AT_REMOVEDIR : 0);
    os_close(fd);
    return error;
}

/* Forgets the fid, whether or not the file could be removed. */
int p9_remove(struct p9 *p9)
{
    struct p9_fid *fid;
    int error = p9_find_whole(p9, p9_take_u32(p9), &fid);

    if (error)
        return error;
    error = remove_path(p9, p9_path(p9, fid), fid->type);
    if (error != -EINTR)
        p9_drop_fid(p9, fid);
    return error;
}

/* ---- Renaming --------------------------------------------------------------
 */

/* Both are paths with a name at their ends. */
static int rename_path(struct p9 *p9, const char *from, const char *to)
{
    char old[P9_NAME_MAX + 1], new[P9_NAME_MAX + 1];
    int from_fd = p9_host_find_parent(p9, from, old);
    int to_fd = from_fd < 0 ? from_fd : p9_host_find_parent(p9, to, new);
    int error = to_fd;

    if (to_fd >= 0) {
        error = (int)os_syscall(SYS_renameat, from_fd, old, to_fd, new);
        os_close(to_fd);
    }
    if (from_fd >= 0)
        os_close(from_fd);
    if (!error)
        p9_rename_paths(p9, from, to);
    return error;
}

/* Stores the path of `name` in the directory of fid `number`. */
static int make_path(struct p9 *p9, uint32_t number, const char *name,
                     char *path)
{
    struct p9_fid *dir;
    int error = p9_find_whole(p9, number, &dir);

    if (!error)
        error = p9_check_name(name);
    if (error)
        return error;
    p9_copy(path, p9_path(p9, dir));
    return p9_enter(path, name);
}

int p9_renameat(struct p9 *p9)
{
    uint32_t from_dir = p9_take_u32(p9);
    const char *old = p9_take_string(p9);
    uint32_t to_dir = p9_take_u32(p9);
    const char *new = p9_take_string(p9);
    char from[P9_PATH_BYTES], to[P9_PATH_BYTES];
    int error = make_path(p9, from_dir, old, from);

    if (!error)
        error = make_path(p9, to_dir, new, to);
    return error ? error : rename_path(p9, from, to);
}

int p9_rename(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9), to_dir = p9_take_u32(p9);
    const char *name = p9_take_string(p9);
    char from[P9_PATH_BYTES], to[P9_PATH_BYTES];
    struct p9_fid *fid;
    int error = p9_find_whole(p9, number, &fid);

    if (!error)
        error = make_path(p9, to_dir, name, to);
    if (error)
        return error;
    p9_copy(from, p9_path(p9, fid));
    return *from ? rename_path(p9, from, to) : -EBUSY;
}
