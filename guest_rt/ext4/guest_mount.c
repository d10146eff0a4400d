/* SPDX-License-Identifier: MIT */
/* Mounting the disks that the monitor was told to: --disk FILE,mount=PATH. */
#include <errno.h>
#include <string.h>

#include "guest_rt/ext4/arena.h"
#include "guest_rt/ext4/guest.h"
#include "guest_rt/ext4/guest_node.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/option.h"
#include "guest_rt/poll.h"
#include "guest_rt/runtime.h"

/* The cache may take this part of the memory that is free at the start. */
#define CACHE_SHARE 4u

#define CACHE_MOST (256u << 20)

struct mounted {
    struct vfs vfs;
    struct ext4_disk *disk;
    struct ext4_fs *fs;
    struct mounted *next;
};

static struct mounted *all;

struct ext4_fs *guest_fs_of(const struct vnode *node)
{
    return ((struct mounted *)(void *)node->fs)->fs;
}

static size_t cache_bytes(void)
{
    uint64_t bytes = mf_memory_free_bytes() / CACHE_SHARE;

    return bytes < CACHE_MOST ? (size_t)bytes : CACHE_MOST;
}

static int mount_root(struct mounted *mounted, const char *path)
{
    struct ext4_inode *inode;
    struct vnode *root;
    int error = ext4_get(mounted->fs, EXT4_ROOT, &inode);

    if (error)
        return error;
    root = guest_node(&mounted->vfs, inode);
    if (!root)
        return -ENOMEM;
    error = vfs_mount(path, root);
    if (error)
        vnode_put(root);
    return error;
}

/* ---- Commits that nobody asked for -------------------------------------- */

static uint64_t (*other_before_sleep)(uint64_t deadline_ns);

/* Whoever is idle waits for the disk itself: there may be no other thread. */
static void commit_idle(struct ext4_fs *fs)
{
    bool alone = poll_alone;

    poll_alone = true;
    ext4_sync(fs);
    poll_alone = alone;
}

/*
 * What was changed is committed by the first call after some seconds; if the
 * program sleeps, here.
 */
static uint64_t commit_before_sleep(uint64_t deadline_ns)
{
    if (other_before_sleep)
        deadline_ns = other_before_sleep(deadline_ns);
    for (struct mounted *mounted = all; mounted; mounted = mounted->next) {
        uint64_t due_ns = ext4_commit_ns(mounted->fs);

        if (!due_ns || guest_disk_is_locked(mounted->disk))
            continue;
        if (due_ns <= mf_clock_monotonic())
            commit_idle(mounted->fs);
        else if (due_ns < deadline_ns)
            deadline_ns = due_ns;
    }
    return deadline_ns;
}

static void watch_sleep(void)
{
    static bool watching;

    if (watching)
        return;
    watching = true;
    other_before_sleep = mf_before_sleep;
    mf_before_sleep = commit_before_sleep;
}

/* ---- Mounting ----------------------------------------------------------- */

static int mount_disk(unsigned index, const char *path)
{
    struct mounted *mounted = ext4_arena_alloc_zeroed(1, sizeof(*mounted));
    int error;

    if (!mounted)
        return -ENOMEM;
    error = guest_disk_open(index, &mounted->disk);
    if (!error)
        error = ext4_mount(mounted->disk, false, cache_bytes(), &mounted->fs);
    if (error)
        return error;
    mounted->vfs.type = "ext4";
    mounted->vfs.source = "disk";
    mounted->vfs.read_only = mounted->disk->read_only;
    mounted->next = all;
    all = mounted;
    watch_sleep();
    return mount_root(mounted, path);
}

/* A program that was promised a disk does not run without it. */
static _Noreturn void fail(const char *option, int error)
{
    const char *why = strerror(-error);
    char line[512] = "cannot mount=";
    size_t room = sizeof(line) - strlen(line) - strlen(why) - 3;

    strncat(line, option, room);
    strcat(line, ": ");
    strcat(line, why);
    ext4_say(line);
    mf_exit(1);
}

/* Options are "mount=N:/PATH": disk N. */
void vfs_start_disks(void)
{
    const char *option;

    for (unsigned i = 0; (option = option_get("mount", i)); i++) {
        const char *at = option;
        unsigned index = 0;
        int error;

        while (*at >= '0' && *at <= '9')
            index = index * 10 + (unsigned)(*at++ - '0');
        error = *at == ':' ? mount_disk(index, at + 1) : -EINVAL;
        if (error)
            fail(option, error);
    }
}

/*
 * The end of the VM is that of the machine: what was written is on the disk
 * then, and the file system is left clean.
 */
void mf_before_exit(void)
{
    bool inside = source_begin_exit && source_begin_exit();

    mf_lock();
    /* No other thread goes on, unless it has the disk. */
    poll_alone = true;
    while (all) {
        struct mounted *mounted = all;

        all = mounted->next;
        if (!guest_disk_is_locked(mounted->disk) || (mutex_wait && !inside))
            ext4_unmount(mounted->fs);
    }
    mf_unlock();
}
