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
 *
 * What few programs need is in files of its own and named here as weak: it is
 * called if something that the program does use has brought it along.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "sched.h"
#include "user.h"

struct stat;
struct file;
struct vnode;

/* offset argument of read and write: where the file is, moving on from there */
#define FILE_HERE ((off_t)-1)

/* Of one call, as on Linux. */
#define FILE_IOV_MAX 1024

/* Descriptors, unless RLIMIT_NOFILE says less. */
#define FILE_DESCRIPTORS_MAX 65536u

/*
 * What a kind of file can do. NULL means what is said in brackets. Results are
 * as those of the system calls: 0 or more, or -errno. The vectors have been
 * checked: their sizes do not overflow, there are at most FILE_IOV_MAX, and
 * all of it is in RAM.
 */
struct file_ops {
    /* Blocks unless O_NONBLOCK; 0 is the end. [-EINVAL] */
    long (*read)(struct file *file, const struct iovec *iov, int count,
                 off_t offset);
    /* [-EINVAL] */
    long (*write)(struct file *file, const struct iovec *iov, int count,
                  off_t offset);
    /* [-ESPIPE, of pread and pwrite too] */
    long (*seek)(struct file *file, off_t offset, int whence);
    /* Fills the kernel's struct stat, which is zeroed. [the vnode's, or 0] */
    int (*stat)(struct file *file, struct stat *stat);
    /* EPOLLIN, EPOLLOUT, EPOLLHUP, ... that hold now. [IN and OUT] */
    uint32_t (*poll)(struct file *file);
    /* [-ENOTTY] */
    long (*ioctl)(struct file *file, unsigned request, long argument);
    /* F_SETFL asks for these flags instead; may refuse. [fine] */
    int (*set_flags)(struct file *file, int flags);
    /* fsync and fdatasync. [the vnode's, or -EINVAL] */
    int (*sync)(struct file *file, bool data_only);
    /* ftruncate. [the vnode's, or -EINVAL] */
    int (*truncate)(struct file *file, off_t bytes);
    /* getdents64: whole entries from file->offset on. [-ENOTDIR] */
    long (*read_dir)(struct file *file, void *buffer, size_t bytes);
    /*
     * Maps [offset, offset + bytes); returns the address. [-ENODEV] For
     * MAP_PRIVATE, mmap reads the file into anonymous memory if this is NULL
     * or returns -ENODEV. With MAP_FIXED there is zeroed memory at `address`,
     * which becomes the file's, unless it fails.
     */
    long (*map)(struct file *file, void *address, size_t bytes, int protection,
                int flags, off_t offset);
    /*
     * Part of what map() returned is not mapped any more. munmap calls it, and
     * holds a reference to the file until all is unmapped. [nothing]
     */
    void (*unmap)(struct file *file, void *address, size_t bytes);
    /*
     * Moves what the file has in this memory elsewhere; none of it is mapped.
     * Returns 0 or -ENOMEM. [-ENOMEM]
     */
    int (*vacate)(struct file *file, void *address, size_t bytes);
    /* fallocate. [-EOPNOTSUPP, or -ESPIPE if it cannot seek] */
    int (*allocate)(struct file *file, int mode, off_t offset, off_t bytes);
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
    struct vnode *node;     /* what it was opened from (vfs.h), or NULL; put
                               after release() */
};

/*
 * Makes an open file with one reference, which file_install() takes over.
 * Returns NULL if there is no memory.
 */
struct file *file_create(const struct file_ops *ops, void *data, int flags);

/*
 * Puts it into the lowest free descriptor from `least` on, with FD_CLOEXEC if
 * `close_on_exec`. Takes the reference over, failed or not. Returns the
 * descriptor, -EMFILE or -EINVAL (`least` is too large).
 */
long file_install(struct file *file, unsigned least, bool close_on_exec);

/* file_create() and file_install() with O_CLOEXEC of `flags`; or -ENOMEM. */
long file_create_installed(const struct file_ops *ops, void *data, int flags);

/* The open file of a descriptor, with a reference more, or NULL: -EBADF. */
struct file *file_get(long fd);

/* The same for reading and writing: NULL for O_PATH, too. */
struct file *file_get_io(long fd);

/*
 * The begin and the end of a system call on a descriptor: takes the runtime's
 * lock and returns what file_get_io() does, or returns NULL without the lock;
 * and gives both back. Returns `result`.
 */
struct file *file_begin(long fd);
long file_end(struct file *file, long result);

/* Gives a reference back; the last one releases the file. */
void file_put(struct file *file);

/*
 * Waits, for a file's read or write that has nothing to do yet, until `wait`
 * is told. Returns 0 to try again, -EAGAIN for O_NONBLOCK, or -EINTR.
 */
