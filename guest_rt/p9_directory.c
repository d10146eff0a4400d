/* SPDX-License-Identifier: MIT */
/* Directories of the host: reading directories. */
#include <errno.h>
#include <string.h>

#include "guest_rt/p9.h"
#include "guest_rt/pool.h"

/* Of entries, read at once; they are kept until they have been asked for. */
#define BUFFER_BYTES 8192u

/* qid, offset, type, and the name's length */
#define ENTRY_BYTES (P9_QID_BYTES + 8u + 1u + 2u)

static struct p9_file *file_of(const struct file *file)
{
    return file->data;
}

/* Reads the entries at file->offset. Returns 0 or -errno. */
static int fill(struct file *opened)
{
    struct p9_file *file = file_of(opened);
    struct p9_fs *fs = p9_fs_of(&file->node->vnode);
    struct p9_message *message;
    int error;

    if (!file->entries)
        file->entries = pool_alloc(BUFFER_BYTES);
    if (!file->entries)
        return -ENOMEM;
    p9_take(fs, &message, 1);
    p9_begin_about(message, P9_READDIR, file->fid, P9_DATA_BYTES);
    p9_put(message, (uint64_t)opened->offset, 8);
    p9_put(message, BUFFER_BYTES < fs->io_bytes ? BUFFER_BYTES : fs->io_bytes,
           4);
    message->data[0] = (struct iovec){file->entries, BUFFER_BYTES};
    message->data_count = 1;
    message->data_comes = true;
    error = p9_call(fs, message);
    file->at = 0;
    file->end = error ? 0 : (unsigned)p9_next(message, 4);
    if (file->end > BUFFER_BYTES)
        file->end = 0;
    file->offset = opened->offset;
    p9_give(fs, &message, 1);
    return error;
}

static uint64_t number(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;

    memcpy(&value, at, bytes);
    return value;
}

/* Gives the entry at `file->at`; false if it has no room, or is none. */
static bool give_entry(struct file *opened, struct vfs_entries *entries)
{
    struct p9_file *file = file_of(opened);
    const uint8_t *at = file->entries + file->at;
    uint64_t inode = number(at + 5, 8);
    off_t next = (off_t)number(at + P9_QID_BYTES, 8);
    mode_t type = (mode_t)at[P9_QID_BYTES + 8] << 12;
    size_t length = number(at + ENTRY_BYTES - 2, 2);

    if (length > file->end - file->at - ENTRY_BYTES) {
        file->at = file->end;
        return true;
    }
    if (!vfs_entries_add(entries, inode, next, type,
                         (const char *)at + ENTRY_BYTES, length))
        return false;
    file->at += ENTRY_BYTES + (unsigned)length;
    file->offset = opened->offset = next;
    return true;
}

static long read_dir(struct file *opened, void *buffer, size_t bytes)
{
    struct p9_file *file = file_of(opened);
    struct vfs_entries entries = {buffer, (char *)buffer + bytes};

    if (file->at == file->end || file->offset != opened->offset) {
        int error = fill(opened);

        if (error)
            return error;
    }
    while (file->end - file->at >= ENTRY_BYTES)
        if (!give_entry(opened, &entries))
            return entries.at == buffer ? -EINVAL : entries.at - (char *)buffer;
    return entries.at - (char *)buffer;
}

static long seek(struct file *file, off_t offset, int whence)
{
    file_of(file)->end = file_of(file)->at; /* rewinding reads it anew */
    return file_seek(file, offset, whence, 0);
}

static void release(struct file *file)
{
    pool_free(file_of(file)->entries, BUFFER_BYTES);
    p9_release_file(file);
}

const struct file_ops p9_directory_ops = {
    .read = file_read_directory,
    .seek = seek,
    .stat = p9_stat_file,
    .sync = p9_sync_file,
    .read_dir = read_dir,
    .release = release,
};
