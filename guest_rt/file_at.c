/* SPDX-License-Identifier: MIT */
/* Reading and writing at an offset. */
#include "guest_rt/file.h"
#include "guest_rt/syscalls.h"

/* RWF_*: preadv2's and pwritev2's flags that change nothing here. */
#define FLAG_HIPRI 1
#define FLAG_DSYNC 2
#define FLAG_SYNC  4

#define OFFSET_HERE (-1) /* of preadv2 and pwritev2: as readv and writev */

/* Returns 0, or what is wrong with such a call. */
static long check_offset(const struct file *file, off_t offset)
{
    if (offset < 0)
        return -EINVAL;
    return file->ops->seek ? 0 : -ESPIPE;
}

static long read_at(long fd, const struct iovec *iov, long count, off_t offset)
{
    struct file *file = file_get_io(fd);
    long result;

    if (!file)
        return -EBADF;
    result = check_offset(file, offset);
    if (!result && !file_can_read(file))
        result = -EBADF;
    if (!result)
        result = file_check_room(iov, count);
    if (result >= 0)
        result =
            file_move_pieces(file->ops->read, file, iov, count, offset, true);
    file_put(file);
    return result;
}

static long write_at(long fd, const struct iovec *iov, long count, off_t offset)
{
    struct file *file = file_get_io(fd);
    long result;

    if (!file)
        return -EBADF;
    result = check_offset(file, offset);
    if (!result && !file_can_write(file))
        result = -EBADF;
    if (!result)
        result = file_check_vector(iov, count);
    if (result >= 0)
        result =
            file_move_pieces(file->ops->write, file, iov, count, offset, false);
    file_put(file);
    return result;
}

/* On 64 bits the high half of the offset is not looked at. */
long __mayfly_sys_preadv(long fd, long vector, long count, long offset,
                         long high)
{
    (void)high;
    return FILE_CALL(read_at(fd, (const struct iovec *)vector, count, offset));
}

long __mayfly_sys_pwritev(long fd, long vector, long count, long offset,
                          long high)
{
    (void)high;
    return FILE_CALL(write_at(fd, (const struct iovec *)vector, count, offset));
}

long __mayfly_sys_pread64(long fd, long buffer, long bytes, long offset)
{
    struct iovec whole = {(void *)buffer, (size_t)bytes};

    return __mayfly_sys_preadv(fd, (long)&whole, 1, offset, 0);
}

long __mayfly_sys_pwrite64(long fd, long buffer, long bytes, long offset)
{
    struct iovec whole = {(void *)buffer, (size_t)bytes};

    return __mayfly_sys_pwritev(fd, (long)&whole, 1, offset, 0);
}

long __mayfly_sys_preadv2(long fd, long vector, long count, long offset,
                          long high, long flags)
{
    if (flags & ~(long)FLAG_HIPRI)
        return -EOPNOTSUPP;
    if (offset == OFFSET_HERE)
        return __mayfly_sys_readv(fd, vector, count);
    return __mayfly_sys_preadv(fd, vector, count, offset, high);
}

long __mayfly_sys_pwritev2(long fd, long vector, long count, long offset,
                           long high, long flags)
{
    long result;

    if (flags & ~(long)(FLAG_HIPRI | FLAG_DSYNC | FLAG_SYNC))
        return -EOPNOTSUPP;
    result = offset == OFFSET_HERE
                 ? __mayfly_sys_writev(fd, vector, count)
                 : __mayfly_sys_pwritev(fd, vector, count, offset, high);
    if (result > 0 && flags & (FLAG_DSYNC | FLAG_SYNC)) {
        long error = __mayfly_sys_fdatasync(fd);

        if (error)
            return error;
    }
    return result;
}
