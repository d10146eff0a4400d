/* SPDX-License-Identifier: MIT */
/* epoll. */
#include <limits.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "guest_rt/generation.h"
#include "guest_rt/pool.h"
#include "guest_rt/select.h"
#include "guest_rt/syscalls.h"

/*
 * An item is one descriptor that an epoll watches. It waits at the file's
 * queue; when it is told, it goes to the epoll's list of what may be ready,
 * and epoll_wait looks at the items of that list only. An item whose file goes
 * away goes with it.
 */

#define BUCKETS_FIRST 16u
#define EVENTS_MOST   (INT_MAX / (int)sizeof(struct epoll_event))

/* What is not an event. */
#define FLAGS \
    ((uint32_t)(EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP))

/* What is told without being asked for, also of an item that asks for nothing.
 */
#define ALWAYS ((uint32_t)(EPOLLERR | EPOLLHUP))
/* What may go with EPOLLEXCLUSIVE. */
#define EXCLUSIVE_OK \
    (FLAGS | (uint32_t)(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP))

struct item {
    struct waiter waiter;
    struct epoll *epoll;
    struct item *chain;           /* with the same hash */
    struct item *next, *previous; /* of the ready ones */
    struct file *file;            /* without a reference */
    int fd;
    bool is_ready; /* in that list */
    uint32_t events;
    uint64_t data;
};

struct epoll {
    struct file *file;
    struct wait_queue waiting; /* threads in epoll_wait */
    struct item **buckets;
    unsigned bucket_count; /* a power of two, or 0 */
    unsigned count;
    struct item *first, *last; /* of the ready ones */
    unsigned ready_count;
};

/* ---- The ready list ----------------------------------------------------- */

static void unready(struct item *item)
{
    struct epoll *epoll = item->epoll;

    if (!item->is_ready)
        return;
    *(item->previous ? &item->previous->next : &epoll->first) = item->next;
    *(item->next ? &item->next->previous : &epoll->last) = item->previous;
    item->is_ready = false;
    epoll->ready_count--;
}

static void append_ready(struct item *item)
{
    struct epoll *epoll = item->epoll;

    item->next = NULL;
    item->previous = epoll->last;
    *(epoll->last ? &epoll->last->next : &epoll->first) = item;
    epoll->last = item;
    item->is_ready = true;
    epoll->ready_count++;
}

static void make_ready(struct item *item)
{
    struct epoll *epoll = item->epoll;

    if (!item->is_ready)
        append_ready(item);
    wait_wake(&epoll->waiting, EPOLLIN, 1);
    if (epoll->file->wait.first)
        file_wake(epoll->file, EPOLLIN);
}

static uint32_t events_of(const struct item *item)
{
    /* After one shot nothing is wanted, errors neither. */
    if (!(item->events & ~FLAGS))
        return 0;
    return select_events(item->file, item->events);
}

/* ---- Items -------------------------------------------------------------- */

static struct item **bucket_of(const struct epoll *epoll, int fd)
{
    return &epoll->buckets[(unsigned)fd & (epoll->bucket_count - 1)];
}

static struct item *find_item(const struct epoll *epoll,
                              const struct file *file, int fd)
{
    struct item *item = epoll->bucket_count ? *bucket_of(epoll, fd) : NULL;

    while (item && (item->fd != fd || item->file != file))
        item = item->chain;
    return item;
}

static void remove_item(struct item *item)
{
    struct epoll *epoll = item->epoll;
    struct item **at = bucket_of(epoll, item->fd);

    wait_remove(&item->waiter);
    unready(item);
    while (*at != item)
        at = &(*at)->chain;
    *at = item->chain;
    epoll->count--;
    pool_free(item, sizeof(*item));
}

static bool wake(struct waiter *waiter, uint32_t events)
{
    struct item *item = (struct item *)waiter;

    if (events == FILE_GONE) {
        remove_item(item);
        return false;
    }
    if (!(item->events & ~FLAGS) ||
        (events && !(events & (item->events | EPOLLERR | EPOLLHUP))))
        return false;
    make_ready(item);
    return true;
}

/* Makes room for one more item. */
static int grow(struct epoll *epoll)
{
    unsigned old = epoll->bucket_count, count = old ? 2 * old : BUCKETS_FIRST;
    struct item **buckets, **olds = epoll->buckets;

    if (epoll->count < old)
        return 0;
    buckets = pool_alloc(count * sizeof(struct item *));
    if (!buckets)
        return old ? 0 : -ENOMEM;
    epoll->buckets = buckets;
    epoll->bucket_count = count;
    for (unsigned i = 0; i < old; i++) {
        for (struct item *item = olds[i], *next; item; item = next) {
            struct item **bucket = bucket_of(epoll, item->fd);

            next = item->chain;
            item->chain = *bucket;
            *bucket = item;
        }
    }
    pool_free(olds, old * sizeof(struct item *));
    return 0;
}

