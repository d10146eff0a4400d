/* SPDX-License-Identifier: MIT */
/* memfd_create: a file in memory without a name. */
#include <string.h>
#include <sys/mman.h>

#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

#define NAME_BYTES_MAX 249 /* as Linux */

static long create(const char *name, unsigned flags)
{
    struct vnode *node;
    struct file *file;
    int error = vfs_start();

    if (error)
        return error;
    if (flags & ~(unsigned)(MFD_CLOEXEC | MFD_ALLOW_SEALING))
        return -EINVAL;
    if (!user_can_read_string(name, NAME_BYTES_MAX + 1))
        return -EFAULT;
    if (strnlen(name, NAME_BYTES_MAX + 1) > NAME_BYTES_MAX)
        return -EINVAL;
    error = vfs_root->ops->create(vfs_root, NULL, S_IFREG | 0777, 0, &node);
    if (error)
        return error;
    error = vfs_open_node(node, O_RDWR, &file);
    vnode_put(node);
    return error ? error : file_install(file, 0, flags & MFD_CLOEXEC);
}

long __mayfly_sys_memfd_create(long name, long flags)
{
    return FILE_CALL(create((const char *)name, (unsigned)flags));
}
