/* SPDX-License-Identifier: MIT */
/* Pipes, select, epoll, eventfd and timerfd. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "files.h"

static void show_poll(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    int result = poll(&one, 1, 0);

    printf("poll: %d %#x\n", result, one.revents);
}

void check_pipes(void)
{
    static char block[70000];
    int ends[2], fd, other;
    long total = 0, done;

    puts("-- pipes");
    signal(SIGPIPE, SIG_IGN);
    SHOW(pipe2(ends, O_NONBLOCK));
    SHOW(pipe2(ends, 0x12345));
    show_poll(ends[0], POLLIN);
    show_poll(ends[1], POLLOUT);
    SHOW(read(ends[0], text, 10));
    SHOW(write(ends[1], "abc", 3));
    show_poll(ends[0], POLLIN);
    SHOW(ioctl(ends[0], FIONREAD, &fd));
    printf("%d\n", fd);
    SHOW(lseek(ends[0], 0, SEEK_CUR));
    SHOW(pread(ends[0], text, 1, 0));
    SHOW(read(ends[1], text, 10));
    SHOW(write(ends[0], "x", 1));
    READ(ends[0]);
    while ((done = write(ends[1], block, sizeof(block))) > 0)
        total += done;
    printf("filled with %ld\n", total);
    show_poll(ends[1], POLLOUT);
    SHOW(write(ends[1], "x", 1));
    SHOW(read(ends[0], block, 4096));
    show_poll(ends[1], POLLOUT);
    SHOW(write(ends[1], block, 4096));
    SHOW(close(ends[1]));
    total = 0;
    while ((done = read(ends[0], block, sizeof(block))) > 0)
        total += done;
    printf("emptied of %ld\n", total);
    show_poll(ends[0], POLLIN);
    SHOW(close(ends[0]));
    SHOW(pipe(ends));
    SHOW(close(ends[0]));
    show_poll(ends[1], POLLOUT);
    SHOW(write(ends[1], "x", 1));
    SHOW(close(ends[1]));

    puts("-- FIFOs");
    SHOW(mkfifo("fifo", 0600));
    SHOW(mkfifo("fifo", 0600));
    OPEN(fd, open("fifo", O_WRONLY | O_NONBLOCK));
    OPEN(fd, open("fifo", O_RDONLY | O_NONBLOCK));
    SHOW(read(fd, text, 1));
    show_poll(fd, POLLIN);
    OPEN(other, open("fifo", O_WRONLY));
    SHOW(read(fd, text, 1));
    SHOW(write(other, "through a name", 14));
    READ(fd);
    SHOW(close(other));
    show_poll(fd, POLLIN);
    SHOW(read(fd, text, 1));
    SHOW(close(fd));
    SHOW(unlink("fifo"));
}

void check_select(void)
{
    struct timeval soon = {0, 1000};
    struct pollfd some[3] = {{.fd = -1}, {.fd = 500, .events = POLLIN}};
    int ends[2];
    fd_set in, out;

    puts("-- select");
    SHOW(pipe(ends));
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(ends[0], &in);
    SHOW(select(ends[1] + 1, &in, NULL, NULL, &soon));
    FD_SET(ends[0], &in);
    FD_SET(ends[1], &out);
    SHOW(select(ends[1] + 1, &in, &out, NULL, NULL));
    printf("%d %d\n", FD_ISSET(ends[0], &in), FD_ISSET(ends[1], &out));
    SHOW(write(ends[1], "x", 1));
    FD_SET(ends[0], &in);
    SHOW(select(ends[1] + 1, &in, &out, NULL, NULL));
    some[2] = (struct pollfd){.fd = ends[0], .events = POLLIN | POLLOUT};
    SHOW(poll(some, 3, -1));
    printf("%#x %#x %#x\n", some[0].revents, some[1].revents, some[2].revents);
    SHOW(close(ends[0]));
    SHOW(close(ends[1]));
    FD_SET(ends[0], &in);
    SHOW(select(ends[0] + 1, &in, NULL, NULL, NULL));
    SHOW(select(-1, NULL, NULL, NULL, NULL));
    SHOW(poll(NULL, 0, 1));
}

/* ---- epoll, eventfd, timerfd -------------------------------------------- */

static void show_epoll(int epoll, int timeout_ms)
{
    struct epoll_event events[4];
    int count = epoll_wait(epoll, events, 4, timeout_ms);

    printf("epoll_wait: %d", count);
    for (int i = 0; i < count; i++)
        printf(" %#x:%d", events[i].events, (int)events[i].data.u32);
    printf("\n");
}

