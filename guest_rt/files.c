/* SPDX-License-Identifier: MIT */
/* Descriptors 0 to 2: the console. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <asm/stat.h>
#include <asm/termbits.h>

#include "guest_rt/console.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"

#define FDS 3

/* Linux's device number of a terminal: major 5, minor 1, /dev/console. */
#define CONSOLE_DEVICE 0x501

/* Bit fd: that descriptor was closed. */
static unsigned closed;

static bool is_open(long fd)
{
    return (unsigned)fd < FDS && !(closed & 1u << fd);
}

long __mayfly_sys_readv(long fd, long vector, long count)
{
    if (!is_open(fd))
        return -EBADF;
    /* Of a terminal all three can be read; here only the first can. */
    return fd == 0 ? console_readv((const struct iovec *)vector, (int)count)
                   : -EBADF;
}

long __mayfly_sys_writev(long fd, long vector, long count)
{
    if (!is_open(fd) || fd == 0)
        return -EBADF;
    return console_writev((int)fd, (const struct iovec *)vector, (int)count);
}

long __mayfly_sys_read(long fd, long buffer, long bytes)
{
    struct iovec whole = {(void *)buffer, (size_t)bytes};

    return __mayfly_sys_readv(fd, (long)&whole, 1);
}

long __mayfly_sys_write(long fd, long buffer, long bytes)
{
    struct iovec whole = {(void *)buffer, (size_t)bytes};

    return __mayfly_sys_writev(fd, (long)&whole, 1);
}

long __mayfly_sys_close(long fd)
{
    if (!is_open(fd))
        return -EBADF;
    closed |= 1u << fd;
    return 0;
}

long __mayfly_sys_lseek(long fd, long offset, long whence)
{
    (void)offset;
    (void)whence;
    return is_open(fd) ? -ESPIPE : -EBADF;
}

long __mayfly_sys_fstat(long fd, long result)
{
    struct stat *stat = (struct stat *)result;

    if (!is_open(fd))
        return -EBADF;
    *stat = (struct stat){
        .st_ino = (unsigned long)fd + 1,
        .st_nlink = 1,
        .st_mode = (console_is_tty((int)fd) ? 0020000 : 0010000) | 0600,
        .st_rdev = console_is_tty((int)fd) ? CONSOLE_DEVICE : 0,
        .st_blksize = 4096,
    };
    return 0;
}

long __mayfly_sys_fcntl(long fd, long command, long argument)
{
    (void)argument;
    if (!is_open(fd))
        return -EBADF;
    switch (command) {
    case F_GETFD:
    case F_SETFD:
    case F_SETFL:
        return 0;
    case F_GETFL:
        return fd == 0 ? O_RDONLY : O_WRONLY;
    default:
        return -EINVAL;
    }
}

static const struct termios terminal = {
    .c_iflag = ICRNL | IXON,
    .c_oflag = OPOST | ONLCR,
    .c_cflag = B38400 | CS8 | CREAD,
    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK,
};

long __mayfly_sys_ioctl(long fd, long request, long argument)
{
    if (!is_open(fd))
        return -EBADF;
    if (!console_is_tty((int)fd))
        return -ENOTTY;
    switch ((unsigned)request) {
    case TIOCGWINSZ:
        /* All 0 is what a terminal of unknown size says on Linux. */
        if (console_size((struct winsize *)argument))
            *(struct winsize *)argument = (struct winsize){0};
        return 0;
    case TCGETS:
        *(struct termios *)argument = terminal;
        return 0;
    default:
        return -ENOTTY;
    }
}

/* What of the wanted events is there; the console's state is not asked for. */
static short poll_one(const struct pollfd *entry)
{
    if (entry->fd < 0)
        return 0;
    if (!is_open(entry->fd))
        return POLLNVAL;
    if (entry->fd == 0)
        return entry->events & (POLLIN | POLLRDNORM);
    return entry->events & (POLLOUT | POLLWRNORM);
}

long __mayfly_sys_poll(long entries, long count, long timeout_ms)
{
    struct pollfd *fds = (struct pollfd *)entries;
    uint64_t deadline = UINT64_MAX;
    long ready = 0;

    for (long i = 0; i < count; i++) {
        fds[i].revents = poll_one(&fds[i]);
        ready += fds[i].revents != 0;
    }
    if (ready || (int)timeout_ms == 0)
        return ready;
    if ((int)timeout_ms > 0)
        deadline = mf_clock_monotonic() + (uint64_t)timeout_ms * 1000000;
    mf_sleep_until(deadline);
    return 0;
}
