/* SPDX-License-Identifier: MIT */
/* Printing what calls returned. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

const char *name_of(int error)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        {EACCES, "EACCES"},         {EAGAIN, "EAGAIN"},
        {EBADF, "EBADF"},           {EBUSY, "EBUSY"},
        {EEXIST, "EEXIST"},         {EFAULT, "EFAULT"},
        {EFBIG, "EFBIG"},           {EINVAL, "EINVAL"},
        {EISDIR, "EISDIR"},         {ELOOP, "ELOOP"},
        {EMFILE, "EMFILE"},         {ENAMETOOLONG, "ENAMETOOLONG"},
        {ENOENT, "ENOENT"},         {ENOSPC, "ENOSPC"},
        {ENOTDIR, "ENOTDIR"},       {ENOTEMPTY, "ENOTEMPTY"},
        {ENOTTY, "ENOTTY"},         {ENXIO, "ENXIO"},
        {EOPNOTSUPP, "EOPNOTSUPP"}, {EOVERFLOW, "EOVERFLOW"},
        {EPERM, "EPERM"},           {EPIPE, "EPIPE"},
        {ESPIPE, "ESPIPE"},         {EXDEV, "EXDEV"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].number == error)
            return names[i].name;
    return strerror(error);
}

void show(const char *what, long result)
{
    if (result < 0)
        printf("%s: %s\n", what, name_of(errno));
    else
        printf("%s: %ld\n", what, result);
}

void show_text(const char *what, const char *content, long bytes)
{
    if (bytes < 0)
        printf("%s: %s\n", what, name_of(errno));
    else
        printf("%s: %ld \"%.*s\"\n", what, bytes, (int)bytes, content);
}

char text[8192];

long links_of(const char *path)
{
    struct stat stat;

    return lstat(path, &stat) ? -1 : (long)stat.st_nlink;
}

void write_file(const char *path, const char *content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd < 0 || write(fd, content, strlen(content)) < 0)
        printf("write_file %s: %s\n", path, name_of(errno));
    close(fd);
}

void show_file(const char *path)
{
    int fd = open(path, O_RDONLY);
    long bytes = fd < 0 ? -1 : read(fd, text, sizeof(text));

    show_text(path, text, bytes);
    if (fd >= 0)
        close(fd);
}
