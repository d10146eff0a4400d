/* SPDX-License-Identifier: MIT */
/* /proc. */
#include "guest_rt/vfs.h"
#include "guest_rt/vfs_parts.h"

struct vnode *proc_create_root(void)
{
    return NULL;
}
