/* SPDX-License-Identifier: MIT */
/* Waiting for many descriptors and one deadline. */
#include "vmm/server/loop.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int loop_init(struct loop *loop)
{
    loop->now_ns = monotonic_ns();
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll_fd < 0 ? -errno : 0;
}

void loop_fini(struct loop *loop)
{
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    loop->epoll_fd = -1;
}

int loop_add(struct loop *loop, int fd, uint32_t events, struct watch *watch)
{
    struct epoll_event event = {.events = events, .data = {.ptr = watch}};

    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

void loop_change(struct loop *loop, int fd, uint32_t events,
                 struct watch *watch)
{
    struct epoll_event event = {.events = events, .data = {.ptr = watch}};

    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

void loop_remove(struct loop *loop, int fd)
{
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* In milliseconds, as epoll_wait() has it: rather too late than too early. */
static int time_left(const struct loop *loop, uint64_t deadline_ns)
{
    uint64_t ms;

    if (deadline_ns == LOOP_NEVER)
        return -1;
    if (deadline_ns <= loop->now_ns)
        return 0;
    ms = (deadline_ns - loop->now_ns + 999999) / 1000000;
    return ms > 60000 ? 60000 : (int)ms;
}

void loop_turn(struct loop *loop, uint64_t deadline_ns)
{
    struct epoll_event events[BATCH];
    int count =
        epoll_wait(loop->epoll_fd, events, BATCH, time_left(loop, deadline_ns));

    loop->now_ns = monotonic_ns();
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;

        watch->ready(watch, events[i].events);
    }
}
