/* SPDX-License-Identifier: MIT */
/* A disk in memory that remembers every write and flush. */
#include "tests/ext4/fake_disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

time_t fake_seconds = 1700000000;

/* ---- What the file system asks for -------------------------------------- */

void *ext4_pages_alloc(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

void ext4_pages_free(void *memory, size_t bytes)
{
    munmap(memory, bytes);
}

struct timespec ext4_time(void)
{
    return (struct timespec){.tv_sec = fake_seconds, .tv_nsec = 5};
}

uint64_t ext4_now_ns(void)
{
    static uint64_t now;

    return ++now;
}

bool ext4_has_sse42(void)
{
    return __builtin_cpu_supports("sse4.2");
}

void ext4_say(const char *text)
{
    if (getenv("EXT4_TEST_VERBOSE"))
        fprintf(stderr, "ext4: %s\n", text);
}

/* ---- The disk ----------------------------------------------------------- */

static struct fake_disk *of(struct ext4_disk *disk)
{
    return (struct fake_disk *)(void *)disk;
}

static void remember(struct fake_disk *disk, uint64_t offset, const void *data,
                     size_t bytes)
{
    struct fake_write *write;

    if (!disk->record)
        return;
    if (disk->count == disk->max) {
        disk->max = disk->max ? disk->max * 2 : 256;
        disk->log = realloc(disk->log, disk->max * sizeof(*disk->log));
        cr_assert_not_null(disk->log);
    }
    write = &disk->log[disk->count++];
    *write = (struct fake_write){offset, bytes, NULL};
    if (bytes) {
        write->data = malloc(bytes);
        cr_assert_not_null(write->data);
        memcpy(write->data, data, bytes);
    }
}

static int fake_start(struct ext4_disk *base, bool write, uint64_t sector,
                      const struct iovec *pieces, unsigned count)
{
    struct fake_disk *disk = of(base);
    uint64_t at = sector * EXT4_SECTOR_BYTES;

    cr_assert(disk->locked[EXT4_BLOCKS]);
    cr_assert(!write || disk->locked[EXT4_CHANGES]);
    cr_assert(count > 0 && count <= EXT4_PIECES_MAX);
    if (write ? disk->fail_after == 0 : disk->fail_reads)
        return -EIO;
    if (write && disk->fail_after > 0)
        disk->fail_after--;
    for (unsigned i = 0; i < count; i++) {
        size_t bytes = pieces[i].iov_len;

        cr_assert(bytes % EXT4_SECTOR_BYTES == 0);
        if (at + bytes > disk->bytes)
            return -EINVAL;
        if (write) {
            cr_assert(!base->read_only);
            memcpy(disk->image + at, pieces[i].iov_base, bytes);
            remember(disk, at, pieces[i].iov_base, bytes);
        } else {
            memcpy(pieces[i].iov_base, disk->image + at, bytes);
        }
        at += bytes;
    }
    return 0;
}

static int fake_wait(struct ext4_disk *base)
{
    (void)base;
    return 0;
}

static int fake_flush(struct ext4_disk *base)
{
    struct fake_disk *disk = of(base);

    cr_assert(disk->locked[EXT4_CHANGES]);
    if (disk->meanwhile)
        disk->meanwhile(disk);
    remember(disk, 0, NULL, 0);
    return 0;
}

static void fake_lock(struct ext4_disk *base, enum ext4_lock which)
{
    cr_assert(!of(base)->locked[which]);
    cr_assert(!of(base)->locked[EXT4_BLOCKS], "taken in the wrong order");
    of(base)->locked[which] = true;
}

static void fake_unlock(struct ext4_disk *base, enum ext4_lock which)
{
    cr_assert(of(base)->locked[which]);
    of(base)->locked[which] = false;
}

static void init(struct fake_disk *disk, size_t bytes)
{
    *disk = (struct fake_disk){
        .disk = {.sectors = bytes / EXT4_SECTOR_BYTES,
                 .start = fake_start,
                 .wait = fake_wait,
                 .flush = fake_flush,
                 .lock = fake_lock,
                 .unlock = fake_unlock},
        .bytes = bytes,
        .image = malloc(bytes),
        .fail_after = -1,
    };
    cr_assert_not_null(disk->image);
}

/* ---- Files, for mke2fs and e2fsck --------------------------------------- */

static void make_file(char *path, size_t bytes)
{
    int fd;

    strcpy(path, "/dev/shm/mayfly-ext4-XXXXXX");
    fd = mkstemp(path);
    cr_assert(fd >= 0, "mkstemp: %s", strerror(errno));
    cr_assert(ftruncate(fd, (off_t)bytes) == 0);
    close(fd);
}

static void move_file(const char *path, uint8_t *image, size_t bytes, bool save)
{
    int fd = open(path, O_RDWR);
    size_t done = 0;

    cr_assert(fd >= 0);
    while (done < bytes) {
        ssize_t part = save ? write(fd, image + done, bytes - done)
                            : read(fd, image + done, bytes - done);

        cr_assert(part > 0);
        done += (size_t)part;
    }
    close(fd);
}

void fake_make(struct fake_disk *disk, unsigned mib, const char *options,
               const char *from)
{
    char path[64], command[512];
    size_t bytes = (size_t)mib << 20;

    init(disk, bytes);
    make_file(path, bytes);
    snprintf(command, sizeof(command),
             "PATH=$PATH:/sbin:/usr/sbin mke2fs -q -F -t ext4 %s %s%s %s "
             ">/dev/null 2>&1",
             options, from ? "-d " : "", from ? from : "", path);
    cr_assert(system(command) == 0, "%s", command);
    move_file(path, disk->image, bytes, false);
    unlink(path);
}

void fake_free(struct fake_disk *disk)
{
    for (size_t i = 0; i < disk->count; i++)
        free(disk->log[i].data);
    free(disk->log);
    free(disk->base);
    free(disk->image);
}

void fake_record(struct fake_disk *disk)
{
    disk->base = malloc(disk->bytes);
    cr_assert_not_null(disk->base);
    memcpy(disk->base, disk->image, disk->bytes);
    disk->record = true;
}

void fake_crash(const struct fake_disk *disk, size_t count, unsigned seed,
                struct fake_disk *crashed)
{
    size_t flushed = 0;

    for (size_t i = 0; i < count; i++)
        if (!disk->log[i].bytes)
            flushed = i;
    init(crashed, disk->bytes);
    memcpy(crashed->image, disk->base, disk->bytes);
    for (size_t i = 0; i < count; i++) {
        const struct fake_write *write = &disk->log[i];

        if (!write->bytes)
            continue;
        if (i > flushed && seed && rand_r(&seed) % 2)
            continue;
        memcpy(crashed->image + write->offset, write->data, write->bytes);
    }
}

int fake_check(struct fake_disk *disk, const char *options)
{
    char path[64], command[256];
    int status;

    make_file(path, disk->bytes);
    move_file(path, disk->image, disk->bytes, true);
    snprintf(command, sizeof(command),
             "PATH=$PATH:/sbin:/usr/sbin e2fsck %s %s %s", options, path,
             getenv("EXT4_TEST_VERBOSE") ? ">&2" : ">/dev/null 2>&1");
    status = system(command);
    move_file(path, disk->image, disk->bytes, false);
    unlink(path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
