/* SPDX-License-Identifier: MIT */
/* Small commands on files, for tests of shared directories. */

/*
 * share COMMAND [ARGUMENTS] [-- COMMAND ...]: each prints what it found, or the
 * name of its error, in a line that begins with the command and its first
 * argument. The exit status is the number of commands that failed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static char data[4 << 20];

static int fail(void)
{
    printf("%s\n", strerror(errno));
    return -1;
}

/* What a call that returns 0 or -1 has to say. */
static int say(int result)
{
    return result < 0 ? fail() : (printf("ok\n"), 0);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names, sorted; directories with a slash. */
static int list(char **arg)
{
    static char *names[8192];
    DIR *directory = opendir(arg[1]);
    unsigned count = 0;

    if (!directory)
        return fail();
    for (struct dirent *entry; (entry = readdir(directory));) {
        char name[300];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof(name), "%s%s", entry->d_name,
                 entry->d_type == DT_DIR   ? "/"
                 : entry->d_type == DT_LNK ? "@"
                                           : "");
        if (count < sizeof(names) / sizeof(names[0]))
            names[count++] = strdup(name);
    }
    closedir(directory);
    qsort(names, count, sizeof(names[0]), compare);
    for (unsigned i = 0; i < count && i < 20; i++)
        printf("%s ", names[i]);
    printf("(%u)\n", count);
    return 0;
}

static int cat(char **arg)
{
    int fd = open(arg[1], O_RDONLY);
    ssize_t bytes;

    if (fd < 0)
        return fail();
    bytes = read(fd, data, sizeof(data));
    close(fd);
    if (bytes < 0)
        return fail();
    printf("%.*s\n", (int)bytes, data);
    return 0;
}

static int write_by(const char *path, const char *text, int flags)
{
    size_t bytes = strlen(text);
    int fd = open(path, flags, 0640);
    ssize_t put;

    if (fd < 0)
        return fail();
    put = write(fd, text, bytes);
    if (put != (ssize_t)bytes || fsync(fd) || close(fd))
        return fail();
    printf("ok\n");
    return 0;
}

static int put(char **arg)
{
    return write_by(arg[1], arg[2], O_WRONLY | O_CREAT | O_TRUNC);
}

static int append(char **arg)
{
    return write_by(arg[1], arg[2], O_WRONLY | O_CREAT | O_APPEND);
}

/* Only who made it can write to a file that nobody may write to. */
static int secret(char **arg)
{
    int fd = open(arg[1], O_WRONLY | O_CREAT | O_EXCL, 0400);

    if (fd < 0)
        return fail();
    return say(write(fd, arg[2], strlen(arg[2])) > 0 ? close(fd) : -1);
}

static int status(char **arg)
{
    struct stat stat;

    if (lstat(arg[1], &stat))
        return fail();
    printf("%o %lu %u:%u %lld\n", stat.st_mode, (unsigned long)stat.st_nlink,
           stat.st_uid, stat.st_gid, (long long)stat.st_size);
    return 0;
}

static int mkdir_at(char **arg)
{
    return say(mkdir(arg[1], 0755));
}

static int remove_any(char **arg)
{
    return say(remove(arg[1]));
}

static int move(char **arg)
{
    return say(rename(arg[1], arg[2]));
}

static int hard_link(char **arg)
{
    return say(link(arg[1], arg[2]));
}

static int soft_link(char **arg)
{
    return say(symlink(arg[1], arg[2]));
}

static int read_link(char **arg)
{
    ssize_t bytes = readlink(arg[1], data, sizeof(data));

    if (bytes < 0)
        return fail();
    printf("%.*s\n", (int)bytes, data);
    return 0;
}

static int change_mode(char **arg)
{
    return say(chmod(arg[1], (mode_t)strtoul(arg[2], NULL, 8)));
}

static int cut(char **arg)
{
    return say(truncate(arg[1], atol(arg[2])));
}

static int touch(char **arg)
{
    struct timespec times[2] = {{1000, 1}, {2000, 2}};

    return say(utimensat(AT_FDCWD, arg[1], times, 0));
}

static int node(char **arg)
{
    return say(mknod(arg[1], (mode_t)strtoul(arg[2], NULL, 8) | 0666, 0x103));
}

/* An open file without a name can still be used. */
static int orphan(char **arg)
{
    struct stat stat;
    int fd = open(arg[1], O_RDWR | O_CREAT, 0600);

    if (fd < 0)
        return fail();
    if (unlink(arg[1]) || write(fd, "orphan", 6) != 6 || fstat(fd, &stat) ||
        ftruncate(fd, 3) || pread(fd, data, 10, 0) != 3)
        return fail();
    printf("%lld %.3s\n", (long long)stat.st_size, data);
    return close(fd);
}

