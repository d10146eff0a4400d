/* SPDX-License-Identifier: MIT */
/* Descriptors and open files. */
#ifndef GUEST_RT_FILE_H
#define GUEST_RT_FILE_H

/*
 * A descriptor is an index in the table of file.c; what is there is an open
 * file (POSIX: an open file description), which several descriptors may share.
 * Each kind of file (console, pipe, socket, file of a file system, ...) is a
 * set of functions; a program contains the kinds that it can open.
 *
 * All of this runs with the runtime's lock held (sched.h). System calls get
 * their file by file_get(), which keeps it alive until file_put() even if
 * another thread closes the descriptor meanwhile.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "sched.h"

struct stat;
struct file;

/* offset argument of read and write: where the file is, moving on from there */
#define FILE_HERE ((off_t)-1)

/*
 * What a kind of file can do. NULL means what is said in brackets. Results are
 * as those of the system calls: 0 or more, or -errno. The vectors have been
 * checked: their sizes do not overflow, and there are at most IOV_MAX.
 */
struct file_ops {
    /* Blocks unless O_NONBLOCK; 0 is the end. [-EINVAL] */
    long (*read)(struct file *file, const struct iovec *iov, int count,
                 off_t offset);
    /* [-EINVAL] */
    long (*write)(struct file *file, const struct iovec *iov, int count,
                  off_t offset);
    /* [-ESPIPE] */
    long (*seek)(struct file *file, off_t offset, int whence);
    /* Fills the kernel's struct stat, which is zeroed. [all zero] */
    int (*stat)(struct file *file, struct stat *stat);
    /* EPOLLIN, EPOLLOUT, EPOLLHUP, ... that hold now. [IN and OUT] */
    uint32_t (*poll)(struct file *file);
    /* [-ENOTTY] */
    long (*ioctl)(struct file *file, unsigned request, long argument);
    /* F_SETFL changed flags; may refuse. [fine] */
    int (*set_flags)(struct file *file, int flags);
    /* fsync and fdatasync. [-EINVAL] */
    int (*sync)(struct file *file, bool data_only);
    /* ftruncate. [-EINVAL] */
    int (*truncate)(struct file *file, off_t bytes);
    /* getdents64. [-ENOTDIR] */
    long (*read_dir)(struct file *file, void *buffer, size_t bytes);
    /*
     * Maps [offset, offset + bytes); returns the address. [-ENODEV] For
     * MAP_PRIVATE, mmap reads the file into anonymous memory if this is NULL.
     */
    long (*map)(struct file *file, void *address, size_t bytes, int protection,
                int flags, off_t offset);
    /* The last descriptor is gone: frees what is behind the file. [nothing] */
    void (*release)(struct file *file);
};

struct file {
    const struct file_ops *ops;
    void *data;             /* the kind's own */
    int flags;              /* O_ACCMODE, O_APPEND, O_NONBLOCK, O_PATH, ... */
    unsigned references;    /* descriptors, and calls under way */
    off_t offset;           /* of files that can seek */
    struct wait_queue wait; /* told when what poll() says may have changed */
    const void *node;       /* the vnode (vfs.h) that it was opened from */
};

/*
 * Makes an open file with one reference, which file_install() takes over.
 * Returns NULL if there is no memory.
 */
struct file *file_create(const struct file_ops *ops, void *data, int flags);

/*
 * Puts it into the lowest free descriptor from `least` on, with FD_CLOEXEC if
 * `close_on_exec`. Takes the reference over, failed or not. Returns the
 * descriptor, or -EMFILE.
 */
long file_install(struct file *file, int least, bool close_on_exec);

/* The open file of a descriptor, with a reference more, or NULL: -EBADF. */
struct file *file_get(long fd);

/* Gives a reference back; the last one releases the file. */
void file_put(struct file *file);

/*
 * Waits, for a file's read or write that has nothing to do yet, until `wait`
 * is told. Returns 0 to try again, -EAGAIN for O_NONBLOCK, or -EINTR.
 */
int file_block(struct file *file);

/* Says that what poll() returns has changed to include these events. */
static inline void file_wake(struct file *file, uint32_t events)
{
    wait_wake(&file->wait, events, WAIT_ALL);
}

#endif
