/* SPDX-License-Identifier: MIT */
/* Descriptors and their limit. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* musl does not declare it. */
static long close_all(unsigned first, unsigned last)
{
    return syscall(SYS_close_range, first, last, 0);
}

/* ---- Descriptors -------------------------------------------------------- */

void check_descriptors(void)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd, two, three;

    puts("-- descriptors");
    fd = open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_SETFD, 0));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_GETFL) & ~0100000);
    SHOW(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND));
    SHOW(fcntl(fd, F_GETFL) & ~0100000);
    SHOW(fcntl(fd, F_SETFL, 0));
    SHOW(fcntl(fd, 9999));
    SHOW((two = dup(fd)) - fd);
    SHOW(write(two, "ab", 2));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(dup2(fd, 100));
    SHOW(dup2(fd, fd) - fd);
    SHOW(dup2(999, 5));
    SHOW(dup2(fd, -1));
    SHOW(dup3(fd, fd, 0));
    SHOW(fcntl(fd, F_DUPFD, 50));
    SHOW(fcntl(fd, F_DUPFD, 50));
    SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 50));
    SHOW(fcntl(52, F_GETFD));
    SHOW(fcntl(fd, F_DUPFD, -1));
    SHOW(close_all(50, 52));
    SHOW(fcntl(51, F_GETFD));
    SHOW(fcntl(fd, F_SETLK, &lock));
    SHOW(fcntl(fd, F_GETLK, &lock));
    printf("%d\n", lock.l_type == F_UNLCK);
    three = open("f", O_RDWR);
    SHOW(flock(fd, LOCK_EX));
    SHOW(flock(three, LOCK_EX | LOCK_NB));
    SHOW(flock(two, LOCK_EX | LOCK_NB));
    SHOW(flock(fd, LOCK_SH));
    SHOW(flock(three, LOCK_SH | LOCK_NB));
    SHOW(flock(fd, LOCK_UN));
    SHOW(flock(three, LOCK_EX | LOCK_NB));
    SHOW(close(three));
    SHOW(flock(fd, LOCK_EX | LOCK_NB));
    SHOW(close(100));
    SHOW(close(two));
    SHOW(close(fd));
    SHOW(close(-1));
    SHOW(unlink("f"));
}

void check_limits(void)
{
    struct rlimit limit, few = {20, 20};
    int opened = 0;

    puts("-- limits");
    SHOW(getrlimit(RLIMIT_NOFILE, &limit));
    few.rlim_max = limit.rlim_max;
    SHOW(setrlimit(RLIMIT_NOFILE, &few));
    while (open("/dev/null", O_RDONLY) >= 0)
        opened++;
    SHOW(open("/dev/null", O_RDONLY));
    printf("all used: %d\n", opened > 10 && opened < 20);
    SHOW(dup2(0, 20));
    SHOW(fcntl(0, F_DUPFD, 20));
    while (opened > 0)
        opened -= close(19 - opened + 1) == 0 || 1;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    few.rlim_max = 10;
    SHOW(setrlimit(RLIMIT_NOFILE, &few));
}