int file_block(struct file *file);

/* How it was opened; musl's O_ACCMODE has O_PATH in it. */
#define FILE_ACCESS 3

static inline bool file_can_read(const struct file *file)
{
    return (file->flags & FILE_ACCESS) != O_WRONLY && !(file->flags & O_PATH);
}

static inline bool file_can_write(const struct file *file)
{
    return (file->flags & FILE_ACCESS) != O_RDONLY && !(file->flags & O_PATH);
}

/*
 * An event for wait_wake() on its own: the file goes away, and whoever waits
 * leaves the queue.
 */
#define FILE_GONE (UINT32_C(1) << 24)

/* Says that what poll() returns has changed to include these events. */
static inline void file_wake(struct file *file, uint32_t events)
{
    wait_wake(&file->wait, events, WAIT_ALL);
}

/* ---- For kinds of files that can seek ----------------------------------- */

/* Where this read or write begins. */
static inline off_t file_position(const struct file *file, off_t offset)
{
    return offset == FILE_HERE ? file->offset : offset;
}

/* It moved `bytes`, or failed. Returns that. */
static inline long file_moved(struct file *file, off_t offset, long bytes)
{
    if (offset == FILE_HERE && bytes > 0)
        file->offset += bytes;
    return bytes;
}

/* The read of directories: -EISDIR. */
long file_read_directory(struct file *file, const struct iovec *iov, int count,
                         off_t offset);

/* lseek in a file of `end` bytes without holes. */
long file_seek(struct file *file, off_t offset, int whence, off_t end);

/* ---- The table, for the calls on descriptors ---------------------------- */

struct descriptor {
    struct file *file; /* NULL: free */
    bool close_on_exec;
};

struct file_table {
    struct descriptor *entries;
    unsigned count; /* entries there are, used or free */
};

extern struct file_table file_table;

/* The entry of an open descriptor, or NULL. */
struct descriptor *file_entry(long fd);

/* Frees the entry. */
void file_close(struct descriptor *entry);

/*
 * Makes descriptor `fd` this file's, closing what it was. Takes the reference
 * over. Returns fd, -EBADF if it is too large, or -ENOMEM.
 */
long file_install_at(struct file *file, unsigned fd, bool close_on_exec);

/* Keeps the bitmap of free descriptors (file_table.c). */
void file_freed(unsigned fd) __attribute__((weak));

/* Frees a file without references (file_table.c). */
void file_destroy(struct file *file) __attribute__((weak));

/* Fills a zeroed struct stat. Returns 0 or -errno (file_stat.c). */
int file_stat(struct file *file, struct stat *stat);

/* fcntl's F_GETLK and so on. */
struct flock;
long file_lock(struct file *file, int command, struct flock *wanted);

/* Drops the locks that belong to an open file (file_lock.c). */
void file_drop_locks(struct file *file) __attribute__((weak));

/* The limit RLIMIT_NOFILE, which starts as the most. */
extern unsigned file_limit;

/* ---- For system calls --------------------------------------------------- */

/*
 * Bytes that a vector names, after checking it: or -EINVAL, or -EFAULT.
 */
long file_check_vector(const struct iovec *iov, long count);

/* The same where the bytes are to be filled. */
long file_check_room(const struct iovec *iov, long count);

/* As file_check_vector(), for a vector of the runtime's own. */
long file_check_pieces(const struct iovec *iov, long count);

typedef long file_move(struct file *file, const struct iovec *iov, int count,
                       off_t offset);

/* Reads or writes memory of the program, after those checks. */
static inline long file_move_pieces(file_move *move, struct file *file,
                                    const struct iovec *iov, long count,
                                    off_t offset, bool write)
{
    long result;

    if (!move)
        return -EINVAL;
    if (wait_watch)
        wait_watch(iov, (int)count, write);
    result = move(file, iov, (int)count, offset);
    if (wait_watch)
        wait_watch(NULL, 0, write);
    return result;
}

/* The boundary of a system call; see sched_restart(). */
#define FILE_CALL(call)                                                  \
    ({                                                                   \
        long result_;                                                    \
        do {                                                             \
            mf_lock();                                                   \
            result_ = (call);                                            \
            mf_unlock();                                                 \
        } while (result_ == -EINTR && sched_restart && sched_restart()); \
        result_;                                                         \
    })

bool sched_restart(void) __attribute__((weak));

/*
 * Sees to it that the console can do something that its functions name as
 * weak, wherever the calls that ask for it are linked.
 */
#define FILE_NEEDS(function)                                          \
    static const void *const needs_##function __attribute__((used)) = \
        (const void *)(function)

#endif
