/* SPDX-License-Identifier: MIT */
/* 9P requests about open files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "virtio/p9_parts.h"
#include "vmm/base/os.h"

/* What of a guest's flags reaches the host's open(). */
#define OPEN_FLAGS                                                       \
    ((unsigned)(O_ACCMODE | O_TRUNC | O_APPEND | O_DIRECTORY | O_DSYNC | \
                O_SYNC))

/* The kernel's struct linux_dirent64, which libcs call differently. */
struct host_dirent {
    uint64_t inode;
    int64_t next; /* position of the entry behind it */
    uint16_t bytes;
    uint8_t type;
    char name[];
};

#define DIRENT_BYTES offsetof(struct host_dirent, name)

/* qid, offset, type and the length of a name */
#define ENTRY_BYTES (P9_QID_BYTES + 8 + 1 + 2)

/* ---- Opening ---------------------------------------------------------------
 */

/* Whether a share and its limits let `fid` be opened so. Returns 0 or -errno.
 */
static int check_open(const struct p9 *p9, const struct p9_fid *fid,
                      unsigned flags)
{
    if (fid->fd >= 0 || (flags & O_ACCMODE) == O_ACCMODE)
        return -EINVAL;
    if (p9->read_only && ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC))
        return -EROFS;
    return p9->fids->open == P9_OPEN_MAX ? -ENFILE : 0;
}

/* `fid` has `fd` open on it from now on. Returns 0 or -errno. */
static int settle_open(struct p9 *p9, struct p9_fid *fid, int fd)
{
    struct stat status;
    int error = (int)os_syscall(SYS_fstat, fd, &status);

    if (error) {
        os_close(fd);
        return error;
    }
    fid->fd = fd;
    fid->type = p9_qid_type(status.st_mode);
    p9->fids->open++;
    p9_put_qid(p9, &status);
    p9_put_u32(p9, (p9->msize - P9_WRITE_BYTES) & ~4095u);
    return 0;
}

int p9_lopen(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9);
    unsigned flags = p9_take_u32(p9) & OPEN_FLAGS;
    struct p9_fid *fid;
    int error = p9_find_whole(p9, number, &fid);

    if (!error)
        error = check_open(p9, fid, flags);
    if (error)
        return error;
    int fd = p9_host_open_plain(p9, p9_path(p9, fid), flags);
    return fd < 0 ? fd : settle_open(p9, fid, fd);
}

/*
 * Creates, or opens what is there unless O_EXCL. Only what does not exist is
 * opened with O_CREAT: it is a regular file then.
 */
static int create(const struct p9 *p9, const char *path, unsigned flags,
                  unsigned mode)
{
    int fd = p9_host_open(p9, path,
                          (flags & OPEN_FLAGS) | O_CREAT | O_EXCL | O_NOCTTY,
                          mode & P9_MODE_MASK);

    if (fd != -EEXIST || flags & O_EXCL)
        return fd;
    return p9_host_open_plain(p9, path, flags & OPEN_FLAGS);
}

/* The fid of a directory becomes that of the new file. */
int p9_lcreate(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9);
    const char *name = p9_take_string(p9);
    unsigned flags = p9_take_u32(p9), mode = p9_take_u32(p9);
    struct p9_fid *fid;

    p9_take_u32(p9); /* the group is the monitor's */
    int error = p9_find_whole(p9, number, &fid);
    if (!error)
        error = p9_check_name(name);
    if (!error && p9->read_only)
        error = -EROFS;
    if (!error)
        error = check_open(p9, fid, flags & OPEN_FLAGS & ~(unsigned)O_TRUNC);
    char *path = error ? NULL : p9_path(p9, fid);
    if (!error)
        error = p9_enter(path, name);
    if (error)
        return error;
    int fd = create(p9, path, flags, mode);
    error = fd < 0 ? fd : settle_open(p9, fid, fd);
    if (error)
        p9_leave(path);
    return error;
}

/* ---- Data ------------------------------------------------------------------
 */

/* The fid of a file that is open, or -EBADF. */
static int find_open(struct p9 *p9, uint32_t number, struct p9_fid **fid)
{
    int error = p9_find_whole(p9, number, fid);

    if (error)
        return error;
    return (*fid)->fd < 0 ? -EBADF : 0;
}

int p9_read(struct p9 *p9)
{
    struct p9_request *request = &p9->request;
    uint32_t number = p9_take_u32(p9);
    uint64_t offset = p9_take_u64(p9), count = p9_take_u32(p9);
    struct p9_window window;
    struct p9_fid *fid;
    ssize_t got = 0;
    int error = find_open(p9, number, &fid);

    if (error)
        return error;
    count = min_u64(count, p9->msize - P9_DATA_BYTES);
    count = min_u64(count, request->room - P9_DATA_BYTES);
    if (fid->type == P9_QID_DIRECTORY)
        return -EISDIR;
    if (count > 0) {
        int pieces = p9_window_open(&window, request->in, P9_DATA_BYTES, count);
        got = os_preadv(fid->fd, window.first, pieces, (off_t)offset);
        p9_window_close(&window);
    }
    if (got < 0)
        return (int)got;
    p9_put_u32(p9, (uint32_t)got);
    request->in_data = (uint32_t)got;
    request->moved = (uint64_t)got;
    p9->read_bytes += (uint64_t)got;
    return 0;
}

