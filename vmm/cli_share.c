/* SPDX-License-Identifier: MIT */
/* --share: its option, and the directory behind it. */
#include "vmm/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Below it is this process itself; virtio/p9.c refuses it, too. */
#define PROC_SUPER_MAGIC 0x9fa0

static int say_usage(const char *wrong)
{
    return cli_misuse(NULL,
                      "--share takes HOSTDIR[,rw][,iops=N][,bps=N]:/PATH, not "
                      "'%s'",
                      wrong);
}

/*
 * The ':' between the two directories: the last one that a '/' follows, so
 * that the host's may have any in its name. NULL: there is none.
 */
static char *find_separator(char *text)
{
    char *found = NULL;

    for (char *at = strstr(text, ":/"); at; at = strstr(at + 1, ":/"))
        found = at;
    return found;
}

/* Whether it is absolute, not the root, and written in one way only. */
static bool is_plain_path(const char *path)
{
    size_t bytes;

    if (path[0] != '/' || !path[1])
        return false;
    while (*path++ == '/') {
        bytes = strcspn(path, "/");
        if (bytes == 0 || strncmp(path, "./", 2) == 0 ||
            strncmp(path, "../", 3) == 0 || strcmp(path, ".") == 0 ||
            strcmp(path, "..") == 0)
            return false;
        path += bytes;
    }
    return true;
}

static int take_word(const char *word, struct cli_share *share)
{
    int status = cli_parse_rate("--share", "iops", word, &share->rate);

    if (status != CLI_OTHER)
        return status;
    if (strcmp(word, "rw") != 0 && strcmp(word, "ro") != 0)
        return say_usage(word);
    share->writable = strcmp(word, "rw") == 0;
    return CLI_OK;
}

int cli_parse_share(char *text, struct cli_share *share)
{
    char *separator = find_separator(text), *rest = text, *word;
    int status = CLI_OK;

    if (!separator || separator == text)
        return say_usage(text);
    *separator = '\0';
    *share = (struct cli_share){
        .directory = strsep(&rest, ","),
        .path = separator + 1,
    };
    for (char *end = separator + strlen(share->path);
         end > separator + 1 && *end == '/'; end--)
        *end = '\0';
    if (!*share->directory)
        return cli_misuse(NULL, "--share needs a directory");
    if (!is_plain_path(share->path) ||
        strlen(share->path) >= CLI_GUEST_PATH_BYTES)
        return cli_misuse(NULL,
                          "--share needs a plain path in the guest, such as "
                          "/data, not '%s'",
                          share->path);
    while (!status && (word = strsep(&rest, ",")) != NULL)
        status = take_word(word, share);
    return status;
}

/* Returns what makes the directory unfit, or NULL. */
static const char *find_fault(int fd)
{
    struct statfs system;

    if (fstatfs(fd, &system))
        return strerror(errno);
    return system.f_type == PROC_SUPER_MAGIC
               ? "the monitor itself could be reached through it (proc)"
               : NULL;
}

int cli_open_share(const struct cli_share *share, struct mayfly_share *opened)
{
    int fd = open(share->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *fault;

    if (fd < 0)
        return cli_fail(CLI_FAILED, "cannot share %s: %s", share->directory,
                        errno == ENOTDIR ? "it is not a directory"
                                         : strerror(errno));
    fault = find_fault(fd);
    if (fault) {
        close(fd);
        return cli_fail(CLI_FAILED, "cannot share %s: %s", share->directory,
                        fault);
    }
    *opened = (struct mayfly_share){
        .fd = fd,
        .read_only = !share->writable,
        .rate = share->rate,
    };
    return CLI_OK;
}
