/* SPDX-License-Identifier: MIT */
/* Prints what is in the files of this image and of --files. */

/*
 * That is every path below the arguments with its type, permissions, size, and
 * the sum of its bytes. "+PATH" appends a line to a file first.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* The sum of all bytes, each times its place. */
static unsigned long sum_of(const char *path)
{
    FILE *file = fopen(path, "r");
    unsigned long sum = 0, place = 1;
    int byte;

    if (!file)
        return 0;
    while ((byte = getc(file)) != EOF)
        sum += place++ * (unsigned long)byte;
    fclose(file);
    return sum;
}

static void show(const char *path);

static void show_directory(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, by_name);

    for (int i = 0; i < count; i++) {
        char below[PATH_MAX];

        if (strcmp(entries[i]->d_name, ".") && strcmp(entries[i]->d_name, ".."))
            if (snprintf(below, sizeof(below), "%s/%s", path,
                         entries[i]->d_name) < (int)sizeof(below))
                show(below);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

static void show(const char *path)
{
    char target[PATH_MAX] = "";
    struct stat status;

    if (lstat(path, &status)) {
        perror(path);
    } else if (S_ISDIR(status.st_mode)) {
        printf("d %04o %s\n", status.st_mode & 07777, path);
        show_directory(path);
    } else if (S_ISLNK(status.st_mode)) {
        if (readlink(path, target, sizeof(target) - 1) < 0)
            perror(path);
        printf("l %s -> %s\n", path, target);
    } else if (!S_ISREG(status.st_mode)) {
        printf("? %s\n", path);
    } else {
        printf("f %04o %s %lld %lu %lld\n", status.st_mode & 07777, path,
               (long long)status.st_size, sum_of(path),
               (long long)status.st_mtime);
    }
}

static void append(const char *path)
{
    FILE *file = fopen(path, "a");

    if (!file || fputs("appended\n", file) < 0 || fclose(file))
        perror(path);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '+')
            append(argv[i] + 1);
        else
            show(argv[i]);
    return 0;
}
