/* SPDX-License-Identifier: MIT */
/* From one descriptor to another: sendfile, copy_file_range. */
#include <sys/stat.h>

#include "guest_rt/file.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"

#define BUFFER_BYTES 65536ul
#define COPY_MOST    0x7ffff000l /* as one read or write */

/* The two ends of a copy. */
struct copy {
    struct file *in, *out;
    off_t *in_offset, *out_offset; /* the program's, or NULL: the file's own */
    off_t in_at, out_at;           /* where the program's are from then on */
    size_t bytes;
    char *buffer;
};

/* The offset to hand to a file's function. */
static off_t at(const off_t *offset)
{
    return offset ? *offset : FILE_HERE;
}

static void advance(off_t *offset, long bytes)
{
    if (offset)
        *offset += bytes;
}

/* What was read and not written is read again the next time. */
static void take_back(struct copy *copy, long bytes)
{
    if (copy->in_offset)
        *copy->in_offset -= bytes;
    else if (copy->in->ops->seek)
        copy->in->offset -= bytes;
}

/* Copies what fits into the buffer. Returns how much, or -errno. */
static long copy_some(struct copy *copy, size_t bytes)
{
    struct iovec piece = {copy->buffer, bytes};
    long got = copy->in->ops->read(copy->in, &piece, 1, at(copy->in_offset));
    long put;

    if (got <= 0)
        return got;
    advance(copy->in_offset, got);
    piece.iov_len = (size_t)got;
    put = copy->out->ops->write(copy->out, &piece, 1, at(copy->out_offset));
    if (put < got)
        take_back(copy, got - (put > 0 ? put : 0));
    if (put > 0)
        advance(copy->out_offset, put);
    return put;
}

static long copy_all(struct copy *copy)
{
    size_t left = copy->bytes < COPY_MOST ? copy->bytes : COPY_MOST;
    long total = 0, moved = 0;

    copy->buffer = mf_pages_alloc(BUFFER_BYTES);
    if (!copy->buffer)
        return -ENOMEM;
    while (left > 0) {
        size_t part = left < BUFFER_BYTES ? left : BUFFER_BYTES;

        moved = copy_some(copy, part);
        if (moved <= 0)
            break;
        total += moved;
        left -= (size_t)moved;
        if ((size_t)moved < part)
            break;
    }
    mf_pages_free(copy->buffer, BUFFER_BYTES);
    return total ? total : moved;
}

/* The files may wait; only before and after that the program's are there. */
static int take_offsets(struct copy *copy)
{
    if ((copy->in_offset && USER_GET(copy->in_at, copy->in_offset)) ||
        (copy->out_offset && USER_GET(copy->out_at, copy->out_offset)))
        return -EFAULT;
    return 0;
}

/* Copies, and tells how far. */
static long copy_and_tell(struct copy *copy)
{
    off_t *in = copy->in_offset, *out = copy->out_offset;
    long result;

    copy->in_offset = in ? &copy->in_at : NULL;
    copy->out_offset = out ? &copy->out_at : NULL;
    result = copy_all(copy);
    if ((in && USER_PUT(in, copy->in_at)) ||
        (out && USER_PUT(out, copy->out_at)))
        return -EFAULT;
    return result;
}

/* What both calls check. */
static long check_copy(struct copy *copy)
{
    if (!copy->in || !copy->out || !file_can_read(copy->in) ||
        !file_can_write(copy->out))
        return -EBADF;
    if (take_offsets(copy))
        return -EFAULT;
    if ((copy->in_offset && !copy->in->ops->seek) ||
        (copy->out_offset && !copy->out->ops->seek))
        return -ESPIPE;
    if ((copy->in_offset && copy->in_at < 0) ||
        (copy->out_offset && copy->out_at < 0) || !copy->in->ops->read ||
        !copy->out->ops->write)
        return -EINVAL;
    return 0;
}

static void put_files(const struct copy *copy)
{
    if (copy->in)
        file_put(copy->in);
    if (copy->out)
        file_put(copy->out);
}

/* ---- sendfile ----------------------------------------------------------- */

static long send_file(long out, long in, off_t *offset, size_t bytes)
{
    struct copy copy = {
        .in = file_get(in),
        .out = file_get(out),
        .in_offset = offset,
        .bytes = bytes,
    };
    long result = check_copy(&copy);

    if (!result && copy.out->flags & O_APPEND)
        result = -EINVAL;
    if (!result)
        result = copy_and_tell(&copy);
    put_files(&copy);
    return result;
}

long __mayfly_sys_sendfile(long out, long in, long offset, long bytes)
{
    return FILE_CALL(send_file(out, in, (off_t *)offset, (size_t)bytes));
}

/* ---- copy_file_range ---------------------------------------------------- */

static long check_regular(const struct copy *copy)
{
    const struct vnode *in = copy->in->node, *out = copy->out->node;

    if ((in && S_ISDIR(in->type)) || (out && S_ISDIR(out->type)))
        return -EISDIR;
    if (!in || !out || !S_ISREG(in->type) || !S_ISREG(out->type))
        return -EINVAL;
    return copy->out->flags & O_APPEND ? -EBADF : 0;
}

/* Ranges of one file must not overlap. */
static bool ranges_overlap(const struct copy *copy)
{
    off_t in = copy->in_offset ? copy->in_at : copy->in->offset;
    off_t out = copy->out_offset ? copy->out_at : copy->out->offset;
    off_t distance = in < out ? out - in : in - out;

    return copy->in->node == copy->out->node && (size_t)distance < copy->bytes;
}

static long copy_range(long in, off_t *in_offset, long out, off_t *out_offset,
                       size_t bytes)
{
    struct copy copy = {
        .in = file_get(in),
        .out = file_get(out),
        .in_offset = in_offset,
        .out_offset = out_offset,
        .bytes = bytes,
    };
    long result = check_copy(&copy);

    if (copy.in && copy.out && (!result || result == -EINVAL)) {
        long kind = check_regular(&copy);

        result = kind ? kind : result;
    }
    if (!result && ranges_overlap(&copy))
        result = -EINVAL;
    if (!result)
        result = copy_and_tell(&copy);
    put_files(&copy);
    return result;
}

long __mayfly_sys_copy_file_range(long in, long in_offset, long out,
                                  long out_offset, long bytes, long flags)
{
    if (flags)
        return -EINVAL;
    return FILE_CALL(copy_range(in, (off_t *)in_offset, out,
                                (off_t *)out_offset, (size_t)bytes));
}
