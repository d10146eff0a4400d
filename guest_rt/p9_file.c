/* SPDX-License-Identifier: MIT */
/* Directories of the host: open files. */
#include <errno.h>
#include <string.h>

#include "guest_rt/p9.h"
#include "guest_rt/pool.h"

static struct p9_file *file_of(const struct file *file)
{
    return file->data;
}

static struct p9_fs *fs_of(const struct file *file)
{
    return p9_fs_of(&file_of(file)->node->vnode);
}

static const struct file_ops p9_file_ops;

/* ---- Opening ------------------------------------------------------------- */

/* What of the program's flags is the server's business. */
#define SERVER_FLAGS (FILE_ACCESS | O_APPEND | O_DIRECTORY | O_DSYNC | O_SYNC)

/* Opens the node by a fid of its own, which is stored. */
static int open_fid(struct p9_node *node, int flags, uint32_t *opened)
{
    struct p9_fs *fs = p9_fs_of(&node->vnode);
    uint32_t fid = *opened = p9_new_fid(fs);
    struct p9_message *messages[2];
    int error, second;

    if (fid == P9_NO_FID)
        return -ENFILE;
    p9_take(fs, messages, 2);
    p9_begin_walk(messages[0], node->fid, fid, NULL);
    for (unsigned tries = 0;; tries++) {
        p9_begin_about(messages[1], P9_LOPEN, fid, P9_ANSWER(P9_QID_BYTES + 4));
        p9_put(messages[1], (unsigned)flags & SERVER_FLAGS, 4);
        p9_exchange(fs, messages + tries, 2 - tries);
        error = p9_result(messages[0]);
        second = p9_result(messages[1]);
        if (tries > 0 || !p9_came_too_early(error, second))
            break;
    }
    p9_give(fs, messages, 2);
    if (error)
        p9_free_fid(fs, fid);
    else if (second)
        p9_forget_fid(fs, fid);
    return error ? error : second;
}

/* The fid that is open since the file was made, if it is of use. */
static bool take_made_fid(struct p9_node *node, int flags, uint32_t *fid)
{
    if (node->made_fid == P9_NO_FID || flags & (O_APPEND | O_DSYNC | O_SYNC))
        return false;
    *fid = node->made_fid;
    node->made_fid = P9_NO_FID;
    return true;
}

int p9_open(struct vnode *vnode, int flags, struct file **opened)
{
    struct p9_node *node = p9_node_of(vnode);
    bool is_directory = S_ISDIR(vnode->type);
    struct p9_file *file;
    uint32_t fid;

    if (!is_directory && !S_ISREG(vnode->type))
        return -ENXIO;
    node->found_ns = 0;
    int error =
        take_made_fid(node, flags, &fid) ? 0 : open_fid(node, flags, &fid);
    if (error)
        return error;
    file = pool_alloc(sizeof(*file));
    *opened = file
                  ? file_create(is_directory ? &p9_directory_ops : &p9_file_ops,
                                file, flags)
                  : NULL;
    if (!*opened) {
        pool_free(file, sizeof(*file));
        p9_forget_fid(p9_fs_of(vnode), fid);
        return -ENOMEM;
    }
    *file = (struct p9_file){
        .next = node->files,
        .node = node,
        .fid = fid,
        .writable = file_can_write(*opened),
    };
    node->files = file;
    return 0;
}

/* What was written to is closed at once: the host may wait for that. */
void p9_release_file(struct file *opened)
{
    struct p9_file *file = file_of(opened), **link = &file->node->files;
    struct p9_fs *fs = fs_of(opened);

    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    p9_forget_fid(fs, file->fid);
    if (file->writable)
        p9_publish(fs);
    pool_free(file, sizeof(*file));
}

/* ---- Data ---------------------------------------------------------------- */

/* Where in the program's pieces a transfer has come to. */
struct cursor {
    const struct iovec *iov;
    int count;
    size_t skip; /* bytes of the first one that are done */
};

/* Describes the next `most` bytes, or less, in the message. Returns those. */
static size_t describe(struct p9_message *message, const struct cursor *cursor,
                       size_t most)
{
    const struct iovec *iov = cursor->iov;
    size_t skip = cursor->skip, total = 0;

    for (int i = 0; i < cursor->count && total < most; i++, skip = 0) {
        size_t bytes = iov[i].iov_len - skip;

        if (bytes == 0)
            continue;
        if (message->data_count == P9_PIECES_MAX)
            break;
        if (bytes > most - total)
            bytes = most - total;
        message->data[message->data_count++] =
            (struct iovec){(char *)iov[i].iov_base + skip, bytes};
        total += bytes;
    }
    return total;
}

