/* SPDX-License-Identifier: MIT */
/* Files on a disk that is mounted on /data: writes them, checks them. */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/*
 *   persist calls        tries what programs do with files
 *   persist write        for ever: appends a record to /data/log, replaces
 *                        /data/state by renaming; both synced, and told
 *   persist check N      /data/log has N whole records at least
 *   persist lazy         writes a record without syncing it, and waits
 *   persist killed       the same, until a signal that has no handler ends it
 *   persist threads      four threads with files of their own
 *   persist mapped       a file of pages, for:
 *   persist map          four threads map it at once, and write through that
 */

#define RECORD_BYTES 512
#define THREADS      4
#define WRITES       200
#define MAP_NAME     "/data/mapped"
#define MAP_PAGE     4096
#define MAP_PAGES    (64 * THREADS)

static int failures;

static void check(int good, const char *what)
{
    if (good)
        return;
    printf("FAILED: %s (errno %d, %s)\n", what, errno, strerror(errno));
    failures++;
}

static void fill(char *record, unsigned long number)
{
    memset(record, '.', RECORD_BYTES);
    snprintf(record, RECORD_BYTES, "record %lu", number);
    record[RECORD_BYTES - 1] = '\n';
}

/* ---- Calls -------------------------------------------------------------- */

static void check_data(void)
{
    static char buffer[20000], back[20000];
    struct stat stat;
    int fd = open("/data/file", O_RDWR | O_CREAT | O_TRUNC, 0640);

    for (unsigned i = 0; i < sizeof(buffer); i++)
        buffer[i] = (char)(i * 7 + i / 256);
    check(fd >= 0, "open");
    check(write(fd, buffer, sizeof(buffer)) == sizeof(buffer), "write");
    check(pread(fd, back, sizeof(back), 0) == sizeof(back), "pread");
    check(!memcmp(buffer, back, sizeof(back)), "what was read");
    check(pwrite(fd, "x", 1, 100000) == 1, "write past the end");
    check(pread(fd, back, 100, 50000) == 100 && !back[0] && !back[99],
          "a hole");
    check(lseek(fd, 0, SEEK_HOLE) > 0 && lseek(fd, 30000, SEEK_DATA) > 30000,
          "seek holes");
    check(ftruncate(fd, 1000) == 0 && ftruncate(fd, 3000) == 0, "truncate");
    check(pread(fd, back, 3000, 0) == 3000 && !memcmp(buffer, back, 1000) &&
              !back[1000] && !back[2999],
          "after truncation");
    check(fallocate(fd, 0, 0, 1 << 20) == 0, "fallocate");
    check(fstat(fd, &stat) == 0 && stat.st_size == 1 << 20 &&
              stat.st_blocks >= 2048 && (stat.st_mode & 0777) == 0640,
          "fstat");
    check(fsync(fd) == 0 && fdatasync(fd) == 0, "fsync");
    check(unlink("/data/file") == 0, "unlink");
    check(pread(fd, back, 1000, 0) == 1000 && !memcmp(buffer, back, 1000),
          "an unlinked file");
    check(fstat(fd, &stat) == 0 && stat.st_nlink == 0, "no links");
    close(fd);
}

static int count_entries(const char *path)
{
    DIR *directory = opendir(path);
    int count = 0;

    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

static void check_names(void)
{
    char name[64], target[64] = "";
    struct stat stat;

    check(mkdir("/data/dir", 0700) == 0, "mkdir");
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "/data/dir/a-file-of-many-%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    check(count_entries("/data/dir") == 302, "readdir");
    check(rmdir("/data/dir") == -1 && errno == ENOTEMPTY, "rmdir, not empty");
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "/data/dir/a-file-of-many-%d", i);
        check(unlink(name) == 0, name);
    }
    check(symlink("somewhere/else", "/data/link") == 0, "symlink");
    check(readlink("/data/link", target, sizeof(target)) == 14 &&
              !strcmp(target, "somewhere/else"),
          "readlink");
    close(open("/data/one", O_CREAT | O_WRONLY, 0600));
    check(link("/data/one", "/data/dir/two") == 0, "link");
    check(lstat("/data/one", &stat) == 0 && stat.st_nlink == 2, "links");
    check(rename("/data/one", "/data/dir/three") == 0, "rename");
    check(mkdir("/data/dir/sub", 0700) == 0 &&
              rename("/data/dir/sub", "/data/sub") == 0,
          "rename a directory");
    check(lstat("/data/dir", &stat) == 0 && stat.st_nlink == 2,
          "links of a directory");
    check(unlink("/data/dir/two") == 0 && unlink("/data/dir/three") == 0 &&
              unlink("/data/link") == 0 && rmdir("/data/sub") == 0 &&
              rmdir("/data/dir") == 0,
          "cleaning up");
}

