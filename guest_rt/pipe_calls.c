/* SPDX-License-Identifier: MIT */
/* Making pipes: pipe2, and opening FIFOs. */
#include "guest_rt/pipe.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"

/* ---- Without a name ----------------------------------------------------- */

/* Both ends of a new pipe; the first reads. */
static int open_ends(struct file *ends[2], int flags)
{
    struct pipe *pipe = pipe_create();

    if (!pipe)
        return -ENFILE;
    ends[0] = pipe_open_end(pipe, O_RDONLY | flags);
    if (!ends[0]) {
        pipe_free(pipe);
        return -ENFILE;
    }
    ends[1] = pipe_open_end(pipe, O_WRONLY | flags);
    if (!ends[1]) {
        file_put(ends[0]); /* and the pipe with it */
        return -ENFILE;
    }
    /* As if the reader had come first: it is told when there is no writer. */
    ((struct pipe_end *)ends[0]->data)->writers_seen = 0;
    return 0;
}

static long make_pipe(int *fds, int flags)
{
    bool close_on_exec = flags & O_CLOEXEC;
    struct file *ends[2];
    long in, out;
    int error;

    if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -EINVAL;
    if (!user_can_write(fds, 2 * sizeof(*fds)))
        return -EFAULT;
    error = open_ends(ends, flags & O_NONBLOCK);
    if (error)
        return error;
    in = file_install(ends[0], 0, close_on_exec);
    if (in < 0) {
        file_put(ends[1]);
        return in;
    }
    out = file_install(ends[1], 0, close_on_exec);
    if (out < 0) {
        file_close(file_entry(in));
        return out;
    }
    fds[0] = (int)in;
    fds[1] = (int)out;
    return 0;
}

long __mayfly_sys_pipe2(long fds, long flags)
{
    long result;

    mf_lock();
    result = make_pipe((int *)fds, (int)flags);
    mf_unlock();
    return result;
}

long __mayfly_sys_pipe(long fds)
{
    return __mayfly_sys_pipe2(fds, 0);
}

/* ---- With a name -------------------------------------------------------- */

/* All files that had it open are gone by then. */
static void fifo_gone(struct vnode *node)
{
    pipe_free(node->special);
}

static struct pipe *pipe_of(struct vnode *node)
{
    struct pipe *pipe = node->special;

    if (pipe)
        return pipe;
    pipe = pipe_create();
    if (!pipe)
        return NULL;
    pipe->node = node;
    node->special = pipe;
    node->special_gone = fifo_gone;
    return pipe;
}

/*
 * Waits for somebody at the other end: until there is one, or has been one
 * since.
 */
static int await_other(struct pipe *pipe, const struct file *file)
{
    bool reads = file_can_read(file);
    const unsigned *others = reads ? &pipe->writers : &pipe->readers;
    const unsigned *opens = reads ? &pipe->writer_opens : &pipe->reader_opens;
    unsigned before = *opens;
    int error = 0;

    while (!error && *others == 0 && *opens == before)
        error = wait_on(&pipe->opening, WAIT_NO_END);
    return error;
}

int vfs_open_fifo(struct vnode *node, int flags, struct file **opened)
{
    struct pipe *pipe = pipe_of(node);
    bool both = (flags & FILE_ACCESS) == O_RDWR;
    int error = 0;

    if (!pipe)
        return -ENOMEM;
    if ((flags & FILE_ACCESS) == O_WRONLY && flags & O_NONBLOCK &&
        pipe->readers == 0) {
        if (!pipe->ends)
            pipe_free(pipe);
        return -ENXIO;
    }
    *opened = pipe_open_end(pipe, flags);
    if (!*opened) {
        if (!pipe->ends)
            pipe_free(pipe);
        return -ENOMEM;
    }
    wait_wake(&pipe->opening, 0, WAIT_ALL);
    if (!both && !(flags & O_NONBLOCK))
        error = await_other(pipe, *opened);
    if (error)
        file_put(*opened);
    return error;
}
