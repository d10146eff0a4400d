/* SPDX-License-Identifier: MIT */
/* --disk: its option, the file behind it, and the lock on that. */
#include "vmm/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR_BYTES 512

static int take_word(const char *word, struct cli_disk *disk)
{
    int status = cli_parse_rate("--disk", "iops", word, &disk->rate);

    if (status != CLI_OTHER)
        return status;
    if (strcmp(word, "ro") == 0) {
        disk->read_only = true;
    } else if (strcmp(word, "direct") == 0) {
        disk->direct = true;
    } else if (strncmp(word, "id=", 3) == 0) {
        disk->id = word + 3;
        if (!*disk->id || strlen(disk->id) > MAYFLY_DISK_ID_BYTES)
            return cli_misuse(NULL, "--disk takes id= of 1 to %d bytes",
                              MAYFLY_DISK_ID_BYTES);
    } else if (strncmp(word, "mount=", 6) == 0) {
        disk->mount = word + 6;
        if (*disk->mount != '/' || strlen(disk->mount) >= CLI_GUEST_PATH_BYTES)
            return cli_misuse(NULL, "--disk takes mount= and an absolute "
                                    "path of the guest");
    } else {
        return cli_misuse(NULL,
                          "--disk takes FILE[,ro][,mount=PATH][,id=NAME]"
                          "[,direct][,iops=N][,bps=N], not '%s'",
                          word);
    }
    return CLI_OK;
}

int cli_parse_disk(char *text, struct cli_disk *disk)
{
    char *rest = text, *word = strsep(&rest, ",");
    int status = CLI_OK;

    *disk = (struct cli_disk){.path = word};
    if (!*word)
        return cli_misuse(NULL, "--disk needs a file");
    while (!status && (word = strsep(&rest, ",")) != NULL)
        status = take_word(word, disk);
    if (!status && disk->direct && disk->mount)
        return cli_misuse(NULL,
                          "--disk takes mount= or direct, not both: the "
                          "guest's file system writes superblocks and its "
                          "journal from memory that is not aligned as direct "
                          "access may need it");
    return status;
}

/* Returns what makes the file unfit, or NULL. */
static const char *find_fault(int fd)
{
    struct stat status;
    off_t bytes;

    if (fstat(fd, &status))
        return strerror(errno);
    if (S_ISDIR(status.st_mode))
        return "it is a directory";
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return "it is neither a regular file nor a block device";
    bytes = lseek(fd, 0, SEEK_END);
    if (bytes < 0)
        return strerror(errno);
    return bytes < SECTOR_BYTES ? "it is smaller than a sector (512 bytes)"
                                : NULL;
}

/* One writer, or readers only. The lock goes when the process does. */
static const char *lock_file(int fd, bool read_only)
{
    if (flock(fd, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
        return NULL;
    if (errno != EWOULDBLOCK)
        return strerror(errno);
    return read_only ? "it is locked: someone may write to it"
                     : "it is locked: a disk has one writer, or readers only";
}

int cli_open_disk(const struct cli_disk *disk, struct mayfly_disk *opened)
{
    /* O_NONBLOCK: a FIFO is to be refused, not waited for. */
    int flags = O_CLOEXEC | O_NONBLOCK | (disk->direct ? O_DIRECT : 0) |
                (disk->read_only ? O_RDONLY : O_RDWR);
    int fd = open(disk->path, flags);
    const char *fault;

    if (fd < 0)
        return cli_fail(CLI_FAILED, "cannot open disk %s%s: %s", disk->path,
                        disk->direct ? " for direct access" : "",
                        strerror(errno));
    fault = find_fault(fd);
    if (!fault)
        fault = lock_file(fd, disk->read_only);
    if (fault) {
        close(fd);
        return cli_fail(CLI_FAILED, "cannot use disk %s: %s", disk->path,
                        fault);
    }
    *opened = (struct mayfly_disk){
        .fd = fd,
        .read_only = disk->read_only,
        .id = disk->id,
        .rate = disk->rate,
    };
    return CLI_OK;
}
