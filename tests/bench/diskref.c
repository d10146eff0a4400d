/* SPDX-License-Identifier: MIT */
/* What a disk is compared with: the work of blkbench, by a host process. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 *   diskref FILE seq|rand read|write BYTES COUNT [SEED]
 *
 * COUNT calls of pread() or pwrite(), one after the other, at the places that
 * images/blkbench chooses, with the same two words of each sector read or
 * stamped and the same line printed: equal sums are equal data. Writes end with
 * fdatasync(), outside of the time, as blkbench's end with a flush.
 */

#define SECTOR_BYTES 512u
#define WORDS        (SECTOR_BYTES / sizeof(uint64_t))

struct work {
    int fd;
    int random;
    int write;
    uint64_t sectors; /* of one request */
    uint64_t count;
    uint64_t seed;
    uint64_t slots; /* places for a request in the file */
    uint64_t sum;
    uint64_t *buffer;
    uint32_t *latencies; /* of each request, in ns */
};

static void die(const char *what)
{
    fprintf(stderr, "diskref: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void stamp_sectors(uint64_t *words, uint64_t sector, uint64_t count)
{
    for (; count > 0; count--, sector++, words += WORDS) {
        words[0] = (sector + 1) * UINT64_C(0x9e3779b97f4a7c15);
        words[WORDS - 1] = ~words[0];
    }
}

static uint64_t sum_sectors(const uint64_t *words, uint64_t sector,
                            uint64_t count)
{
    uint64_t sum = 0;

    for (; count > 0; count--, sector++, words += WORDS)
        sum += (words[0] + 3 * words[WORDS - 1]) * (2 * sector + 1);
    return sum;
}

static uint64_t next_sector(struct work *work, uint64_t index)
{
    uint64_t slot = index;

    if (work->random) {
        work->seed = work->seed * UINT64_C(6364136223846793005) +
                     UINT64_C(1442695040888963407);
        slot = work->seed >> 24;
    }
    return slot % work->slots * work->sectors;
}

static void request(struct work *work, uint64_t index)
{
    uint64_t sector = next_sector(work, index);
    size_t bytes = work->sectors * SECTOR_BYTES;
    off_t at = (off_t)(sector * SECTOR_BYTES);
    ssize_t done;

    if (work->write) {
        stamp_sectors(work->buffer, sector, work->sectors);
        done = pwrite(work->fd, work->buffer, bytes, at);
    } else {
        done = pread(work->fd, work->buffer, bytes, at);
    }
    if (done != (ssize_t)bytes)
        die("request");
    if (!work->write)
        work->sum += sum_sectors(work->buffer, sector, work->sectors);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void run(struct work *work)
{
    uint64_t start = now_ns(), ns;

    for (uint64_t i = 0; i < work->count; i++) {
        uint64_t begun = now_ns();

        request(work, i);
        work->latencies[i] = (uint32_t)(now_ns() - begun);
    }
    ns = now_ns() - start;
    if (work->write && fdatasync(work->fd))
        die("fdatasync");
    qsort(work->latencies, work->count, sizeof(*work->latencies), compare);
    printf("requests %" PRIu64 " bytes %" PRIu64 " ns %" PRIu64
           " sum %016" PRIx64 " min %" PRIu32 " median %" PRIu32 "\n",
           work->count, work->count * work->sectors * SECTOR_BYTES, ns,
           work->sum, work->latencies[0], work->latencies[work->count / 2]);
}

/* Memory that is touched already. */
static void *get_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        die("memory");
    return memset(memory, 0x5a, bytes);
}

static void prepare(struct work *work, const char *path)
{
    struct stat about;

    work->fd = open(path, (work->write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (work->fd < 0 || fstat(work->fd, &about))
        die(path);
    work->slots = (uint64_t)about.st_size / SECTOR_BYTES / work->sectors;
    errno = ENOSPC;
    if (!work->slots)
        die(path);
    work->buffer = get_memory(work->sectors * SECTOR_BYTES);
    work->latencies = get_memory(work->count * sizeof(*work->latencies));
}

int main(int argc, char **argv)
{
    struct work work = {.seed = 1};

    if (argc == 6 || argc == 7) {
        work.random = strcmp(argv[2], "rand") == 0;
        work.write = strcmp(argv[3], "write") == 0;
        work.sectors = strtoull(argv[4], NULL, 0) / SECTOR_BYTES;
        work.count = strtoull(argv[5], NULL, 0);
    }
    if (argc == 7)
        work.seed = strtoull(argv[6], NULL, 0);
    if (!work.sectors || !work.count) {
        fputs("usage: diskref FILE seq|rand read|write BYTES COUNT [SEED]\n",
              stderr);
        return 2;
    }
    prepare(&work, argv[1]);
    run(&work);
    return 0;
}
