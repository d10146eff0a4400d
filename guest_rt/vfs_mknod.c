/* SPDX-License-Identifier: MIT */
/* mknod: FIFOs come with it. */
#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

FILE_NEEDS(vfs_open_fifo);

long __mayfly_sys_mknodat(long fd, long path, long mode, long device)
{
    mode_t type = (mode_t)mode & S_IFMT;

    if (!type)
        type = S_IFREG;
    if (S_ISDIR(type))
        return -EPERM;
    if (!S_ISREG(type) && !S_ISFIFO(type) && !S_ISSOCK(type) &&
        !S_ISCHR(type) && !S_ISBLK(type))
        return -EINVAL;
    return FILE_CALL(vfs_make_at(fd, (const char *)path,
                                 type | ((mode_t)mode & 07777 & ~vfs_umask),
                                 (dev_t)device, NULL));
}

long __mayfly_sys_mknod(long path, long mode, long device)
{
    return __mayfly_sys_mknodat(AT_FDCWD, path, mode, device);
}
