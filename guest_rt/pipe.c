/* SPDX-License-Identifier: MIT */
/* Pipes. */
#include "guest_rt/pipe.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/signals.h"
#include "guest_rt/vfs.h"

#pragma weak vnode_stat

#define RING_FIRST 4096u

/* ---- Life --------------------------------------------------------------- */

struct pipe *pipe_create(void)
{
    static ino_t inodes;
    struct pipe *pipe = pool_alloc(sizeof(*pipe));

    if (!pipe)
        return NULL;
    pipe->inode = ++inodes;
    pipe->bytes = RING_FIRST;
    pipe->ring = mf_pages_alloc(pipe->bytes);
    if (pipe->ring)
        return pipe;
    pool_free(pipe, sizeof(*pipe));
    return NULL;
}

void pipe_free(struct pipe *pipe)
{
    if (pipe->node)
        pipe->node->special = NULL;
    mf_pages_free(pipe->ring, pipe->bytes);
    pool_free(pipe, sizeof(*pipe));
}

struct file *pipe_open_end(struct pipe *pipe, int flags)
{
    struct pipe_end *end = pool_alloc(sizeof(*end));

    if (!end)
        return NULL;
    end->file = file_create(&pipe_ops, end, flags);
    if (!end->file) {
        pool_free(end, sizeof(*end));
        return NULL;
    }
    end->pipe = pipe;
    end->next = pipe->ends;
    end->writers_seen = pipe->writer_opens;
    pipe->ends = end;
    if (file_can_read(end->file)) {
        pipe->readers++;
        pipe->reader_opens++;
    }
    if (file_can_write(end->file)) {
        pipe->writers++;
        pipe->writer_opens++;
    }
    return end->file;
}

/* Tells the ends that read, or those that write. */
static void wake_ends(struct pipe *pipe, uint32_t events, bool readers)
{
    for (struct pipe_end *end = pipe->ends; end; end = end->next)
        if (readers ? file_can_read(end->file) : file_can_write(end->file))
            file_wake(end->file, events);
}

static void release(struct file *file)
{
    struct pipe_end *end = file->data;
    struct pipe *pipe = end->pipe;
    struct pipe_end **at = &pipe->ends;

    while (*at != end)
        at = &(*at)->next;
    *at = end->next;
    pool_free(end, sizeof(*end));
    if (file_can_read(file) && --pipe->readers == 0)
        wake_ends(pipe, EPOLLERR | EPOLLOUT, false);
    if (file_can_write(file) && --pipe->writers == 0)
        wake_ends(pipe, EPOLLHUP | EPOLLIN, true);
    if (!pipe->ends && !pipe->opening.first)
        pipe_free(pipe);
}

/* ---- The ring ----------------------------------------------------------- */

/* Copies out of the ring. Returns how much. */
static size_t take(struct pipe *pipe, unsigned char *to, size_t bytes)
{
    size_t done = 0;

    if (bytes > pipe->used)
        bytes = pipe->used;
    while (done < bytes) {
        size_t part = pipe->bytes - pipe->first;

        if (part > bytes - done)
            part = bytes - done;
        memcpy(to + done, pipe->ring + pipe->first, part);
        pipe->first = (pipe->first + part) % pipe->bytes;
        done += part;
    }
    pipe->used -= bytes;
    if (pipe->used == 0)
        pipe->first = 0; /* so that little is touched */
    return bytes;
}

/* Copies into the ring, which has room. */
static void put(struct pipe *pipe, const unsigned char *from, size_t bytes)
{
    while (bytes > 0) {
        size_t at = (pipe->first + pipe->used) % pipe->bytes;
        size_t part = pipe->bytes - at;

        if (part > bytes)
            part = bytes;
        memcpy(pipe->ring + at, from, part);
        pipe->used += part;
        from += part;
        bytes -= part;
    }
}

/* Makes the ring larger, if it may be and there is memory. */
static bool grow(struct pipe *pipe)
{
    size_t bytes = 2 * pipe->bytes, used = pipe->used;
    unsigned char *ring;

    if (bytes > PIPE_BYTES)
        return false;
    ring = mf_pages_alloc(bytes);
    if (!ring)
        return false;
    take(pipe, ring, used);
    mf_pages_free(pipe->ring, pipe->bytes);
    pipe->ring = ring;
    pipe->bytes = bytes;
    pipe->used = used;
    return true;
}

/* Room for `wanted` bytes, or what there is. */
static size_t room_for(struct pipe *pipe, size_t wanted)
{
    while (pipe->bytes - pipe->used < wanted && grow(pipe))
        continue;
    return pipe->bytes - pipe->used;
}