static int run_calls(void)
{
    struct statvfs before, after;

    check(statvfs("/data", &before) == 0, "statvfs");
    check_data();
    check_names();
    sync();
    check(statvfs("/data", &after) == 0, "statvfs");
    check(after.f_bfree == before.f_bfree && after.f_ffree == before.f_ffree,
          "all space is free again");
    printf("calls: %s\n", failures ? "failed" : "ok");
    return failures != 0;
}

/* ---- Power cuts --------------------------------------------------------- */

static void replace_state(const char *record)
{
    int fd = open("/data/state.new", O_CREAT | O_TRUNC | O_WRONLY, 0600);

    check(fd >= 0 && write(fd, record, RECORD_BYTES) == RECORD_BYTES &&
              fsync(fd) == 0,
          "state");
    close(fd);
    check(rename("/data/state.new", "/data/state") == 0, "rename");
    /* As on Linux, the new name is promised when its directory is synced. */
    fd = open("/data", O_RDONLY | O_DIRECTORY);
    check(fd >= 0 && fsync(fd) == 0, "sync the directory");
    close(fd);
}

static int run_write(void)
{
    int fd = open("/data/log", O_CREAT | O_APPEND | O_WRONLY, 0600);
    unsigned long number = (unsigned long)lseek(fd, 0, SEEK_END) / RECORD_BYTES;
    char record[RECORD_BYTES];

    check(fd >= 0, "open the log");
    while (!failures) {
        fill(record, number++);
        check(write(fd, record, RECORD_BYTES) == RECORD_BYTES, "append");
        check(fdatasync(fd) == 0, "sync the log");
        replace_state(record);
        printf("synced %lu\n", number);
        fflush(stdout);
    }
    return 1;
}

/* Nobody syncs: the runtime does, after some seconds. */
static int run_lazy(void)
{
    int fd = open("/data/log", O_CREAT | O_APPEND | O_WRONLY, 0600);
    char record[RECORD_BYTES];

    fill(record, 1);
    replace_state(record);
    fill(record, 0);
    check(write(fd, record, RECORD_BYTES) == RECORD_BYTES, "append");
    fill(record, 1);
    check(write(fd, record, RECORD_BYTES) == RECORD_BYTES, "append");
    sleep(7);
    puts("waited");
    fflush(stdout);
    pause();
    return failures != 0;
}

static int run_check(unsigned long wanted)
{
    FILE *file = fopen("/data/log", "r");
    char found[RECORD_BYTES], right[RECORD_BYTES];
    unsigned long count = 0;

    while (file && fread(found, RECORD_BYTES, 1, file) == 1) {
        fill(right, count++);
        check(!memcmp(found, right, RECORD_BYTES), "a record");
    }
    check(count >= wanted, "all records that were promised");
    if (file)
        fclose(file);
    file = fopen("/data/state", "r");
    if (wanted) {
        check(file && fread(found, RECORD_BYTES, 1, file) == 1, "the state");
        check(strtoul(found + strlen("record "), NULL, 10) + 1 >= wanted,
              "the last state");
    }
    if (file)
        fclose(file);
    printf("check: %lu records, %s\n", count, failures ? "failed" : "ok");
    return failures != 0;
}

/* ---- Threads ------------------------------------------------------------ */

