/* SPDX-License-Identifier: MIT */
/* The devices in /dev. */
#include <string.h>
#include <sys/mman.h>

#include "guest_rt/console.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"

/* ---- null, zero, full, random ------------------------------------------- */

static long read_nothing(struct file *file, const struct iovec *iov, int count,
                         off_t offset)
{
    (void)file;
    (void)iov;
    (void)count;
    (void)offset;
    return 0;
}

static long write_nowhere(struct file *file, const struct iovec *iov, int count,
                          off_t offset)
{
    long total = 0;

    (void)file;
    (void)offset;
    for (int i = 0; i < count; i++)
        total += (long)iov[i].iov_len;
    return total;
}

static long read_zeroes(struct file *file, const struct iovec *iov, int count,
                        off_t offset)
{
    for (int i = 0; i < count; i++)
        memset(iov[i].iov_base, 0, iov[i].iov_len);
    return write_nowhere(file, iov, count, offset);
}

static long write_full(struct file *file, const struct iovec *iov, int count,
                       off_t offset)
{
    return write_nowhere(file, iov, count, offset) ? -ENOSPC : 0;
}

static long read_random(struct file *file, const struct iovec *iov, int count,
                        off_t offset)
{
    for (int i = 0; i < count; i++)
        mf_random_fill(iov[i].iov_base, iov[i].iov_len);
    return write_nowhere(file, iov, count, offset);
}

/* A position means nothing to them. */
static long seek_nowhere(struct file *file, off_t offset, int whence)
{
    (void)file;
    (void)offset;
    (void)whence;
    return 0;
}

/* Of /dev/zero: memory of its own. */
static long map_zeroes(struct file *file, void *address, size_t bytes,
                       int protection, int flags, off_t offset)
{
    (void)file;
    (void)offset;
    return __mayfly_sys_mmap((long)address, (long)bytes, protection,
                             flags | MAP_ANONYMOUS, -1, 0);
}

static const struct file_ops null_ops = {
    .read = read_nothing,
    .write = write_nowhere,
    .seek = seek_nowhere,
};
static const struct file_ops zero_ops = {
    .read = read_zeroes,
    .write = write_nowhere,
    .seek = seek_nowhere,
    .map = map_zeroes,
};
static const struct file_ops full_ops = {
    .read = read_zeroes,
    .write = write_full,
    .seek = seek_nowhere,
};
static const struct file_ops random_ops = {
    .read = read_random,
    .write = write_nowhere,
    .seek = seek_nowhere,
};

/* ---- The console -------------------------------------------------------- */

static long read_tty(struct file *file, const struct iovec *iov, int count,
                     off_t offset)
{
    return console_read(file, iov, count, offset);
}

static long write_tty(struct file *file, const struct iovec *iov, int count,
                      off_t offset)
{
    (void)file;
    (void)offset;
    return console_writev(1, iov, count);
}

static const struct file_ops tty_ops = {
    .read = read_tty,
    .write = write_tty,
    .poll = console_poll,
    .ioctl = console_ioctl,
};

/* ---- By number ---------------------------------------------------------- */

/* makedev() as a constant, for numbers below 256. */
#define DEVICE(major, minor) ((major) << 8 | (minor))

static const struct file_ops *ops_of(dev_t device)
{
    switch (device) {
    case DEVICE(1, 3):
        return &null_ops;
    case DEVICE(1, 5):
        return &zero_ops;
    case DEVICE(1, 7):
        return &full_ops;
    case DEVICE(1, 8):
    case DEVICE(1, 9):
        return &random_ops;
    case DEVICE(5, 0):
        return console_is_tty(0) || console_is_tty(1) ? &tty_ops : NULL;
    case DEVICE(5, 1):
        return &tty_ops;
    default:
        return NULL;
    }
}

int vfs_open_device(struct vnode *node, int flags, struct file **opened)
{
    const struct file_ops *ops =
        S_ISCHR(node->type) ? ops_of(node->device) : NULL;

    if (!ops)
        return -ENXIO;
    *opened = file_create(ops, NULL, flags);
    return *opened ? 0 : -ENOMEM;
}
