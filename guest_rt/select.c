/* SPDX-License-Identifier: MIT */
/* Waiting for several descriptors. */
#include "guest_rt/select.h"

#include <sys/epoll.h>

#include "guest_rt/console.h"
#include "guest_rt/generation.h"
#include "guest_rt/runtime.h"

FILE_NEEDS(console_poll);

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull

uint32_t select_events(struct file *file, uint32_t wanted)
{
    uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM;

    if (file->ops->poll) {
        events = file->ops->poll(file);
        if (events & EPOLLIN)
            events |= EPOLLRDNORM;
        if (events & EPOLLOUT)
            events |= EPOLLWRNORM;
    }
    return events & (wanted | EPOLLERR | EPOLLHUP);
}

/* Returns whether any of them has events. */
static bool look(struct select_one *entries, unsigned count)
{
    bool any = false;

    for (unsigned i = 0; i < count; i++) {
        if (entries[i].file)
            entries[i].found =
                select_events(entries[i].file, entries[i].wanted);
        any |= entries[i].found != 0;
    }
    return any;
}

static bool wake(struct waiter *waiter, uint32_t events)
{
    struct select_one *one = (struct select_one *)waiter;

    if (events && !(events & (one->wanted | EPOLLERR | EPOLLHUP)))
        return false;
    sched_wake(one->thread);
    return true;
}

static int block(struct select_one *entries, unsigned count,
                 uint64_t deadline_ns)
{
    int error;

    if (snapshot_before_wait && snapshot_before_wait() && look(entries, count))
        return 0;
    for (unsigned i = 0; i < count; i++) {
        if (!entries[i].file)
            continue;
        entries[i].thread = sched_current();
        entries[i].waiter.wake = wake;
        wait_add(&entries[i].file->wait, &entries[i].waiter);
    }
    do
        error = sched_block(deadline_ns);
    while (!error && !look(entries, count));
    for (unsigned i = 0; i < count; i++)
        if (entries[i].file)
            wait_remove(&entries[i].waiter);
    /* What came at the last moment counts. */
    return error && look(entries, count) ? 0 : error;
}

int select_wait(struct select_one *entries, unsigned count,
                uint64_t deadline_ns)
{
    bool any = look(entries, count);
    int error = 0;

    if (!any && !deadline_ns) {
        source_poll();
        look(entries, count);
    } else if (!any) {
        error = block(entries, count, deadline_ns);
    }
    for (unsigned i = 0; i < count; i++)
        if (entries[i].file)
            file_put(entries[i].file);
    return error == -ETIMEDOUT ? 0 : error;
}

/* ---- Time --------------------------------------------------------------- */

static uint64_t after(uint64_t ns)
{
    uint64_t now = mf_clock_monotonic();

    return ns < WAIT_NO_END - now ? now + ns : WAIT_NO_END;
}

int select_deadline(const struct timespec *timeout, uint64_t *deadline_ns)
{
    *deadline_ns = WAIT_NO_END;
    if (!timeout)
        return 0;
    if (!user_can_read(timeout, sizeof(*timeout)))
        return -EFAULT;
    if (timeout->tv_sec < 0 || (uint64_t)timeout->tv_nsec >= NS_PER_S)
        return -EINVAL;
    if ((uint64_t)timeout->tv_sec >= WAIT_NO_END / NS_PER_S)
        return 0;
    *deadline_ns =
        (uint64_t)timeout->tv_sec * NS_PER_S + (uint64_t)timeout->tv_nsec;
    if (*deadline_ns)
        *deadline_ns = after(*deadline_ns);
    return 0;
}

uint64_t select_deadline_ms(int timeout_ms)
{
    if (timeout_ms <= 0)
        return timeout_ms ? WAIT_NO_END : 0;
    return after((uint64_t)timeout_ms * NS_PER_MS);
}

struct timespec select_time_left(uint64_t deadline_ns)
{
    uint64_t now = mf_clock_monotonic();
    uint64_t left = deadline_ns > now ? deadline_ns - now : 0;

    return (struct timespec){(time_t)(left / NS_PER_S),
                             (long)(left % NS_PER_S)};
}

void select_give_left(struct timespec *timeout, uint64_t deadline_ns)
{
    struct timespec left;

    if (!timeout || !deadline_ns || deadline_ns == WAIT_NO_END)
        return;
    left = select_time_left(deadline_ns);
    (void)USER_PUT(timeout, left);
}
