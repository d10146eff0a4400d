/* SPDX-License-Identifier: MIT */
/* The console as open files: what every program has of it. */
#include <asm/termbits.h>

#include "guest_rt/console.h"
#include "guest_rt/file.h"

/* In every image: rather small than fast. */
#pragma GCC optimize("Os")

#pragma weak console_read
#pragma weak console_stat
#pragma weak console_poll

const struct file_ops console_ops = {
    .read = console_read,
    .write = console_write,
    .stat = console_stat,
    .poll = console_poll,
    .ioctl = console_ioctl,
};

static const struct termios terminal = {
    .c_iflag = ICRNL | IXON,
    .c_oflag = OPOST | ONLCR,
    .c_cflag = B38400 | CS8 | CREAD,
    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK,
};

long console_write(struct file *file, const struct iovec *iov, int count,
                   off_t offset)
{
    (void)offset;
    return console_writev(console_number(file), iov, count);
}

long console_ioctl(struct file *file, unsigned request, long argument)
{
    if (!console_is_tty(console_number(file)))
        return -ENOTTY;
    if ((request == TIOCGWINSZ &&
         !user_can_write((void *)argument, sizeof(struct winsize))) ||
        (request == TCGETS &&
         !user_can_write((void *)argument, sizeof(struct termios))))
        return -EFAULT;
    switch (request) {
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
