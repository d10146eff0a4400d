/* SPDX-License-Identifier: MIT */
/* Directories. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(const char *path)
{
    DIR *directory = opendir(path);
    char *names[64];
    int count = 0;
    struct dirent *entry;

    if (!directory) {
        printf("list %s: %s\n", path, name_of(errno));
        return;
    }
    while ((entry = readdir(directory)) && count < 64) {
        names[count] = malloc(strlen(entry->d_name) + 8);
        sprintf(names[count++], "%s:%d", entry->d_name, entry->d_type);
    }
    closedir(directory);
    qsort(names, (size_t)count, sizeof(names[0]), by_name);
    printf("list %s:", path);
    for (int i = 0; i < count; i++) {
        printf(" %s", names[i]);
        free(names[i]);
    }
    printf("\n");
}

void check_directories(void)
{
    char path[PATH_MAX];
    int fd;

    puts("-- directories");
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("d/e/", 0700));
    SHOW(mkdir("x/y", 0700));
    SHOW(mkdir("/", 0700));
    SHOW(mkdir("d/.", 0700));
    SHOW(links_of("d"));
    OPEN(fd, open("d/f", O_WRONLY | O_CREAT, 0644));
    SHOW(close(fd));
    SHOW(symlink("f", "d/s"));
    SHOW(mkfifo("d/p", 0644));
    list("d");
    list("missing");
    list("d/f");
    SHOW(rmdir("d"));
    SHOW(rmdir("d/f"));
    SHOW(rmdir("d/s"));
    SHOW(rmdir("d/e/."));
    SHOW(rmdir("d/e/.."));
    SHOW(rmdir("missing"));
    SHOW(unlink("d/e"));
    SHOW(unlink("d/f/"));
    SHOW(unlink("d/e/"));
    SHOW(chdir("d/e"));
    SHOW(access("../f", F_OK));
    SHOW(access("../../d/e/../f", R_OK));
    SHOW(access("../f", X_OK));
    SHOW(strlen(getcwd(path, sizeof(path))) > 4 &&
         !strcmp(path + strlen(path) - 4, "/d/e"));
    SHOW((long)getcwd(path, 3) - (long)NULL ? 0 : -1);
    SHOW(chdir(".."));
    SHOW(chdir("f"));
    SHOW(chdir("missing"));
    SHOW(chdir(".."));
    OPEN(fd, open("d", O_RDONLY | O_DIRECTORY));
    SHOW(read(fd, text, 10));
    SHOW(openat(fd, "f", O_RDONLY | O_NOFOLLOW | O_CLOEXEC) >= 0);
    SHOW(faccessat(fd, "e", F_OK, 0));
    SHOW(unlinkat(fd, "p", 0));
    SHOW(unlinkat(fd, "e", AT_REMOVEDIR));
    SHOW(unlinkat(fd, "f", 1));
    SHOW(fchdir(fd));
    SHOW(access("f", F_OK));
    SHOW(chdir(".."));
    SHOW(close(fd));
    SHOW(unlink("d/f"));
    SHOW(unlink("d/s"));
    SHOW(rmdir("d"));
    SHOW(links_of("d"));
}

void check_many(void)
{
    char name[32];
    int left = 0, seen = 0;
    DIR *directory;
    struct dirent *entry;

    puts("-- many files");
    SHOW(mkdir("many", 0755));
    SHOW(chdir("many"));
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "file-%d", i);
        left += close(open(name, O_WRONLY | O_CREAT, 0644)) == 0;
    }
    printf("made %d\n", left);
    /* Removing while reading is what rm -r does. */
    directory = opendir(".");
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.') {
            seen++;
            left -= unlink(entry->d_name) == 0;
        }
    closedir(directory);
    printf("seen %d, left %d\n", seen, left);
    SHOW(chdir(".."));
    SHOW(rmdir("many"));
}