static int control(int epoll, int operation, int fd, uint32_t events, int data)
{
    struct epoll_event event = {events, {.u32 = (uint32_t)data}};

    return epoll_ctl(epoll, operation, fd, &event);
}

void check_epoll(void)
{
    int ends[2], epoll, file, copy;

    puts("-- epoll");
    SHOW(epoll_create(0));
    SHOW(epoll_create1(1));
    OPEN(epoll, epoll_create1(EPOLL_CLOEXEC));
    SHOW(pipe2(ends, O_NONBLOCK));
    OPEN(file, open("e", O_RDWR | O_CREAT, 0600));
    SHOW(control(epoll, EPOLL_CTL_ADD, file, EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_ADD, epoll, EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_ADD, 700, EPOLLIN, 1));
    SHOW(control(file, EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_DEL, ends[0], EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
    SHOW(control(epoll, EPOLL_CTL_ADD, ends[0], EPOLLIN, 1));
    SHOW(control(epoll, 9, ends[0], EPOLLIN, 1));
    SHOW(epoll_wait(epoll, NULL, 0, 0));
    SHOW(epoll_wait(file, (void *)text, 1, 0));
    show_epoll(epoll, 0);
    show_epoll(epoll, 2);
    SHOW(write(ends[1], "abc", 3));
    show_poll(epoll, POLLIN);
    show_epoll(epoll, -1);
    show_epoll(epoll, -1);
    SHOW(read(ends[0], text, 1));
    show_epoll(epoll, 0);
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET, 2));
    show_epoll(epoll, 0);
    show_epoll(epoll, 0);
    SHOW(write(ends[1], "d", 1));
    show_epoll(epoll, 0);
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT, 3));
    show_epoll(epoll, 0);
    show_epoll(epoll, 0);
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT, 4));
    show_epoll(epoll, 0);
    SHOW(control(epoll, EPOLL_CTL_ADD, ends[1], EPOLLOUT, 5));
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], EPOLLIN, 6));
    show_epoll(epoll, 0);
    copy = dup(ends[1]);
    SHOW(close(ends[1]));
    show_epoll(epoll, 0);
    /* What is not asked for is told all the same: a hang-up. */
    SHOW(control(epoll, EPOLL_CTL_MOD, ends[0], 0, 7));
    show_epoll(epoll, 0);
    SHOW(close(copy));
    show_epoll(epoll, 0);
    SHOW(read(ends[0], text, 10));
    show_epoll(epoll, 0);
    SHOW(close(ends[0]));
    show_epoll(epoll, 0);
    SHOW(close(epoll));
    SHOW(close(file));
    SHOW(unlink("e"));
}

void check_eventfd(void)
{
    struct itimerspec soon = {{0, 1000000}, {0, 1000000}}, left;
    uint64_t count = 5;
    int fd;

    puts("-- eventfd, timerfd, memfd");
    OPEN(fd, eventfd(3, EFD_NONBLOCK));
    show_poll(fd, POLLIN | POLLOUT);
    SHOW(write(fd, &count, 8));
    SHOW(write(fd, &count, 7));
    SHOW(read(fd, &count, 8));
    printf("%d\n", (int)count);
    SHOW(read(fd, &count, 8));
    show_poll(fd, POLLIN | POLLOUT);
    count = UINT64_MAX - 1;
    SHOW(write(fd, &count, 8));
    SHOW(write(fd, &count, 8));
    show_poll(fd, POLLIN | POLLOUT);
    SHOW(close(fd));
    OPEN(fd, eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE));
    SHOW(read(fd, &count, 8));
    printf("%d\n", (int)count);
    SHOW(read(fd, &count, 8));
    SHOW(read(fd, &count, 8));
    SHOW(close(fd));
    OPEN(fd, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    SHOW(timerfd_create(77, 0));
    show_poll(fd, POLLIN);
    SHOW(timerfd_settime(fd, 0, &soon, NULL));
    SHOW(read(fd, &count, 8));
    SHOW(timerfd_gettime(fd, &left));
    printf("%ld %d\n", left.it_interval.tv_nsec, left.it_value.tv_nsec > 0);
    SHOW(read(fd, &count, 3));
    soon = (struct itimerspec){{0, 0}, {0, 0}};
    SHOW(timerfd_settime(fd, 0, &soon, &left));
    show_poll(fd, POLLIN);
    SHOW(close(fd));
    OPEN(fd, (int)syscall(SYS_memfd_create, "name", 1));
    SHOW(write(fd, "in memory", 9));
    SHOW(lseek(fd, 0, SEEK_SET));
    READ(fd);
    SHOW(close(fd));
}
