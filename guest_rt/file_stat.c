/* SPDX-License-Identifier: MIT */
/* fstat. */
#include "guest_rt/console.h"
#include "guest_rt/file.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"

#pragma weak vnode_stat

FILE_NEEDS(console_stat);

int file_stat(struct file *file, struct stat *stat)
{
    if (file->ops->stat)
        return file->ops->stat(file, stat);
    if (file->node && vnode_stat)
        return vnode_stat(file->node, stat);
    return 0;
}

static long stat_file(long fd, struct stat *result)
{
    struct file *file = file_get(fd);
    struct stat stat = {0};
    int error;

    if (!file)
        return -EBADF;
    error = file_stat(file, &stat);
    file_put(file);
    if (!error && !user_can_write(result, sizeof(*result)))
        error = -EFAULT;
    if (!error)
        *result = stat;
    return error;
}

long __mayfly_sys_fstat(long fd, long result)
{
    return FILE_CALL(stat_file(fd, (struct stat *)result));
}
