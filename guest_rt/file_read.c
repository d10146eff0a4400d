/* SPDX-License-Identifier: MIT */
/* Reading from a descriptor. */
#include <fcntl.h>

#include "guest_rt/console.h"
#include "guest_rt/file.h"
#include "guest_rt/syscalls.h"

FILE_NEEDS(console_read);

static long read_vector(struct file *file, const struct iovec *iov, long count)
{
    long result;

    if (!file_can_read(file))
        return -EBADF;
    result = file_check_room(iov, count);
    if (result < 0)
        return result;
    return file_move_pieces(file->ops->read, file, iov, count, FILE_HERE, true);
}

long __mayfly_sys_readv(long fd, long vector, long count)
{
    const struct iovec *iov = (const struct iovec *)vector;
    struct file *file;
    long result;

    do {
        file = file_begin(fd);
        if (!file)
            return -EBADF;
        result = file_end(file, read_vector(file, iov, count));
    } while (result == -EINTR && sched_restart && sched_restart());
    return result;
}

long __mayfly_sys_read(long fd, long buffer, long bytes)
{
    struct iovec whole = {(void *)buffer, (size_t)bytes};

    return __mayfly_sys_readv(fd, (long)&whole, 1);
}
