/* SPDX-License-Identifier: MIT */
/* A disk in memory that remembers every write and flush, for crashes. */
#ifndef TESTS_EXT4_FAKE_DISK_H
#define TESTS_EXT4_FAKE_DISK_H

#include "guest_rt/ext4/ext4.h"

/* One write, or a flush (bytes 0). */
struct fake_write {
    uint64_t offset;
    size_t bytes;
    uint8_t *data;
};

struct fake_disk {
    struct ext4_disk disk;
    uint8_t *image;
    size_t bytes;
    bool record;
    uint8_t *base; /* the image when recording began */
    struct fake_write *log;
    size_t count, max;
    long fail_after; /* so many writes work; -1: all do */
    bool fail_reads;
    bool locked[2]; /* by enum ext4_lock */
    /* Called while it is flushed, as another thread. */
    void (*meanwhile)(struct fake_disk *disk);
};

/* The time of day. */
extern time_t fake_seconds;

/*
 * Makes a file system of so many MiB with mke2fs and these options, from the
 * files in directory `from` if that is not NULL.
 */
void fake_make(struct fake_disk *disk, unsigned mib, const char *options,
               const char *from);

void fake_free(struct fake_disk *disk);

/* From now on writes are remembered. */
void fake_record(struct fake_disk *disk);

/*
 * Makes `crashed` a disk as it may be after a crash when `count` operations of
 * the log had begun: what was flushed is there; of what came after the last
 * flush, all if `seed` is 0, else each write or not, by chance.
 */
void fake_crash(const struct fake_disk *disk, size_t count, unsigned seed,
                struct fake_disk *crashed);

/* Runs e2fsck with these options on the image, which it may change; its exit
 * status. */
int fake_check(struct fake_disk *disk, const char *options);

#endif
