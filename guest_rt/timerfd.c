/* SPDX-License-Identifier: MIT */
/* timerfd. */
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "guest_rt/clock_jump.h"
#include "guest_rt/file.h"
#include "guest_rt/pool.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"

#define NS_PER_S 1000000000ull

struct timer_file {
    struct timer timer;
    struct file *file;
    clockid_t clock;
    bool real;            /* set for a real time, and not for an interval */
    bool cancels;         /* TFD_TIMER_CANCEL_ON_SET */
    bool canceled;        /* real time has jumped since */
    uint64_t target_ns;   /* when it fires next: real or monotonic time */
    uint64_t interval_ns; /* 0: fires once */
    uint64_t expirations; /* that were not read */
    struct clock_watch watch;
};

static uint64_t add(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

/* By the clock that its target is of. */
static uint64_t now_of(const struct timer_file *self)
{
    return self->real ? mf_clock_realtime() : mf_clock_monotonic();
}

static void start(struct timer_file *self)
{
    uint64_t now, deadline_ns = self->target_ns;

    if (self->real) {
        now = mf_clock_realtime();
        deadline_ns = add(mf_clock_monotonic(),
                          deadline_ns > now ? deadline_ns - now : 0);
    }
    timer_start(&self->timer, deadline_ns);
}

/* Intervals that nobody saw are counted, not gone through. */
static void fire(struct timer *timer)
{
    struct timer_file *self = (struct timer_file *)timer;
    uint64_t now = now_of(self), missed;

    if (now < self->target_ns) {
        start(self); /* real time is not as far as it looked */
        return;
    }
    self->expirations++;
    if (self->interval_ns) {
        missed = (now - self->target_ns) / self->interval_ns;
        self->expirations += missed;
        self->target_ns =
            add(self->target_ns, (missed + 1) * self->interval_ns);
        start(self);
    }
    file_wake(self->file, EPOLLIN);
}

/* Real time has jumped. */
static void jump(struct clock_watch *watch)
{
    struct timer_file *self =
        (struct timer_file *)((char *)watch -
                              offsetof(struct timer_file, watch));

    if (timer_is_running(&self->timer))
        start(self);
    if (self->cancels) {
        self->canceled = true;
        file_wake(self->file, EPOLLIN);
    }
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
    while (!self->expirations && !self->canceled) {
        int error = file_block(file);

        if (error)
            return error;
    }
    if (self->canceled) {
        self->canceled = false;
        self->expirations = 0;
        return -ECANCELED;
    }
    memcpy(iov->iov_base, &self->expirations, sizeof(self->expirations));
    self->expirations = 0;
    return sizeof(self->expirations);
}

static uint32_t poll_timer(struct file *file)
{
    const struct timer_file *self = file->data;

    return self->expirations || self->canceled ? EPOLLIN : 0;
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
    clock_watch_remove(&self->watch);
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
    self->watch.jumped = jump;
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

/* Sets when a timer with this value fires first. */
static void set_target(struct timer_file *self, uint64_t value, int flags)
{
    bool absolute = flags & TFD_TIMER_ABSTIME;

    self->real = absolute && (self->clock == CLOCK_REALTIME ||
                              self->clock == CLOCK_REALTIME_ALARM);
    self->cancels = self->real && flags & TFD_TIMER_CANCEL_ON_SET;
    self->target_ns = absolute ? value : add(mf_clock_monotonic(), value);
    if (self->real)
        clock_watch_add(&self->watch);
    else
        clock_watch_remove(&self->watch);
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
    self->canceled = false;
    set_target(self, value, flags);
    if (value)
        start(self);
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