static void *work(void *argument)
{
    char name[32], record[RECORD_BYTES], back[RECORD_BYTES];
    long self = (long)argument;
    int fd;

    snprintf(name, sizeof(name), "/data/thread-%ld", self);
    fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600);
    check(fd >= 0, name);
    for (unsigned long i = 0; i < WRITES; i++) {
        fill(record, i * THREADS + (unsigned long)self);
        check(write(fd, record, RECORD_BYTES) == RECORD_BYTES, "write");
        if (i % 10 == 0)
            check(fsync(fd) == 0, "fsync");
    }
    for (unsigned long i = 0; i < WRITES; i++) {
        fill(record, i * THREADS + (unsigned long)self);
        check(pread(fd, back, RECORD_BYTES, (off_t)i * RECORD_BYTES) ==
                      RECORD_BYTES &&
                  !memcmp(record, back, RECORD_BYTES),
              "read");
    }
    close(fd);
    check(unlink(name) == 0, "unlink");
    return NULL;
}

static int run_threads(void)
{
    pthread_t threads[THREADS];

    for (long i = 0; i < THREADS; i++)
        check(!pthread_create(&threads[i], NULL, work, (void *)i), "create");
    for (long i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("threads: %s\n", failures ? "failed" : "ok");
    return failures != 0;
}

/* ---- Mappings ----------------------------------------------------------- */

static int run_mapped(void)
{
    static char page[MAP_PAGE];
    int fd = open(MAP_NAME, O_CREAT | O_TRUNC | O_RDWR, 0600);

    memset(page, 'm', sizeof(page));
    for (int i = 0; i < MAP_PAGES; i++)
        check(write(fd, page, sizeof(page)) == sizeof(page), "write");
    return failures != 0;
}

struct mapper {
    pthread_t thread;
    pthread_barrier_t *barrier;
    char *at;
    int number;
};

/* Writes the pages of its own, and ends the mapping when all others do. */
static void *map(void *argument)
{
    const size_t bytes = MAP_PAGES * MAP_PAGE;
    struct mapper *self = argument;
    int fd = open(MAP_NAME, O_RDWR);

    pthread_barrier_wait(self->barrier);
    self->at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    check(self->at != MAP_FAILED, "mmap");
    for (int i = self->number; i < MAP_PAGES; i += THREADS) {
        check(self->at[i * MAP_PAGE] == 'm', "what was mapped");
        self->at[i * MAP_PAGE] = (char)('0' + self->number);
    }
    pthread_barrier_wait(self->barrier);
    check(msync(self->at, bytes, MS_SYNC) == 0, "msync");
    check(munmap(self->at, bytes) == 0, "munmap");
    return NULL;
}

static int run_map(void)
{
    int fd = open(MAP_NAME, O_RDWR);
    struct mapper mappers[THREADS];
    pthread_barrier_t barrier;
    char byte;

    pthread_barrier_init(&barrier, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        mappers[i] = (struct mapper){.barrier = &barrier, .number = i};
        check(!pthread_create(&mappers[i].thread, NULL, map, &mappers[i]),
              "create");
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(mappers[i].thread, NULL);
        check(mappers[i].at == mappers[0].at, "one address for all");
    }
    for (int i = 0; i < MAP_PAGES; i++)
        check(pread(fd, &byte, 1, i * MAP_PAGE) == 1 &&
                  byte == '0' + i % THREADS,
              "what all have written");
    close(fd);
    printf("map: %s\n", failures ? "failed" : "ok");
    return failures != 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "calls";

    if (!strcmp(what, "write"))
        return run_write();
    if (!strcmp(what, "check"))
        return run_check(argc > 2 ? strtoul(argv[2], NULL, 10) : 0);
    if (!strcmp(what, "lazy"))
        return run_lazy();
    if (!strcmp(what, "killed")) {
        alarm(1);
        return run_lazy();
    }
    if (!strcmp(what, "threads"))
        return run_threads();
    if (!strcmp(what, "mapped"))
        return run_mapped();
    if (!strcmp(what, "map"))
        return run_map();
    return run_calls();
}