/* ---- Reading ------------------------------------------------------------ */

static size_t sum_of(const struct iovec *iov, int count)
{
    size_t total = 0;

    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}

static long read_pipe(struct file *file, const struct iovec *iov, int count,
                      off_t offset)
{
    struct pipe *pipe = ((struct pipe_end *)file->data)->pipe;
    long total = 0;

    (void)offset;
    if (sum_of(iov, count) == 0)
        return 0;
    while (pipe->used == 0) {
        int error;

        if (pipe->writers == 0)
            return 0;
        error = file_block(file);
        if (error)
            return error;
    }
    for (int i = 0; i < count && pipe->used > 0; i++)
        total += (long)take(pipe, iov[i].iov_base, iov[i].iov_len);
    wake_ends(pipe, EPOLLOUT, false);
    return total;
}

/* ---- Writing ------------------------------------------------------------ */

/* Writes one piece. Returns how much, or -errno if nothing. */
static long write_piece(struct file *file, const unsigned char *from,
                        size_t bytes, bool atomic)
{
    struct pipe *pipe = ((struct pipe_end *)file->data)->pipe;
    size_t done = 0;

    while (done < bytes) {
        size_t part = bytes - done, room;
        int error;

        if (pipe->readers == 0) {
            signal_pipe();
            return done ? (long)done : -EPIPE;
        }
        room = room_for(pipe, part);
        if (room == 0 || (atomic && room < part)) {
            error = file_block(file);
            if (error)
                return done ? (long)done : error;
            continue;
        }
        if (part > room)
            part = room;
        put(pipe, from + done, part);
        done += part;
        wake_ends(pipe, EPOLLIN, true);
    }
    return (long)done;
}

/* Few bytes in several pieces are one write. */
static long write_gathered(struct file *file, const struct iovec *iov,
                           int count)
{
    unsigned char all[PIPE_ATOMIC];
    size_t bytes = 0;

    for (int i = 0; i < count; i++) {
        memcpy(all + bytes, iov[i].iov_base, iov[i].iov_len);
        bytes += iov[i].iov_len;
    }
    return write_piece(file, all, bytes, true);
}

static long write_pipe(struct file *file, const struct iovec *iov, int count,
                       off_t offset)
{
    bool atomic = sum_of(iov, count) <= PIPE_ATOMIC;
    long total = 0;

    (void)offset;
    if (atomic && count > 1)
        return write_gathered(file, iov, count);
    for (int i = 0; i < count; i++) {
        long done = write_piece(file, iov[i].iov_base, iov[i].iov_len, atomic);

        if (done < 0)
            return total ? total : done;
        total += done;
        if ((size_t)done < iov[i].iov_len)
            break;
    }
    return total;
}

/* ---- The rest ----------------------------------------------------------- */

static uint32_t poll_pipe(struct file *file)
{
    const struct pipe_end *end = file->data;
    const struct pipe *pipe = end->pipe;
    uint32_t events = 0;

    if (file_can_read(file)) {
        if (pipe->used > 0)
            events |= EPOLLIN;
        if (pipe->writers == 0 && pipe->writer_opens != end->writers_seen)
            events |= EPOLLHUP;
    }
    if (file_can_write(file)) {
        if (PIPE_BYTES - pipe->used >= PIPE_ATOMIC)
            events |= EPOLLOUT;
        if (pipe->readers == 0)
            events |= EPOLLERR;
    }
    return events;
}

static int stat_pipe(struct file *file, struct stat *stat)
{
    const struct pipe *pipe = ((struct pipe_end *)file->data)->pipe;

    if (file->node && vnode_stat)
        return vnode_stat(file->node, stat);
    stat->st_ino = pipe->inode;
    stat->st_nlink = 1;
    stat->st_mode = S_IFIFO | 0600;
    stat->st_blksize = PIPE_ATOMIC;
    return 0;
}

static long control_pipe(struct file *file, unsigned request, long argument)
{
    const struct pipe *pipe = ((struct pipe_end *)file->data)->pipe;

    if (request != FIONREAD)
        return -ENOTTY;
    if (!user_can_write((void *)argument, sizeof(int)))
        return -EFAULT;
    *(int *)argument = (int)pipe->used;
    return 0;
}

const struct file_ops pipe_ops = {
    .read = read_pipe,
    .write = write_pipe,
    .stat = stat_pipe,
    .poll = poll_pipe,
    .ioctl = control_pipe,
    .release = release,
};