/* ---- epoll_ctl ---------------------------------------------------------- */

static int add_item(struct epoll *epoll, struct file *file, int fd,
                    const struct epoll_event *event)
{
    struct item **bucket, *item;

    if (event->events & EPOLLEXCLUSIVE && event->events & ~EXCLUSIVE_OK)
        return -EINVAL;
    item = grow(epoll) ? NULL : pool_alloc(sizeof(*item));
    if (!item)
        return -ENOMEM;
    *item = (struct item){
        .waiter.wake = wake,
        .epoll = epoll,
        .file = file,
        .fd = fd,
        .events = event->events | ALWAYS,
        .data = event->data.u64,
    };
    bucket = bucket_of(epoll, fd);
    item->chain = *bucket;
    *bucket = item;
    epoll->count++;
    wait_add(&file->wait, &item->waiter);
    if (events_of(item))
        make_ready(item);
    return 0;
}

static int change_item(struct item *item, const struct epoll_event *event)
{
    if ((item->events | event->events) & EPOLLEXCLUSIVE)
        return -EINVAL;
    item->events = event->events | ALWAYS;
    item->data = event->data.u64;
    if (events_of(item))
        make_ready(item);
    return 0;
}

static int change(struct epoll *epoll, int operation, struct file *file, int fd,
                  const struct epoll_event *event)
{
    struct item *item = find_item(epoll, file, fd);

    switch (operation) {
    case EPOLL_CTL_ADD:
        return item ? -EEXIST : add_item(epoll, file, fd, event);
    case EPOLL_CTL_MOD:
        return item ? change_item(item, event) : -ENOENT;
    case EPOLL_CTL_DEL:
        if (!item)
            return -ENOENT;
        remove_item(item);
        return 0;
    default:
        return -EINVAL;
    }
}

static const struct file_ops epoll_ops;

static int check_change(const struct file *self, const struct file *file,
                        int operation, const struct epoll_event *event)
{
    if (operation != EPOLL_CTL_DEL && !user_can_read(event, sizeof(*event)))
        return -EFAULT;
    if (!file->ops->poll)
        return -EPERM;
    if (self == file || self->ops != &epoll_ops)
        return -EINVAL;
    /* One epoll in another is not supported. */
    return file->ops == &epoll_ops ? -EINVAL : 0;
}

static long control(long epoll_fd, int operation, long fd,
                    const struct epoll_event *event)
{
    struct file *self = file_get_io(epoll_fd), *file = file_get_io(fd);
    long result = -EBADF;

    if (self && file) {
        result = check_change(self, file, operation, event);
        if (!result)
            result = change(self->data, operation, file, (int)fd, event);
    }
    if (file)
        file_put(file);
    if (self)
        file_put(self);
    return result;
}

long __mayfly_sys_epoll_ctl(long epoll_fd, long operation, long fd, long event)
{
    return FILE_CALL(control(epoll_fd, (int)operation, fd,
                             (const struct epoll_event *)event));
}

/* ---- epoll_wait --------------------------------------------------------- */

/*
 * Takes ready items in turn. What is level-triggered stays in the list, at its
 * end, until it is found to be not ready any more.
 */
static long collect(struct epoll *epoll, struct epoll_event *events, long most)
{
    unsigned left = epoll->ready_count;
    long count = 0;

    while (left-- > 0 && count < most) {
        struct item *item = epoll->first;
        uint32_t found = events_of(item);

        unready(item);
        if (!found)
            continue;
        events[count].events = found;
        events[count++].data.u64 = item->data;
        if (item->events & EPOLLONESHOT)
            item->events &= FLAGS;
        else if (!(item->events & EPOLLET))
            append_ready(item);
    }
    return count;
}

struct waiting {
    struct waiter waiter;
    struct thread *thread;
};

static bool wake_waiting(struct waiter *waiter, uint32_t events)
{
    (void)events;
    wait_remove(waiter);
    sched_wake(((struct waiting *)waiter)->thread);
    return true;
}

static bool has_room(const struct epoll_event *events, long most)
{
    return user_can_write(events, (size_t)most * sizeof(*events));
}