static void advance(struct cursor *cursor, size_t bytes)
{
    while (cursor->count > 0 && bytes >= cursor->iov->iov_len - cursor->skip) {
        bytes -= cursor->iov->iov_len - cursor->skip;
        cursor->iov++;
        cursor->count--;
        cursor->skip = 0;
    }
    cursor->skip += bytes;
}

/*
 * Moves the next bytes at `offset` by one message. Returns how many, with how
 * many were asked for in `*asked`.
 */
static long move_some(struct file *file, uint8_t type,
                      const struct cursor *cursor, off_t offset, size_t *asked)
{
    struct p9_fs *fs = fs_of(file);
    struct p9_message *message;
    long result;

    p9_take(fs, &message, 1);
    p9_begin_about(message, type, file_of(file)->fid,
                   type == P9_READ ? P9_DATA_BYTES : P9_ANSWER(4));
    *asked = describe(message, cursor, fs->io_bytes);
    message->data_comes = type == P9_READ;
    p9_put(message, (uint64_t)offset, 8);
    p9_put(message, *asked, 4);
    result = p9_call(fs, message);
    if (!result) {
        result = (long)p9_next(message, 4);
        if ((size_t)result > *asked)
            result = -EIO;
    }
    p9_give(fs, &message, 1);
    return result;
}

/* Returns how much was moved, or -errno if nothing was. */
static long move(struct file *file, uint8_t type, const struct iovec *iov,
                 int count, off_t at)
{
    struct cursor cursor = {iov, count, 0};
    long total = 0;

    for (;;) {
        size_t asked;

        advance(&cursor, 0);
        if (cursor.count == 0)
            return total;
        long moved = move_some(file, type, &cursor, at + total, &asked);
        if (moved < 0)
            return total > 0 ? total : moved;
        total += moved;
        advance(&cursor, (size_t)moved);
        if ((size_t)moved < asked)
            return total;
    }
}

static long read_file(struct file *file, const struct iovec *iov, int count,
                      off_t offset)
{
    off_t at = file_position(file, offset);

    return file_moved(file, offset, move(file, P9_READ, iov, count, at));
}

/* The server appends, so that the end is where it is at that moment. */
static long write_file(struct file *file, const struct iovec *iov, int count,
                       off_t offset)
{
    off_t at = file_position(file, offset);
    long moved = file_moved(file, offset, move(file, P9_WRITE, iov, count, at));
    struct stat stat = {0};

    if (moved > 0 && offset == FILE_HERE && file->flags & O_APPEND &&
        !p9_stat_file(file, &stat))
        file->offset = stat.st_size;
    return moved;
}

/* ---- The rest ------------------------------------------------------------ */

int p9_stat_file(struct file *file, struct stat *stat)
{
    stat->st_dev = fs_of(file)->vfs.device;
    return p9_stat(file_of(file)->node, file_of(file), stat);
}

static long seek(struct file *file, off_t offset, int whence)
{
    struct stat stat = {0};
    int error = 0;

    if (whence != SEEK_SET && whence != SEEK_CUR)
        error = p9_stat_file(file, &stat);
    return error ? error : file_seek(file, offset, whence, stat.st_size);
}

int p9_sync_file(struct file *file, bool data_only)
{
    struct p9_fs *fs = fs_of(file);
    struct p9_message *message;
    int error;

    p9_take(fs, &message, 1);
    p9_begin_about(message, P9_FSYNC, file_of(file)->fid, P9_ANSWER(0));
    p9_put(message, data_only, 4);
    error = p9_call(fs, message);
    p9_give(fs, &message, 1);
    return error;
}

static int truncate_file(struct file *file, off_t bytes)
{
    const struct vfs_change change = {.mask = VFS_SET_SIZE, .size = bytes};

    return p9_set(file_of(file)->node, file_of(file), &change);
}

/* The server was told of O_APPEND when it opened the file. */
static int set_flags(struct file *file, int flags)
{
    uint32_t fid;
    int error;

    if (!((flags ^ file->flags) & O_APPEND))
        return 0;
    flags = (flags & O_APPEND) | (file->flags & ~O_APPEND);
    error = open_fid(file_of(file)->node, flags, &fid);
    if (error)
        return error;
    p9_forget_fid(fs_of(file), file_of(file)->fid);
    file_of(file)->fid = fid;
    return 0;
}

static const struct file_ops p9_file_ops = {
    .read = read_file,
    .write = write_file,
    .seek = seek,
    .stat = p9_stat_file,
    .set_flags = set_flags,
    .sync = p9_sync_file,
    .truncate = truncate_file,
    .release = p9_release_file,
};
