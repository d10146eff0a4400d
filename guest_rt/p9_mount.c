/* SPDX-License-Identifier: MIT */
/* Directories of the host: mounting them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_ids.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/option.h"
#include "guest_rt/p9.h"
#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"

/* 1 MiB of data, and what a message has beside it. */
#define MSIZE_WANTED 0x101000u
#define MSIZE_LEAST  4096u

/* A request and its answer have this many pieces at most. */
#define RING_LEAST (P9_PIECES_MAX + 2)

#define TAG_BYTES_MAX 32u

/* ---- Sessions ------------------------------------------------------------ */

static int agree_on_version(struct p9_fs *fs, struct p9_message *message)
{
    int error;

    p9_begin(message, P9_VERSION, P9_ANSWER(4 + 2 + 8));
    p9_put(message, MSIZE_WANTED, 4);
    p9_put_name(message, P9_VERSION_NAME);
    error = p9_call(fs, message);
    if (error)
        return error;
    fs->msize = (uint32_t)p9_next(message, 4);
    if (fs->msize < MSIZE_LEAST || fs->msize > MSIZE_WANTED ||
        p9_next(message, 2) != 8 ||
        memcmp(message->in + message->taken, P9_VERSION_NAME, 8) != 0)
        return -EPROTONOSUPPORT;
    fs->io_bytes = (fs->msize - P9_WRITE_BYTES) & ~4095u;
    if (fs->io_bytes == 0)
        fs->io_bytes = fs->msize - P9_WRITE_BYTES;
    return 0;
}

/* Returns the root, with a reference. */
static int attach(struct p9_fs *fs, struct p9_message *message,
                  struct vnode **root)
{
    uint32_t fid = p9_new_fid(fs);
    struct stat stat = {0};
    int error;

    p9_begin_about(message, P9_ATTACH, fid, P9_ANSWER(P9_QID_BYTES));
    p9_put(message, P9_NO_FID, 4);
    p9_put_name(message, "root");
    p9_put_name(message, "");
    p9_put(message, 0, 4);
    error = p9_call(fs, message);
    if (!error) {
        p9_begin_getattr(message, fid);
        error = p9_call(fs, message);
    }
    if (error)
        return error;
    p9_take_attributes(message, &stat);

    *root = p9_find_node(fs, fid, stat.st_ino, stat.st_mode, 0);
    return *root ? 0 : -ENOMEM;
}

static int start_session(struct p9_fs *fs, struct vnode **root)
{
    struct p9_message *message;
    int error;

    p9_take(fs, &message, 1);
    error = agree_on_version(fs, message);
    if (!error)
        error = attach(fs, message, root);
    p9_give(fs, &message, 1);
    return error;
}

static int open_device(struct p9_fs *fs, unsigned index)
{
    int error = device_open(&fs->device, VIRTIO_ID_9P, index,
                            UINT64_C(1) << VIRTIO_9P_MOUNT_TAG, &fs->ring, 1);

    if (!error && fs->ring.size < RING_LEAST)
        error = -EIO;
    return error;
}

/* ---- Mounting ------------------------------------------------------------ */

/* Its pages come as they are used. */
static struct p9_fs *create(bool read_only)
{
    struct p9_fs *fs = mf_pages_alloc(sizeof(*fs));

    if (!fs)
        return NULL;
    fs->slots = mf_pages_alloc(P9_SLOTS * sizeof(*fs->slots));
    fs->free_slots = P9_SLOTS;
    fs->vfs = (struct vfs){
        .read_only = read_only,
        .type = "9p",
        .source = "share",
    };
    return fs->slots ? fs : NULL;
}

static int mount_share(unsigned index, bool read_only, const char *path)
{
    struct p9_fs *fs = create(read_only);
    struct vnode *root;
    int error = fs ? open_device(fs, index) : -ENOMEM;

    if (!error)
        error = start_session(fs, &root);
    return error ? error : vfs_mount(path, root);
}

/* A program that was promised a directory does not run without it. */
static _Noreturn void fail(const char *option, int error)
{
    static const char text[] = "mayfly: cannot mount share=";
    const char *why = strerror(-error);
    const struct iovec line[] = {
        {(void *)(uintptr_t)text, sizeof(text) - 1},
        {(void *)(uintptr_t)option, strlen(option)},
        {(void *)(uintptr_t) ": ", 2},
        {(void *)(uintptr_t)why, strlen(why)},
        {(void *)(uintptr_t) "\n", 1},
    };

    __mayfly_sys_writev(2, (long)line, sizeof(line) / sizeof(line[0]));
    mf_exit(127);
}

static bool is_read_only(const char *option, const char *end)
{
    return end - option > 3 && memcmp(end - 3, ",ro", 3) == 0;
}

/* Options are "share=N:/PATH", or "share=N,ro:/PATH". */
void vfs_start_shares(void)
{
    const char *option;

    for (unsigned i = 0; (option = option_get("share", i)); i++) {
        const char *path = strchr(option, ':');
        unsigned index = 0;
        int error = -EINVAL;

        for (const char *at = option; *at >= '0' && *at <= '9'; at++)
            index = index * 10 + (unsigned)(*at - '0');
        if (path)
            error = mount_share(index, is_read_only(option, path), path + 1);
        if (error)
            fail(option, error);
    }
}
