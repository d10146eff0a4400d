/* SPDX-License-Identifier: MIT */
/* Locks on files, as one process sees them. */
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest_rt/file.h"
#include "guest_rt/pool.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/vfs.h"

/*
 * Record locks of fcntl belong to the process, and there is one: they never
 * stand in each other's way and nothing has to be kept. Locks of flock and of
 * F_OFD_* belong to the open file and are kept here, both in one list; those of
 * flock are about the whole file, and the two kinds do not see each other.
 */
struct lock {
    struct lock *next;
    struct file *file;
    bool is_record; /* F_OFD_*, not flock */
    bool exclusive;
    off_t start, end; /* the last byte */
};

static struct lock *locks;
static struct wait_queue released;

/* What is locked; files without a node are alone. */
static const void *subject_of(const struct file *file)
{
    return file->node ? (const void *)file->node : (const void *)file;
}

static bool overlap(const struct lock *a, const struct lock *b)
{
    return a->is_record == b->is_record && a->start <= b->end &&
           b->start <= a->end && subject_of(a->file) == subject_of(b->file);
}

/* A lock of another file that stands in this one's way. */
static struct lock *find_conflict(const struct lock *wanted)
{
    struct lock *at = locks;

    while (at && (at->file == wanted->file || !overlap(at, wanted) ||
                  (!at->exclusive && !wanted->exclusive)))
        at = at->next;
    return at;
}

static struct lock *push(struct lock lock)
{
    struct lock *copy = pool_alloc(sizeof(*copy));

    if (copy) {
        *copy = lock;
        copy->next = locks;
        locks = copy;
    }
    return copy;
}

/*
 * Takes [start, end] out of what the file has locked. Cutting a hole into a
 * lock needs one more. Returns 0 or -ENOLCK.
 */
static int unlock(const struct lock *range)
{
    for (struct lock **at = &locks; *at;) {
        struct lock *lock = *at;
        bool left = lock->start<range->start, right = lock->end> range->end;

        if (lock->file != range->file || !overlap(lock, range)) {
            at = &lock->next;
            continue;
        }
        if (left && right) {
            struct lock rest = *lock;

            rest.start = range->end + 1;
            if (!push(rest))
                return -ENOLCK;
            lock->end = range->start - 1;
            return 0;
        }
        if (left) {
            lock->end = range->start - 1;
        } else if (right) {
            lock->start = range->end + 1;
        } else {
            *at = lock->next;
            pool_free(lock, sizeof(*lock));
            continue;
        }
        at = &lock->next;
    }
    wait_wake(&released, 0, WAIT_ALL);
    return 0;
}

void file_drop_locks(struct file *file)
{
    struct lock all = {.file = file, .end = PTRDIFF_MAX};

    if (!locks)
        return;
    unlock(&all);
    all.is_record = true;
    unlock(&all);
}

/* Waits until nothing is in the way, if `wait`; then locks. */
static int lock_range(const struct lock *wanted, bool wait)
{
    int error;

    while (find_conflict(wanted)) {
        if (!wait)
            return -EAGAIN;
        error = wait_on(&released, WAIT_NO_END);
        if (error)
            return error;
    }
    error = unlock(wanted); /* what it had there before */
    if (!error && !push(*wanted))
        error = -ENOLCK;
    return error;
}

/* ---- fcntl -------------------------------------------------------------- */

/* The range that a struct flock names. Returns 0, -EINVAL or -EOVERFLOW. */
static int range_of(const struct file *file, const struct flock *from,
                    struct lock *range)
{
    struct stat stat = {0};
    off_t base = 0;

    if (from->l_whence == SEEK_CUR) {
        base = file->offset;
    } else if (from->l_whence == SEEK_END) {
        file_stat((struct file *)(uintptr_t)file, &stat);
        base = stat.st_size;
    } else if (from->l_whence != SEEK_SET) {
        return -EINVAL;
    }
    if (from->l_start > PTRDIFF_MAX - base)
        return -EOVERFLOW;
    range->start = base + from->l_start;
    range->end = PTRDIFF_MAX;
    if (from->l_len > 0) {
        if (from->l_len - 1 > PTRDIFF_MAX - range->start)
            return -EOVERFLOW;
        range->end = range->start + from->l_len - 1;
    } else if (from->l_len < 0) {
        range->end = range->start - 1;
        range->start += from->l_len;
    }
    return range->start < 0 ? -EINVAL : 0;
}

/* Fills in what F_GETLK and F_OFD_GETLK say. */
static void tell(struct flock *to, const struct lock *conflict)
{
    if (!conflict) {
        to->l_type = F_UNLCK;
        return;
    }
    to->l_type = conflict->exclusive ? F_WRLCK : F_RDLCK;
    to->l_whence = SEEK_SET;
    to->l_start = conflict->start;
    to->l_len =
        conflict->end == PTRDIFF_MAX ? 0 : conflict->end - conflict->start + 1;
    to->l_pid = -1;
}

static long set_lock(struct file *file, const struct flock *wanted,
                     const struct lock *range, bool is_open_file, bool wait)
{
    if (wanted->l_type == F_RDLCK && !file_can_read(file))
        return -EBADF;
    if (wanted->l_type == F_WRLCK && !file_can_write(file))
        return -EBADF;
    if (!is_open_file)
        return 0;
    return wanted->l_type == F_UNLCK ? unlock(range) : lock_range(range, wait);
}

long file_lock(struct file *file, int command, struct flock *wanted)
{
    bool get = command == F_GETLK || command == F_OFD_GETLK;
    bool is_open_file = command == F_OFD_GETLK || command == F_OFD_SETLK ||
                        command == F_OFD_SETLKW;
    struct lock range = {.file = file, .is_record = true};
    int error;

    if (file->flags & O_PATH)
        return -EBADF;
    if (get ? !user_can_write(wanted, sizeof(*wanted))
            : !user_can_read(wanted, sizeof(*wanted)))
        return -EFAULT;
    if (wanted->l_type != F_RDLCK && wanted->l_type != F_WRLCK &&
        (get || wanted->l_type != F_UNLCK))
        return -EINVAL;
    if (is_open_file && wanted->l_pid)
        return -EINVAL;
    range.exclusive = wanted->l_type == F_WRLCK;
    error = range_of(file, wanted, &range);
    if (error)
        return error;
    if (!get)
        return set_lock(file, wanted, &range, is_open_file,
                        command == F_OFD_SETLKW);
    tell(wanted, is_open_file ? find_conflict(&range) : NULL);
    return 0;
}

/* ---- flock -------------------------------------------------------------- */

static long lock_whole(long fd, int operation)
{
    struct file *file = file_get_io(fd);
    struct lock whole = {.file = file, .end = PTRDIFF_MAX};
    long error;

    if (!file)
        return -EBADF;
    whole.exclusive = (operation & ~LOCK_NB) == LOCK_EX;
    switch (operation & ~LOCK_NB) {
    case LOCK_SH:
    case LOCK_EX:
        error = lock_range(&whole, !(operation & LOCK_NB));
        break;
    case LOCK_UN:
        error = unlock(&whole);
        break;
    default:
        error = -EINVAL;
    }
    file_put(file);
    return error;
}

long __mayfly_sys_flock(long fd, long operation)
{
    return FILE_CALL(lock_whole(fd, (int)operation));
}
