/* SPDX-License-Identifier: MIT */
/* Files on disks as nodes of the virtual file system. */
#ifndef GUEST_RT_EXT4_GUEST_NODE_H
#define GUEST_RT_EXT4_GUEST_NODE_H

#include "guest_rt/ext4/ext4.h"
#include "guest_rt/vfs.h"

extern const struct vnode_ops guest_node_ops;

/*
 * The node of a file, with a reference for the caller; takes over one of the
 * inode's. Returns NULL if there is no memory.
 */
struct vnode *guest_node(struct vfs *fs, struct ext4_inode *inode);

/* The file system that a node is in (guest_mount.c). */
struct ext4_fs *guest_fs_of(const struct vnode *node);

#endif
