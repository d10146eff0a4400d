/* SPDX-License-Identifier: MIT */
/* Reads and writes disk 0 as fast as it goes, several requests at a time. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <mayfly/disk.h>

/*
 *   blkbench seq|rand read|write BYTES DEPTH COUNT [SEED]
 *   blkbench stamp|verify
 *
 * The first form makes COUNT requests of BYTES each, DEPTH of them in flight,
 * one after the other from the disk's beginning or in an order that depends on
 * SEED (1), and prints one line:
 *
 *   requests N bytes N ns N sum HEX min N median N
 *
 * ns is the time for all of them, min and median are of single requests and 0
 * unless DEPTH is 1. Buffers are touched, and results computed, outside of it,
 * but for two words of each sector: when a request is complete, sum grows by
 * (first + 3 * last word of the sector) * (2 * sector + 1) for each sector
 * read, whatever the order. A sector that is written begins with its stamp,
 * (sector + 1) * 0x9e3779b97f4a7c15, and ends with its complement; `stamp`
 * writes the whole disk so, and `verify` reads it and looks for stamps. Writes
 * end with a flush, outside of the time.
 *
 * The exit status is 1 when something failed; what it was is printed.
 */

#define WORDS     (DISK_SECTOR_BYTES / sizeof(uint64_t))
#define DEPTH_MAX 128u
#define COUNT_MAX 10000000u
#define BYTES_MAX (16u << 20)
#define CHUNK     2048u /* sectors, of stamp and verify */

struct run {
    int random;
    enum disk_op op;
    uint32_t sectors; /* of one request */
    unsigned depth;
    uint64_t count;
    uint64_t seed;
    uint64_t slots; /* places for a request on the disk */

    uint64_t begun, ended;
    uint64_t sum;
    uint32_t *latencies; /* of each request, in ns; NULL unless depth is 1 */
    struct disk_request requests[DEPTH_MAX];
};

static struct run run;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int complain(const char *what, int error)
{
    fprintf(stderr, "blkbench: %s: %s\n", what, strerror(-error));
    return 1;
}

/* ---- Sectors ------------------------------------------------------------ */