int p9_write(struct p9 *p9)
{
    struct p9_request *request = &p9->request;
    uint32_t number = p9_take_u32(p9);
    uint64_t offset = p9_take_u64(p9), count = p9_take_u32(p9);
    struct p9_window window;
    struct p9_fid *fid;
    ssize_t put = 0;
    int error = find_open(p9, number, &fid);

    if (error)
        return error;
    if (p9->read_only)
        return -EROFS;
    if (count > request->data)
        return -EINVAL;
    if (count > 0) {
        int pieces =
            p9_window_open(&window, request->out, P9_WRITE_BYTES, count);
        put = os_pwritev(fid->fd, window.first, pieces, (off_t)offset);
        p9_window_close(&window);
    }
    if (put < 0)
        return (int)put;
    p9_put_u32(p9, (uint32_t)put);
    request->moved = (uint64_t)put;
    p9->written_bytes += (uint64_t)put;
    return 0;
}

int p9_fsync(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9), data_only = p9_take_u32(p9);
    struct p9_fid *fid;
    int error = find_open(p9, number, &fid);

    if (error)
        return error;
    p9->request.flushed = true;
    return (int)os_syscall(data_only ? SYS_fdatasync : SYS_fsync, fid->fd);
}

/* ---- Directories -----------------------------------------------------------
 */

/* Appends one entry. What is above the root is the root itself. */
static void put_entry(struct p9 *p9, const struct host_dirent *entry,
                      bool is_root)
{
    bool above = is_root && strcmp(entry->name, "..") == 0;
    uint8_t type = entry->type == DT_DIR   ? P9_QID_DIRECTORY
                   : entry->type == DT_LNK ? P9_QID_SYMLINK
                                           : P9_QID_FILE;

    p9_put_u8(p9, type);
    p9_put_u32(p9, 0);
    p9_put_u64(p9, above ? p9->root_inode : entry->inode);
    p9_put_u64(p9, (uint64_t)entry->next);
    p9_put_u8(p9, entry->type);
    p9_put_string(p9, entry->name, strlen(entry->name));
}

/*
 * Appends as many of the `bytes` bytes of entries as fit in `room`. Returns
 * how much that is, or -EINVAL if not even one does.
 */
static int put_entries(struct p9 *p9, size_t bytes, size_t room, bool is_root)
{
    size_t start = p9->answered;

    for (size_t at = 0; at < bytes;) {
        const struct host_dirent *entry =
            (const struct host_dirent *)(p9->dirents + at);

        if (ENTRY_BYTES + strlen(entry->name) > room - (p9->answered - start))
            return p9->answered == start ? -EINVAL
                                         : (int)(p9->answered - start);
        put_entry(p9, entry, is_root);
        at += entry->bytes;
    }
    return (int)(p9->answered - start);
}

int p9_readdir(struct p9 *p9)
{
    uint32_t number = p9_take_u32(p9);
    uint64_t offset = p9_take_u64(p9), count = p9_take_u32(p9);
    struct p9_fid *fid;
    int error = find_open(p9, number, &fid);

    if (error)
        return error;
    if (fid->type != P9_QID_DIRECTORY)
        return -ENOTDIR;
    count = min_u64(count, p9->request.room - P9_DATA_BYTES);
    count = min_u64(count, sizeof(p9->answer) - P9_DATA_BYTES);
    long moved = os_syscall(SYS_lseek, fid->fd, (off_t)offset, SEEK_SET);
    if (moved < 0)
        return (int)moved;
    long got = os_syscall(SYS_getdents64, fid->fd, p9->dirents,
                          min_u64(count, sizeof(p9->dirents)));
    if (got < 0)
        return (int)got;
    size_t at = p9->answered;
    p9_put_u32(p9, 0);
    int put = put_entries(p9, (size_t)got, count, !*p9_path(p9, fid));
    if (put < 0)
        return put;
    p9_store(p9->answer + at, (unsigned)put, 4);
    return 0;
}

/* ---- Locks -----------------------------------------------------------------
 */

/*
 * Locks are among the programs of one guest, and its own to keep: each is
 * granted. Other guests and the host do not see them.
 */
int p9_lock(struct p9 *p9)
{
    struct p9_fid *fid;
    uint32_t number = p9_take_u32(p9);

    p9_take_u8(p9);
    p9_take_u32(p9);
    p9_take_u64(p9);
    p9_take_u64(p9);
    p9_take_u32(p9);
    p9_take_string(p9);
    int error = find_open(p9, number, &fid);
    if (!error)
        p9_put_u8(p9, P9_LOCK_SUCCESS);
    return error;
}

int p9_getlock(struct p9 *p9)
{
    struct p9_fid *fid;
    uint32_t number = p9_take_u32(p9);

    p9_take_u8(p9);
    uint64_t start = p9_take_u64(p9), length = p9_take_u64(p9);
    uint32_t process = p9_take_u32(p9);
    const char *client = p9_take_string(p9);
    int error = find_open(p9, number, &fid);
    if (error)
        return error;
    p9_put_u8(p9, P9_LOCK_UNLOCKED);
    p9_put_u64(p9, start);
    p9_put_u64(p9, length);
    p9_put_u32(p9, process);
    p9_put_string(p9, client, strlen(client));
    return 0;
}
