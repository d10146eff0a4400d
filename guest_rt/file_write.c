/* SPDX-License-Identifier: MIT */
/* Writing to a descriptor. */
#include <fcntl.h>

#include "guest_rt/file.h"
#include "guest_rt/syscalls.h"

/* In every image: rather small than fast. */
#pragma GCC optimize("Os")

static long write_vector(struct file *file, const struct iovec *iov, long count)
{
    long result;

    if (!file_can_write(file))
        return -EBADF;
    result = file_check_vector(iov, count);
    if (result < 0)
        return result;
    return file_move_pieces(file->ops->write, file, iov, count, FILE_HERE,
                            false);
}

long __mayfly_sys_writev(long fd, long vector, long count)
{
    const struct iovec *iov = (const struct iovec *)vector;
    struct file *file;
    long result;

    do {
        file = file_begin(fd);
        if (!file)
            return -EBADF;
        result = file_end(file, write_vector(file, iov, count));
    } while (result == -EINTR && sched_restart && sched_restart());
    return result;
}

long __mayfly_sys_write(long fd, long buffer, long bytes)
{
    struct iovec whole = {(void *)buffer, (size_t)bytes};

    return __mayfly_sys_writev(fd, (long)&whole, 1);
}
