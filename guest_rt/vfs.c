/* SPDX-License-Identifier: MIT */
/* Nodes and mounted file systems. */
#include "guest_rt/vfs.h"

#include <string.h>

#include "guest_rt/option.h"
#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/vfs_parts.h"

#pragma weak sched_current

mode_t vfs_umask = 022;

struct vnode *vfs_root, *vfs_directory;

static struct vfs *mounted;
static dev_t next_device = 0x10;

/* ---- Nodes -------------------------------------------------------------- */

void vnode_put(struct vnode *node)
{
    while (node && --node->references == 0) {
        struct vnode *parent = node->parent;

        node->references = 1; /* for what the functions do with it */
        if (node->special)
            node->special_gone(node);
        if (node->name)
            pool_free(node->name, strlen(node->name) + 1);
        node->parent = NULL;
        node->name = NULL;
        node->references = 0;
        if (node->ops->release)
            node->ops->release(node);
        node = parent;
    }
}

void vnode_adopt(struct vnode *directory, const char *name, struct vnode *node)
{
    struct vnode *old = NULL;

    if (node == node->fs->root)
        return;
    if (node->parent != directory) {
        old = node->parent;
        node->parent = vnode_get(directory);
    }
    if (!node->name || strcmp(node->name, name) != 0) {
        if (node->name)
            pool_free(node->name, strlen(node->name) + 1);
        node->name = pool_copy_string(name, strlen(name));
    }
    vnode_put(old); /* which may wait for a disk */
}

int vnode_stat(struct vnode *node, struct stat *stat)
{
    int error = node->ops->stat ? node->ops->stat(node, stat) : 0;

    stat->st_dev = node->fs->device;
    return error;
}

int vnode_set(struct vnode *node, const struct vfs_change *change)
{
    if (node->fs->read_only)
        return -EROFS;
    return node->ops->set ? node->ops->set(node, change) : -EPERM;
}

/* ---- Mounting ----------------------------------------------------------- */

struct vfs *vfs_first(void)
{
    return mounted;
}

/* Appends to the list, which begins with the root. */
static void add_mounted(struct vnode *root)
{
    struct vfs **last = &mounted;

    while (*last)
        last = &(*last)->next;
    *last = root->fs;
    root->fs->next = NULL;
    root->fs->root = root;
    if (!root->fs->device)
        root->fs->device = next_device++;
}

static int mount_on(struct vnode *point, struct vnode *root)
{
    char *name;

    if (!S_ISDIR(point->type) || !S_ISDIR(root->type))
        return -ENOTDIR;
    if (point->mounted || point == vfs_root || root->fs->root)
        return -EBUSY;
    name = pool_copy_string(point->name, strlen(point->name));
    if (!name)
        return -ENOMEM;
    add_mounted(root);
    root->fs->covers = point;
    root->parent = vnode_get(point->parent);
    root->name = name;
    point->mounted = root;
    return 0;
}

int vfs_mount(const char *path, struct vnode *root)
{
    struct vnode *point;
    int error = vfs_make_directories(path, 0755);

    if (!error)
        error = vfs_lookup(NULL, path, true, &point);
    if (error)
        return error;
    error = mount_on(point, root);
    if (error)
        vnode_put(point);
    return error;
}

/* ---- Start -------------------------------------------------------------- */

static _Noreturn void refuse_mount(void)
{
    static const char text[] =
        "mayfly: the image cannot mount disks: link it with mayfly-cc --ext4\n";

    __mayfly_sys_write(2, (long)text, sizeof(text) - 1);
    mf_exit(1);
}

static void start(void)
{
    vfs_root = tmpfs_create_root();
    if (!vfs_root)
        return;
    add_mounted(vfs_root);
    vfs_directory = vnode_get(vfs_root);
    vfs_start_tree();
    vfs_start_archive();
    if (vfs_start_disks)
        vfs_start_disks();
    else if (option_get("mount", 0))
        refuse_mount();
    vfs_start_shares();
    if (vfs_start_network)
        vfs_start_network();
}

/* Another thread that comes while one of the hooks blocks waits for it. */
int vfs_start(void)
{
    static struct mutex starting;
    static bool begun, done;
    static struct thread *starter;

    if (done && vfs_follow_network)
        vfs_follow_network();
    if (done || (begun && (!sched_current || sched_current() == starter)))
        return vfs_root ? 0 : -ENOMEM;
    mutex_lock(&starting);
    if (!done) {
        begun = true;
        starter = sched_current ? sched_current() : NULL;
        start();
        done = true;
    }
    mutex_unlock(&starting);
    return vfs_root ? 0 : -ENOMEM;
}
