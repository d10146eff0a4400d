/* SPDX-License-Identifier: MIT */
/* What a process has in memory, with pages that are shared told apart. */
#include "vmm/server/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_BYTES 4096 /* Linux writes about 700 */

/* Linux, Documentation/filesystems/proc.rst; all of them since 5.3. */
static const struct {
    const char *key;
    size_t offset;
} lines[] = {
    {"Pss_Anon:", offsetof(struct memory_use, anonymous)},
    {"Pss_Shmem:", offsetof(struct memory_use, shmem)},
    {"Pss_File:", offsetof(struct memory_use, file)},
    {"Private_Clean:", offsetof(struct memory_use, private)},
    {"Private_Dirty:", offsetof(struct memory_use, private)},
    {"Shared_Clean:", offsetof(struct memory_use, shared)},
    {"Shared_Dirty:", offsetof(struct memory_use, shared)},
};

#define LINES (sizeof(lines) / sizeof(lines[0]))

int memory_open(pid_t pid)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", (long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Adds the line, if it is one of ours. Returns whether it is. */
static bool add_line(const char *line, struct memory_use *sum)
{
    for (size_t i = 0; i < LINES; i++) {
        size_t length = strlen(lines[i].key);

        if (strncmp(line, lines[i].key, length) != 0)
            continue;
        *(uint64_t *)((char *)sum + lines[i].offset) +=
            strtoull(line + length, NULL, 10) << 10;
        return true;
    }
    return false;
}

int memory_add_text(char *text, struct memory_use *sum)
{
    struct memory_use use = *sum;
    size_t found = 0;
    char *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest))
        found += add_line(line, &use);
    if (found != LINES)
        return -EINVAL;
    *sum = use;
    return 0;
}

int memory_add(int fd, struct memory_use *sum)
{
    char text[TEXT_BYTES];
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);

    if (got < 0)
        return -errno;
    text[got] = '\0';
    return memory_add_text(text, sum);
}
