/* SPDX-License-Identifier: MIT */
/* Files in memory: regular files. */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest_rt/tmpfs.h"

/* As Linux: a file ends here. */
#define SIZE_MAX_BYTES ((off_t)PTRDIFF_MAX)

#define FALLOC_KEEP_SIZE  1
#define FALLOC_PUNCH_HOLE 2
#define FALLOC_ZERO_RANGE 16

static struct tmpfs_node *node_of(const struct file *file)
{
    return tmpfs_node(file->data);
}

/* ---- Reading ------------------------------------------------------------ */

/* Copies what lies at `offset`, all of which is within the file. */
static void copy_out(const struct tmpfs_node *node, unsigned char *to,
                     size_t bytes, off_t offset)
{
    while (bytes > 0) {
        const struct tmpfs_extent *extent = tmpfs_find(node, offset);
        off_t start = extent ? extent->offset : SIZE_MAX_BYTES;
        size_t part = bytes;

        if (start > offset) { /* a hole */
            if ((off_t)part > start - offset)
                part = (size_t)(start - offset);
            memset(to, 0, part);
        } else {
            size_t skip = (size_t)(offset - start);

            if (part > extent->bytes - skip)
                part = extent->bytes - skip;
            memcpy(to, extent->memory + skip, part);
        }
        to += part;
        offset += (off_t)part;
        bytes -= part;
    }
}

/* As Linux does by default: once after each change. */
static void note_access(struct tmpfs_node *node)
{
    const struct timespec *a = &node->accessed, *b = &node->modified;

    if (a->tv_sec < b->tv_sec ||
        (a->tv_sec == b->tv_sec && a->tv_nsec <= b->tv_nsec))
        node->accessed = tmpfs_now();
}

static long read_file(struct file *file, const struct iovec *iov, int count,
                      off_t offset)
{
    struct tmpfs_node *node = node_of(file);
    off_t at = file_position(file, offset);
    long total = 0;

    for (int i = 0; i < count && at < node->size; i++) {
        size_t part = iov[i].iov_len;

        if ((off_t)part > node->size - at)
            part = (size_t)(node->size - at);
        copy_out(node, iov[i].iov_base, part, at);
        at += (off_t)part;
        total += (long)part;
    }
    note_access(node);
    return file_moved(file, offset, total);
}

/* ---- Writing ------------------------------------------------------------ */

/* Copies into memory that has been reserved. */
static void copy_in(const struct tmpfs_node *node, const unsigned char *from,
                    size_t bytes, off_t offset)
{
    while (bytes > 0) {
        const struct tmpfs_extent *extent = tmpfs_find(node, offset);
        size_t skip = (size_t)(offset - extent->offset), part = bytes;

        if (part > extent->bytes - skip)
            part = extent->bytes - skip;
        memcpy(extent->memory + skip, from, part);
        from += part;
        offset += (off_t)part;
        bytes -= part;
    }
}

static long write_file(struct file *file, const struct iovec *iov, int count,
                       off_t offset)
{
    struct tmpfs_node *node = node_of(file);
    off_t at = file_position(file, offset);
    long total = 0;
    int error;

    for (int i = 0; i < count; i++)
        total += (long)iov[i].iov_len;
    if (file->flags & O_APPEND)
        at = node->size;
    if (total == 0)
        return 0;
    if (total > SIZE_MAX_BYTES - (off_t)TMPFS_PAGE - at)
        return -EFBIG;
    error = tmpfs_reserve(node, at, (size_t)total);
    if (!error && at > node->size)
        error = tmpfs_resize(node, at);
    if (!error && at + total > node->size)
        error = tmpfs_open_mapped(node, at + total);
    if (error)
        return error;
    for (int i = 0; i < count; i++) {
        copy_in(node, iov[i].iov_base, iov[i].iov_len, at);
        at += (off_t)iov[i].iov_len;
    }
    if (at > node->size)
        node->size = at;
    node->modified = node->changed = tmpfs_now();
    if (offset == FILE_HERE)
        file->offset = at;
    return total;
}

/* ---- Seeking ------------------------------------------------------------ */

