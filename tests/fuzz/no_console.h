/* SPDX-License-Identifier: MIT */
/* Host calls of the console, which hooked.h brings along: nobody makes them. */
#ifndef TESTS_FUZZ_NO_CONSOLE_H
#define TESTS_FUZZ_NO_CONSOLE_H

#include "tests/fuzz/hooked.h"

static ssize_t hooked_os_readv(int fd, const struct iovec *iov, int count)
{
    bug_on(true);
    return os_result((long)fd + (iov == NULL) + count);
}

static ssize_t hooked_os_writev(int fd, const struct iovec *iov, int count)
{
    return hooked_os_readv(fd, iov, count);
}

static int hooked_os_poll(struct pollfd *files, nfds_t count, int timeout_ms)
{
    bug_on(true);
    return (int)count + (files == NULL) + timeout_ms;
}

static int hooked_os_ioctl(int fd, unsigned long request, uintptr_t argument)
{
    bug_on(true);
    return fd + (int)request + (int)argument;
}

#endif
