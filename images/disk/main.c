/* SPDX-License-Identifier: MIT */
/* Does with disk 0 what its arguments say, one word after the other. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <mayfly/disk.h>

/*
 *   info             size and kind of every disk
 *   read FIRST N     reads N sectors, prints a checksum (FNV-1a)
 *   dump FIRST N     reads N sectors, writes them to standard output
 *   fill FIRST N     writes a pattern that depends on the sector's number
 *   verify FIRST N   reads and compares with it
 *   flush
 *   discard FIRST N
 *   wait             waits for a byte on standard input
 *   bench COUNT      COUNT random reads of 4 KiB, prints ns for each
 *
 * The exit status is 1 when something failed; what it was is printed.
 */

#define CHUNK_SECTORS 2048

static unsigned char chunk[CHUNK_SECTORS * DISK_SECTOR_BYTES]
    __attribute__((aligned(4096), section(".lbss")));

typedef long operation(uint64_t first, uint64_t count);

/* Every sector differs from all others and from itself shifted. */
static void make_pattern(uint64_t sector, unsigned char *to)
{
    uint64_t value = (sector + 1) * 0x9e3779b97f4a7c15u;

    for (unsigned i = 0; i < DISK_SECTOR_BYTES; i += sizeof(value)) {
        memcpy(to + i, &value, sizeof(value));
        value = value * 6364136223846793005u + 1442695040888963407u;
    }
}

static long info(uint64_t first, uint64_t count)
{
    (void)first;
    (void)count;
    for (int i = 0; i < disk_count(); i++) {
        struct disk_info disk;
        int error = disk_open((unsigned)i, &disk);

        if (error)
            return error;
        printf("disk %d: %llu sectors%s%s id '%s'\n", i,
               (unsigned long long)disk.sectors,
               disk.read_only ? " read-only" : "",
               disk.can_discard ? " discard" : "", disk.id);
    }
    return 0;
}

static uint64_t add_to_checksum(uint64_t sum, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        sum = (sum ^ chunk[i]) * 0x100000001b3u;
    return sum;
}

static long part_of(uint64_t count)
{
    return count < CHUNK_SECTORS ? (long)count : CHUNK_SECTORS;
}

static long read_all(uint64_t first, uint64_t count)
{
    uint64_t sum = 0xcbf29ce484222325u;

    while (count > 0) {
        long done = disk_read(0, first, chunk, part_of(count));

        if (done < 0)
            return done;
        sum = add_to_checksum(sum, (size_t)done * DISK_SECTOR_BYTES);
        first += (uint64_t)done;
        count -= (uint64_t)done;
    }
    printf("checksum %016llx\n", (unsigned long long)sum);
    return 0;
}

static long dump(uint64_t first, uint64_t count)
{
    while (count > 0) {
        long done = disk_read(0, first, chunk, part_of(count));

        if (done < 0)
            return done;
        fwrite(chunk, DISK_SECTOR_BYTES, (size_t)done, stdout);
        first += (uint64_t)done;
        count -= (uint64_t)done;
    }
    return 0;
}

static long fill(uint64_t first, uint64_t count)
{
    while (count > 0) {
        long part = part_of(count);

        for (long i = 0; i < part; i++)
            make_pattern(first + (uint64_t)i, chunk + i * DISK_SECTOR_BYTES);
        part = disk_write(0, first, chunk, part);
        if (part < 0)
            return part;
        first += (uint64_t)part;
        count -= (uint64_t)part;
    }
    return 0;
}

static long verify(uint64_t first, uint64_t count)
{
    unsigned char right[DISK_SECTOR_BYTES];

    while (count > 0) {
        long done = disk_read(0, first, chunk, part_of(count));

        if (done < 0)
            return done;
        for (long i = 0; i < done; i++, first++, count--) {
            make_pattern(first, right);
            if (memcmp(right, chunk + i * DISK_SECTOR_BYTES, sizeof(right))) {
                printf("sector %llu is wrong\n", (unsigned long long)first);
                return 1;
            }
        }
    }
    printf("as written\n");
    return 0;
}

static long flush(uint64_t first, uint64_t count)
{
    (void)first;
    (void)count;
    return disk_flush(0);
}

static long discard(uint64_t first, uint64_t count)
{
    return disk_discard(0, first, count);
}

static long wait_for_byte(uint64_t first, uint64_t count)
{
    (void)first;
    (void)count;
    return getchar() == EOF;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#define BENCH_SECTORS 8 /* 4 KiB */

static long bench(uint64_t count, uint64_t unused)
{
    struct disk_info disk;
    uint64_t random = 1, blocks, start;
    long error = disk_open(0, &disk);

    (void)unused;
    blocks = error ? 0 : disk.sectors / BENCH_SECTORS;
    if (blocks == 0 || count == 0)
        return error ? error : 1;
    start = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        error = disk_read(0, (random >> 33) % blocks * BENCH_SECTORS, chunk,
                          BENCH_SECTORS);
        if (error < 0)
            return error;
    }
    printf("%llu ns a read\n",
           (unsigned long long)((now_ns() - start) / count));
    return 0;
}

static const struct {
    const char *name;
    int numbers;
    operation *run;
} operations[] = {
    {"info", 0, info},       {"read", 2, read_all},      {"dump", 2, dump},
    {"fill", 2, fill},       {"verify", 2, verify},      {"flush", 0, flush},
    {"discard", 2, discard}, {"wait", 0, wait_for_byte}, {"bench", 1, bench},
};

#define OPERATIONS (int)(sizeof(operations) / sizeof(operations[0]))

/* Returns the operation with this name, or -1. */
static int find_operation(const char *name)
{
    for (int i = 0; i < OPERATIONS; i++)
        if (strcmp(name, operations[i].name) == 0)
            return i;
    return -1;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc;) {
        int which = find_operation(argv[i]);
        uint64_t numbers[2] = {0};
        long error;

        if (which < 0 || argc - i <= operations[which].numbers) {
            fprintf(stderr, "what is '%s'?\n", argv[i]);
            return 2;
        }
        for (int k = 0; k < operations[which].numbers; k++)
            numbers[k] = strtoull(argv[i + 1 + k], NULL, 0);
        error = operations[which].run(numbers[0], numbers[1]);
        if (error < 0)
            fprintf(stderr, "%s: %s\n", argv[i], strerror((int)-error));
        if (error)
            return 1;
        i += 1 + operations[which].numbers;
    }
    return 0;
}