/* The first byte of data, or of a hole, from `offset` on. */
static long seek_kind(struct file *file, off_t offset, bool data)
{
    const struct tmpfs_node *node = node_of(file);
    const struct tmpfs_extent *extent;

    if (offset < 0 || offset >= node->size)
        return -ENXIO;
    extent = tmpfs_find(node, offset);
    if (data) {
        if (!extent || extent->offset >= node->size)
            return -ENXIO;
        if (extent->offset > offset)
            offset = extent->offset;
    } else {
        while (extent && extent->offset <= offset) {
            offset = extent->offset + (off_t)extent->bytes;
            extent = tmpfs_find(node, offset);
        }
        if (offset > node->size)
            offset = node->size;
    }
    file->offset = offset;
    return offset;
}

static long seek(struct file *file, off_t offset, int whence)
{
    if (whence == SEEK_DATA || whence == SEEK_HOLE)
        return seek_kind(file, offset, whence == SEEK_DATA);
    return file_seek(file, offset, whence, node_of(file)->size);
}

/* ---- The rest ----------------------------------------------------------- */

static long control(struct file *file, unsigned request, long argument)
{
    off_t left = node_of(file)->size - file->offset;

    if (request != FIONREAD)
        return -ENOTTY;
    if (!user_can_write((void *)argument, sizeof(int)))
        return -EFAULT;
    *(int *)argument = left > INT_MAX ? INT_MAX : left < 0 ? 0 : (int)left;
    return 0;
}

static int sync_nothing(struct file *file, bool data_only)
{
    (void)file;
    (void)data_only;
    return 0;
}

/* Shared mappings are the extent itself; it cannot be elsewhere. */
static long map(struct file *file, void *address, size_t bytes, int protection,
                int flags, off_t offset)
{
    struct tmpfs_node *node = node_of(file);
    struct tmpfs_extent *extent;

    (void)protection;
    if (!(flags & MAP_SHARED))
        return -ENODEV;
    if ((off_t)bytes > SIZE_MAX_BYTES - (off_t)TMPFS_PAGE - offset)
        return -EOVERFLOW;
    bytes = (bytes + TMPFS_PAGE - 1) & -TMPFS_PAGE;
    if ((flags & MAP_FIXED) && tmpfs_place(node, offset, bytes, address))
        return -ENOMEM;
    extent = tmpfs_find_whole(node, offset, bytes);
    if (!extent)
        return -ENOMEM;
    extent->mapped += bytes;
    note_access(node);
    return (long)(extent->memory + (offset - extent->offset));
}

static int vacate(struct file *file, void *address, size_t bytes)
{
    return tmpfs_vacate(node_of(file), address, bytes);
}

static void unmap(struct file *file, void *address, size_t bytes)
{
    struct tmpfs_node *node = node_of(file);

    for (unsigned i = 0; i < node->file.count; i++) {
        struct tmpfs_extent *extent = &node->file.extents[i];

        if ((uintptr_t)address - (uintptr_t)extent->memory < extent->bytes)
            extent->mapped -= (bytes + TMPFS_PAGE - 1) & -TMPFS_PAGE;
    }
}

static int allocate(struct file *file, int mode, off_t offset, off_t bytes)
{
    struct tmpfs_node *node = node_of(file);
    bool keep_size = mode & FALLOC_KEEP_SIZE;
    int error = 0;

    if (mode & ~(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE))
        return -EOPNOTSUPP;
    if (mode & FALLOC_PUNCH_HOLE && !keep_size)
        return -EOPNOTSUPP;
    if (bytes > SIZE_MAX_BYTES - (off_t)TMPFS_PAGE - offset)
        return -EFBIG;
    if (!(mode & FALLOC_PUNCH_HOLE))
        error = tmpfs_reserve(node, offset, (size_t)bytes);
    if (!error && mode & (FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE) &&
        offset < node->size)
        error = tmpfs_clear(node, offset, bytes);
    if (!error && !keep_size && offset + bytes > node->size)
        error = tmpfs_resize(node, offset + bytes);
    if (!error)
        node->modified = node->changed = tmpfs_now();
    return error;
}

const struct file_ops tmpfs_file_ops = {
    .read = read_file,
    .write = write_file,
    .seek = seek,
    .ioctl = control,
    .sync = sync_nothing,
    .map = map,
    .unmap = unmap,
    .vacate = vacate,
    .allocate = allocate,
};
