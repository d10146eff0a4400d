/* SPDX-License-Identifier: MIT */
/* lseek. */
#include "guest_rt/file.h"
#include "guest_rt/syscalls.h"

/* In every image: rather small than fast. */
#pragma GCC optimize("Os")

long __mayfly_sys_lseek(long fd, long offset, long whence)
{
    struct file *file = file_begin(fd);

    if (!file)
        return -EBADF;
    return file_end(file, file->ops->seek
                              ? file->ops->seek(file, offset, (int)whence)
                              : -ESPIPE);
}
