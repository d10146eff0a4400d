/* SPDX-License-Identifier: MIT */
/* ioctl, and what of it is not about the kind of file. */
#include <fcntl.h>
#include <sys/ioctl.h>

#include "guest_rt/file.h"
#include "guest_rt/syscalls.h"

/* In every image: rather small than fast. */
#pragma GCC optimize("Os")

static long set_nonblocking(struct file *file, const int *on)
{
    int flags = file->flags & ~O_NONBLOCK, error = 0;

    if (!user_can_read(on, sizeof(*on)))
        return -EFAULT;
    if (*on)
        flags |= O_NONBLOCK;
    if (file->ops->set_flags)
        error = file->ops->set_flags(file, flags);
    if (!error)
        file->flags = flags;
    return error;
}

static long control(struct file *file, long fd, unsigned request, long argument)
{
    switch (request) {
    case FIOCLEX:
    case FIONCLEX:
        file_table.entries[fd].close_on_exec = request == FIOCLEX;
        return 0;
    case FIONBIO:
        return set_nonblocking(file, (const int *)argument);
    default:
        return file->ops->ioctl ? file->ops->ioctl(file, request, argument)
                                : -ENOTTY;
    }
}

long __mayfly_sys_ioctl(long fd, long request, long argument)
{
    struct file *file = file_begin(fd);

    if (!file)
        return -EBADF;
    return file_end(file, control(file, fd, (unsigned)request, argument));
}
