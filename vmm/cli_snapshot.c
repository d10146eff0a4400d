/* SPDX-License-Identifier: MIT */
/* The file that a snapshot is written to. */
#include "vmm/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Whether there is nothing in the file that could be lost: a snapshot's first
 * bytes are written last.
 */
static bool is_unfinished(int fd)
{
    static const char none[8];
    char first[8];
    ssize_t bytes = pread(fd, first, sizeof(first), 0);

    return bytes >= 0 && memcmp(first, none, (size_t)bytes) == 0;
}

static bool is_regular(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

int cli_open_snapshot(const char *path, int *fd)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return cli_fail(CLI_FAILED, "cannot write %s: %s", path,
                        strerror(errno));
    if (is_regular(*fd) && is_unfinished(*fd) && ftruncate(*fd, 0) == 0)
        return CLI_OK;
    bool regular = is_regular(*fd);
    close(*fd);
    if (!regular)
        return cli_fail(CLI_FAILED, "%s: a snapshot needs a regular file",
                        path);
    return cli_fail(CLI_FAILED,
                    "%s is there already: a snapshot is not written over "
                    "anything; remove it first",
                    path);
}
