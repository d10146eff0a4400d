/* SPDX-License-Identifier: MIT */
/* timerfd. */
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "guest_rt/file.h"
#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"

#define NS_PER_S 1000000000ull

struct timer_file {
    struct timer timer;
    struct file *file;
    clockid_t clock;
    uint64_t interval_ns; /* 0: fires once */
    uint64_t expirations; /* that were not read */
};

static uint64_t add(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

/* Intervals that nobody saw are counted, not gone through. */
static void fire(struct timer *timer)
{
    struct timer_file *self = (struct timer_file *)timer;
    uint64_t now = mf_clock_monotonic(), late = 0, missed;

    self->expirations++;
    if (self->interval_ns) {
        if (now > timer->deadline_ns)
            late = now - timer->deadline_ns;
        missed = late / self->interval_ns;
        self->expirations += missed;
        timer_start(timer,
                    add(timer->deadline_ns, (missed + 1) * self->interval_ns));
    }
    file_wake(self->file, EPOLLIN);
}

/* ---- The file ----------------------------------------------------------- */

static long read_timer(struct file *file, const struct iovec *iov, int count,
                       off_t offset)
{
    struct timer_file *self = file->data;

    (void)offset;
    if (count < 1 || iov->iov_len < sizeof(self->expirations))
        return -EINVAL;
    if (!self->expirations && file->flags & O_NONBLOCK)
        source_poll();
    while (!self->expirations) {
        int error = file_block(file);

        if (error)
            return error;
    }
    memcpy(iov->iov_base, &self->expirations, sizeof(self->expirations));
    self->expirations = 0;
    return sizeof(self->expirations);
}

static uint32_t poll_timer(struct file *file)
{
    return ((struct timer_file *)file->data)->expirations ? EPOLLIN : 0;
}

static int stat_timer(struct file *file, struct stat *stat)
{
    (void)file;
    stat->st_mode = 0600;
    stat->st_nlink = 1;
    return 0;
}

static void release(struct file *file)
{
    struct timer_file *self = file->data;

    timer_stop(&self->timer);
    pool_free(self, sizeof(*self));
}

static const struct file_ops timer_ops = {
    .read = read_timer,
    .stat = stat_timer,
    .poll = poll_timer,
    .release = release,
};

static long create(int clock, int flags)
{
    struct timer_file *self;

    if (flags & ~(TFD_CLOEXEC | TFD_NONBLOCK) ||
        (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC &&
         clock != CLOCK_BOOTTIME && clock != CLOCK_REALTIME_ALARM &&
         clock != CLOCK_BOOTTIME_ALARM))
        return -EINVAL;
    self = pool_alloc(sizeof(*self));
    if (!self)
        return -ENOMEM;
    self->timer.fire = fire;
    self->clock = clock;
    self->file = file_create(&timer_ops, self, O_RDWR | (flags & TFD_NONBLOCK));
    if (self->file)
        return file_install(self->file, 0, flags & TFD_CLOEXEC);
    pool_free(self, sizeof(*self));
    return -ENOMEM;
}

long __mayfly_sys_timerfd_create(long clock, long flags)
{
    long result;

    mf_lock();
    result = create((int)clock, (int)flags);
    mf_unlock();
    return result;
}

/* ---- Setting it --------------------------------------------------------- */

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
}

static int ns_of(const struct timespec *time, uint64_t *ns)
{
    if (time->tv_sec < 0 || (uint64_t)time->tv_nsec >= NS_PER_S)
        return -EINVAL;
    *ns = (uint64_t)time->tv_sec >= UINT64_MAX / NS_PER_S
              ? UINT64_MAX
              : (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
    return 0;
}

static void tell(const struct timer_file *self, struct itimerspec *result)
{
    uint64_t now = mf_clock_monotonic(), left = 0;

    /* What is due and not served yet has a nanosecond left. */
    if (timer_is_running(&self->timer))
        left =
            self->timer.deadline_ns > now ? self->timer.deadline_ns - now : 1;
    result->it_interval = timespec_of(self->interval_ns);
    result->it_value = timespec_of(left);
}

/* The monotonic time at which a timer with this value fires first. */
static uint64_t deadline_of(const struct timer_file *self, uint64_t value,
                            bool absolute)
{
    bool is_real =
        self->clock == CLOCK_REALTIME || self->clock == CLOCK_REALTIME_ALARM;
    uint64_t now = mf_clock_monotonic(), real;

    if (!absolute)
        return add(now, value);
    if (!is_real)
        return value;
    real = mf_clock_realtime();
    return value > real ? add(now, value - real) : now;
}

static long set(struct timer_file *self, int flags,
                const struct itimerspec *wanted, struct itimerspec *old)
{
    uint64_t value, interval;

    if (!user_can_read(wanted, sizeof(*wanted)) ||
        (old && !user_can_write(old, sizeof(*old))))
        return -EFAULT;
    if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) ||
        ns_of(&wanted->it_value, &value) ||
        ns_of(&wanted->it_interval, &interval))
        return -EINVAL;
    if (old)
        tell(self, old);
    self->interval_ns = interval;
    self->expirations = 0;
    if (value)
        timer_start(&self->timer,
                    deadline_of(self, value, flags & TFD_TIMER_ABSTIME));
    else
        timer_stop(&self->timer);
    return 0;
}

/* Sets the timer, or only tells. */
static long call(long fd, int flags, const struct itimerspec *wanted,
                 struct itimerspec *old, bool get)
{
    struct file *file = file_get_io(fd);
    long result = -EINVAL;

    if (!file)
        return -EBADF;
    if (file->ops == &timer_ops) {
        if (!get)
            result = set(file->data, flags, wanted, old);
        else if (!user_can_write(old, sizeof(*old)))
            result = -EFAULT;
        else
            result = 0;
        if (get && !result)
            tell(file->data, old);
    }
    file_put(file);
    return result;
}

long __mayfly_sys_timerfd_settime(long fd, long flags, long wanted, long old)
{
    return FILE_CALL(call(fd, (int)flags, (const struct itimerspec *)wanted,
                          (struct itimerspec *)old, false));
}

long __mayfly_sys_timerfd_gettime(long fd, long result)
{
    return FILE_CALL(call(fd, 0, NULL, (struct itimerspec *)result, true));
}
