/* SPDX-License-Identifier: MIT */
/* eventfd. */
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "guest_rt/file.h"
#include "guest_rt/pool.h"
#include "guest_rt/syscalls.h"

#define COUNT_MOST (UINT64_MAX - 1)

struct event {
    uint64_t count;
    bool is_semaphore;
};

/* Whether the pieces begin with eight bytes in one. */
static bool has_room(const struct iovec *iov, int count)
{
    return count > 0 && iov->iov_len >= sizeof(uint64_t);
}

static long read_event(struct file *file, const struct iovec *iov, int count,
                       off_t offset)
{
    struct event *event = file->data;
    uint64_t taken;

    (void)offset;
    if (!has_room(iov, count))
        return -EINVAL;
    while (event->count == 0) {
        int error = file_block(file);

        if (error)
            return error;
    }
    taken = event->is_semaphore ? 1 : event->count;
    event->count -= taken;
    memcpy(iov->iov_base, &taken, sizeof(taken));
    file_wake(file, EPOLLOUT);
    return sizeof(taken);
}

static long write_event(struct file *file, const struct iovec *iov, int count,
                        off_t offset)
{
    struct event *event = file->data;
    uint64_t added;

    (void)offset;
    if (!has_room(iov, count))
        return -EINVAL;
    memcpy(&added, iov->iov_base, sizeof(added));
    if (added == UINT64_MAX)
        return -EINVAL;
    while (added > COUNT_MOST - event->count) {
        int error = file_block(file);

        if (error)
            return error;
    }
    event->count += added;
    if (event->count)
        file_wake(file, EPOLLIN);
    return sizeof(added);
}

static uint32_t poll_event(struct file *file)
{
    const struct event *event = file->data;

    return (event->count > 0 ? EPOLLIN : 0u) |
           (event->count < COUNT_MOST ? EPOLLOUT : 0u);
}

static int stat_event(struct file *file, struct stat *stat)
{
    (void)file;
    stat->st_mode = 0600;
    stat->st_nlink = 1;
    return 0;
}

static void release(struct file *file)
{
    pool_free(file->data, sizeof(struct event));
}

static const struct file_ops event_ops = {
    .read = read_event,
    .write = write_event,
    .stat = stat_event,
    .poll = poll_event,
    .release = release,
};

static long create(unsigned start, int flags)
{
    struct event *event;
    struct file *file;

    if (flags & ~(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE))
        return -EINVAL;
    event = pool_alloc(sizeof(*event));
    if (!event)
        return -ENOMEM;
    *event = (struct event){start, flags & EFD_SEMAPHORE};
    file = file_create(&event_ops, event, O_RDWR | (flags & EFD_NONBLOCK));
    if (file)
        return file_install(file, 0, flags & EFD_CLOEXEC);
    pool_free(event, sizeof(*event));
    return -ENOMEM;
}

long __mayfly_sys_eventfd2(long start, long flags)
{
    long result;

    mf_lock();
    result = create((unsigned)start, (int)flags);
    mf_unlock();
    return result;
}

long __mayfly_sys_eventfd(long start)
{
    return __mayfly_sys_eventfd2(start, 0);
}
