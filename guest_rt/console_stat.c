/* SPDX-License-Identifier: MIT */
/* What fstat says of the console. */
#include <sys/stat.h>

#include "guest_rt/console.h"
#include "guest_rt/file.h"

/* Linux's device number of a terminal: major 5, minor 1, /dev/console. */
#define CONSOLE_DEVICE 0x501

int console_stat(struct file *file, struct stat *stat)
{
    int number = console_number(file);
    bool is_tty = console_is_tty(number);

    stat->st_ino = (ino_t)number + 1;
    stat->st_nlink = 1;
    stat->st_mode = (is_tty ? S_IFCHR : S_IFIFO) | 0600;
    stat->st_rdev = is_tty ? CONSOLE_DEVICE : 0;
    stat->st_blksize = 4096;
    return 0;
}