static uint64_t stamp_of(uint64_t sector)
{
    return (sector + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void stamp_sectors(uint64_t *words, uint64_t sector, uint64_t count)
{
    for (; count > 0; count--, sector++, words += WORDS) {
        words[0] = stamp_of(sector);
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

/* ---- Requests ----------------------------------------------------------- */

static uint64_t next_sector(void)
{
    uint64_t slot = run.begun;

    if (run.random) {
        run.seed = run.seed * UINT64_C(6364136223846793005) +
                   UINT64_C(1442695040888963407);
        slot = run.seed >> 24;
    }
    return slot % run.slots * run.sectors;
}

static int begin(struct disk_request *request)
{
    request->op = run.op;
    request->sector = next_sector();
    request->sectors = run.sectors;
    if (run.op == DISK_WRITE)
        stamp_sectors(request->buffer, request->sector, run.sectors);
    run.begun++;
    return disk_submit(0, request);
}

static int end(const struct disk_request *request)
{
    run.ended++;
    if (run.op == DISK_READ)
        run.sum += sum_sectors(request->buffer, request->sector, run.sectors);
    return request->error;
}

/* One at a time, each with its time. */
static int run_one_by_one(void)
{
    int error = 0;

    while (run.ended < run.count && !error) {
        uint64_t start = now_ns();

        error = begin(&run.requests[0]);
        if (!error)
            error = end(disk_complete(0, true));
        if (!error)
            run.latencies[run.ended - 1] = (uint32_t)(now_ns() - start);
    }
    return error;
}

static int run_many(void)
{
    int error = 0;

    for (unsigned i = 0; i < run.depth && run.begun < run.count && !error; i++)
        error = begin(&run.requests[i]);
    while (run.ended < run.count && !error) {
        struct disk_request *request = disk_complete(0, true);

        error = end(request);
        if (!error && run.begun < run.count)
            error = begin(request);
    }
    return error;
}

/* ---- Results ------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return left < right ? -1 : left > right;
}

static void print_results(uint64_t ns)
{
    uint32_t min = 0, median = 0;

    if (run.latencies) {
        qsort(run.latencies, run.count, sizeof(*run.latencies), compare);
        min = run.latencies[0];
        median = run.latencies[run.count / 2];
    }
    printf("requests %" PRIu64 " bytes %" PRIu64 " ns %" PRIu64
           " sum %016" PRIx64 " min %" PRIu32 " median %" PRIu32 "\n",
           run.ended, run.ended * run.sectors * DISK_SECTOR_BYTES, ns, run.sum,
           min, median);
}

/* ---- Setting up --------------------------------------------------------- */

/* Memory that is touched already. */
static void *get_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        fprintf(stderr, "blkbench: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    memset(memory, 0x5a, bytes);
    return memory;
}

static int prepare(void)
{
    size_t bytes = (size_t)run.sectors * DISK_SECTOR_BYTES;
    struct disk_info disk;
    int error = disk_open(0, &disk);

    if (error)
        return complain("disk 0", error);
    run.slots = disk.sectors / run.sectors;
    if (run.slots == 0 || run.depth > disk.depth) {
        fprintf(stderr,
                "blkbench: the disk has %" PRIu64 " sectors, depth %u\n",
                disk.sectors, disk.depth);
        return 1;
    }
    for (unsigned i = 0; i < run.depth; i++)
        run.requests[i].buffer = get_memory(bytes);
    if (run.depth == 1)
        run.latencies = get_memory(run.count * sizeof(*run.latencies));
    return 0;
}

static int measure(void)
{
    uint64_t start;
    int error;

    if (prepare())
        return 1;
    start = now_ns();
    error = run.depth == 1 ? run_one_by_one() : run_many();
    start = now_ns() - start;
    if (error)
        return complain("request", error);
    print_results(start);
    error = run.op == DISK_WRITE ? disk_flush(0) : 0;
    return error ? complain("flush", error) : 0;
}

/* Reads the command line. Returns 0, or -1 if it is not understood. */
static int parse(int argc, char **argv)
{
    uint64_t bytes;

    if (argc < 6 || argc > 7)
        return -1;
    run.random = strcmp(argv[1], "rand") == 0;
    run.op = strcmp(argv[2], "write") == 0 ? DISK_WRITE : DISK_READ;
    bytes = strtoull(argv[3], NULL, 0);
    run.sectors = (uint32_t)(bytes / DISK_SECTOR_BYTES);
    run.depth = (unsigned)strtoul(argv[4], NULL, 0);
    run.count = strtoull(argv[5], NULL, 0);
    run.seed = argc > 6 ? strtoull(argv[6], NULL, 0) : 1;
    if ((!run.random && strcmp(argv[1], "seq") != 0) ||
        (run.op == DISK_READ && strcmp(argv[2], "read") != 0) || bytes == 0 ||
        bytes > BYTES_MAX || bytes % DISK_SECTOR_BYTES != 0 || run.depth == 0 ||
        run.depth > DEPTH_MAX || run.count == 0 || run.count > COUNT_MAX)
        return -1;
    return 0;
}

/* ---- Whole disks -------------------------------------------------------- */

static int check_stamps(const uint64_t *words, uint64_t sector, uint64_t count)
{
    for (; count > 0; count--, sector++, words += WORDS)
        if (words[0] != stamp_of(sector) || words[WORDS - 1] != ~words[0]) {
            printf("sector %" PRIu64 " is wrong\n", sector);
            return 1;
        }
    return 0;
}

/* Stamps the whole disk, or looks for stamps. */
static int do_all(int write)
{
    uint64_t *words = get_memory(CHUNK * DISK_SECTOR_BYTES);
    struct disk_info disk;
    int error = disk_open(0, &disk);

    for (uint64_t at = 0; !error && at < disk.sectors; at += CHUNK) {
        uint64_t left = disk.sectors - at;
        long part = left < CHUNK ? (long)left : CHUNK, done;

        if (write)
            stamp_sectors(words, at, (uint64_t)part);
        done = write ? disk_write(0, at, words, part)
                     : disk_read(0, at, words, part);
        if (done < 0)
            error = (int)done;
        else if (!write && check_stamps(words, at, (uint64_t)part))
            return 1;
    }
    if (!error && write)
        error = disk_flush(0);
    if (error)
        return complain("disk 0", error);
    printf("%" PRIu64 " sectors %s\n", disk.sectors,
           write ? "stamped" : "as written");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "stamp") == 0)
        return do_all(1);
    if (argc == 2 && strcmp(argv[1], "verify") == 0)
        return do_all(0);
    if (parse(argc, argv)) {
        fprintf(stderr,
                "usage: blkbench seq|rand read|write BYTES DEPTH COUNT [SEED]\n"
                "       blkbench stamp|verify\n");
        return 2;
    }
    return measure();
}