/* Others run meanwhile, and may take the room away. */
static int block(struct epoll *epoll, const struct epoll_event *events,
                 long most, uint64_t deadline_ns)
{
    struct waiting self = {{.wake = wake_waiting}, sched_current()};
    int error;

    if (snapshot_before_wait && snapshot_before_wait())
        return has_room(events, most) ? 0 : -EFAULT;
    wait_add(&epoll->waiting, &self.waiter);
    error = sched_block(deadline_ns);
    wait_remove(&self.waiter);
    return has_room(events, most) ? error : -EFAULT;
}

static long wait_for(struct epoll *epoll, struct epoll_event *events, long most,
                     uint64_t deadline_ns)
{
    long count = 0;
    int error = 0;

    /* A program that always finds something still hears of the devices. */
    source_poll();
    while (error != -EFAULT && !(count = collect(epoll, events, most)) &&
           deadline_ns && !error)
        error = block(epoll, events, most, deadline_ns);
    /* What is left is for others that wait. */
    if (epoll->first && epoll->waiting.first)
        wait_wake(&epoll->waiting, EPOLLIN, 1);
    return count || error == -ETIMEDOUT ? count : error;
}

static long wait_on_epoll(long fd, struct epoll_event *events, long most,
                          uint64_t deadline_ns)
{
    struct file *self;
    long result = -EINVAL;

    if (most <= 0 || most > EVENTS_MOST)
        return -EINVAL;
    if (!has_room(events, most))
        return -EFAULT;
    self = file_get_io(fd);
    if (!self)
        return -EBADF;
    if (self->ops == &epoll_ops)
        result = wait_for(self->data, events, most, deadline_ns);
    file_put(self);
    return result;
}

static long wait_masked(long fd, struct epoll_event *events, long most,
                        uint64_t deadline_ns, const void *mask, long bytes)
{
    long error = select_mask(mask, bytes);

    return error ? error : wait_on_epoll(fd, events, most, deadline_ns);
}

long __mayfly_sys_epoll_pwait(long fd, long events, long most, long timeout_ms,
                              long mask, long bytes)
{
    long result;

    mf_lock();
    result = wait_masked(fd, (struct epoll_event *)events, (int)most,
                         select_deadline_ms((int)timeout_ms),
                         (const void *)mask, bytes);
    mf_unlock();
    return result;
}

long __mayfly_sys_epoll_wait(long fd, long events, long most, long timeout_ms)
{
    return __mayfly_sys_epoll_pwait(fd, events, most, timeout_ms, 0, 0);
}

long __mayfly_sys_epoll_pwait2(long fd, long events, long most, long timeout,
                               long mask, long bytes)
{
    uint64_t deadline_ns;
    long result;

    mf_lock();
    result = select_deadline((const struct timespec *)timeout, &deadline_ns);
    if (!result)
        result = wait_masked(fd, (struct epoll_event *)events, (int)most,
                             deadline_ns, (const void *)mask, bytes);
    mf_unlock();
    return result;
}

/* ---- The file ----------------------------------------------------------- */

static uint32_t poll_epoll(struct file *file)
{
    struct epoll *epoll = file->data;

    while (epoll->first) {
        if (events_of(epoll->first))
            return EPOLLIN;
        unready(epoll->first);
    }
    return 0;
}

static int stat_epoll(struct file *file, struct stat *stat)
{
    (void)file;
    stat->st_mode = 0600;
    stat->st_nlink = 1;
    return 0;
}

static void release(struct file *file)
{
    struct epoll *epoll = file->data;

    for (unsigned i = 0; i < epoll->bucket_count; i++)
        while (epoll->buckets[i])
            remove_item(epoll->buckets[i]);
    pool_free(epoll->buckets, epoll->bucket_count * sizeof(struct item *));
    pool_free(epoll, sizeof(*epoll));
}

static const struct file_ops epoll_ops = {
    .stat = stat_epoll,
    .poll = poll_epoll,
    .release = release,
};

static long create(int flags)
{
    struct epoll *epoll;

    if (flags & ~EPOLL_CLOEXEC)
        return -EINVAL;
    epoll = pool_alloc(sizeof(*epoll));
    if (!epoll)
        return -ENOMEM;
    epoll->file = file_create(&epoll_ops, epoll, O_RDWR);
    if (epoll->file)
        return file_install(epoll->file, 0, flags & EPOLL_CLOEXEC);
    pool_free(epoll, sizeof(*epoll));
    return -ENOMEM;
}

long __mayfly_sys_epoll_create1(long flags)
{
    long result;

    mf_lock();
    result = create((int)flags);
    mf_unlock();
    return result;
}

long __mayfly_sys_epoll_create(long size)
{
    return (int)size > 0 ? __mayfly_sys_epoll_create1(0) : -EINVAL;
}