/* Writes and reads back MiB of a pattern, by calls of 3 MiB and odd ones. */
static int large(char **arg)
{
    const size_t bytes = (size_t)3 << 20;
    int fd = open(arg[1], O_RDWR | O_CREAT | O_TRUNC, 0644);
    unsigned long sum = 0;

    if (fd < 0)
        return fail();
    for (size_t i = 0; i < bytes; i++)
        data[i] = (char)(i * 7 + i / 4096);
    if (write(fd, data, bytes) != (ssize_t)bytes ||
        pwrite(fd, data + 1, 12345, (off_t)bytes) != 12345)
        return fail();
    memset(data, 0, sizeof(data));
    if (pread(fd, data, sizeof(data), 0) != (ssize_t)bytes + 12345)
        return fail();
    for (size_t i = 0; i < bytes; i++)
        sum += data[i] != (char)(i * 7 + i / 4096);
    for (size_t i = 0; i < 12345; i++)
        sum += data[bytes + i] != data[i + 1];
    printf("%lu wrong, %lld bytes\n", sum, (long long)lseek(fd, 0, SEEK_END));
    return close(fd);
}

static int space(char **arg)
{
    struct statvfs statvfs_;

    if (statvfs(arg[1], &statvfs_))
        return fail();
    printf("%s, names of %lu\n", statvfs_.f_blocks ? "some" : "none",
           statvfs_.f_namemax);
    return 0;
}

static int check_access(char **arg)
{
    return say(access(arg[1], W_OK));
}

#define THREADS 24
#define ROUNDS  20

struct worker {
    pthread_t thread;
    const char *directory;
    unsigned number, failed;
};

/* One file, from its making to its end, among those of the others. */
static bool use_file(const struct worker *self, unsigned round)
{
    char path[300], other[300], text[4096], back[4096];
    size_t bytes = (self->number * 331 + round * 97) % sizeof(text) + 1;
    struct stat stat;
    int fd;

    snprintf(path, sizeof(path), "%s/%u", self->directory, self->number);
    snprintf(other, sizeof(other), "%s/moved-%u", self->directory,
             self->number);
    memset(text, (int)(self->number + round), bytes);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || write(fd, text, bytes) != (ssize_t)bytes ||
        rename(path, other) || lstat(other, &stat) ||
        stat.st_size != (off_t)bytes ||
        pread(fd, back, sizeof(back), 0) != (ssize_t)bytes ||
        memcmp(text, back, bytes) != 0)
        return false;
    return unlink(other) == 0 && close(fd) == 0 && access(path, F_OK) < 0;
}

static void name_round(char *path, size_t bytes, const char *directory,
                       unsigned round)
{
    snprintf(path, bytes, "%s/round-%u", directory, round);
}

static pthread_barrier_t barrier;

/* All make the same file at once, which whoever comes first does. */
static bool make_together(const struct worker *self, unsigned round)
{
    char path[300];
    int fd;

    name_round(path, sizeof(path), self->directory, round);
    pthread_barrier_wait(&barrier);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    return fd >= 0 && close(fd) == 0;
}

static void *work(void *context)
{
    struct worker *self = context;

    for (unsigned round = 0; round < ROUNDS; round++)
        self->failed += !make_together(self, round) || !use_file(self, round);
    return NULL;
}

/* More threads than the client has slots for messages. */
static int threads(char **arg)
{
    static struct worker workers[THREADS];
    unsigned failed = 0;

    pthread_barrier_init(&barrier, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.directory = arg[1], .number = i};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            return fail();
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        failed += workers[i].failed;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        char path[300];

        name_round(path, sizeof(path), arg[1], round);
        failed += unlink(path) < 0;
    }
    printf("%u of %u failed\n", failed, THREADS * ROUNDS);
    return 0;
}

/* Waits for a line of input. */
static int line(char **arg)
{
    (void)arg;
    fflush(stdout);
    return say(fgets(data, sizeof(data), stdin) ? 0 : -1);
}

/* Leaves the file open. */
static int leave(char **arg)
{
    return say(open(arg[1], O_RDWR) < 0 ? -1 : 0);
}

static const struct {
    const char *name;
    unsigned arguments;
    int (*run)(char **arg);
} commands[] = {
    {"ls", 1, list},
    {"cat", 1, cat},
    {"put", 2, put},
    {"append", 2, append},
    {"secret", 2, secret},
    {"stat", 1, status},
    {"mkdir", 1, mkdir_at},
    {"rm", 1, remove_any},
    {"mv", 2, move},
    {"ln", 2, hard_link},
    {"ln-s", 2, soft_link},
    {"readlink", 1, read_link},
    {"chmod", 2, change_mode},
    {"cut", 2, cut},
    {"touch", 1, touch},
    {"mknod", 2, node},
    {"orphan", 1, orphan},
    {"large", 1, large},
    {"df", 1, space},
    {"line", 1, line},
    {"threads", 1, threads},
    {"leave", 1, leave},
    {"access", 1, check_access},
};

/* Runs the command at `arg`. Returns whether it failed. */
static int run(char **arg, unsigned count)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(arg[0], commands[i].name) != 0)
            continue;
        if (count != commands[i].arguments + 1)
            break;
        printf("%s %s: ", arg[0], arg[1]);
        return commands[i].run(arg) != 0;
    }
    printf("%s: no such command\n", arg[0]);
    return 1;
}

int main(int argc, char **argv)
{
    int failed = 0, start = 1;

    for (int i = 1; i <= argc; i++) {
        if (i < argc && strcmp(argv[i], "--") != 0)
            continue;
        if (i > start)
            failed += run(argv + start, (unsigned)(i - start));
        start = i + 1;
    }
    return failed;
}
