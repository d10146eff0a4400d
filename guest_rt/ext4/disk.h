/* SPDX-License-Identifier: MIT */
/* What the file system needs from outside: a disk, memory, time, a lock. */
#ifndef GUEST_RT_EXT4_DISK_H
#define GUEST_RT_EXT4_DISK_H

/*
 * In a VM these are device.c; tests bring their own, with a disk that loses
 * what was not flushed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <time.h>

#define EXT4_SECTOR_BYTES 512u

/* Pieces of one request at most. */
#define EXT4_PIECES_MAX 14u

/*
 * Two locks, whose holders may wait for the disk. Whoever changes something
 * holds both, taken in this order, from its beginning to its end; whoever only
 * looks at something holds that of the blocks. This one is free while a change
 * has the disk flushed, so that nobody waits for that to read.
 */
enum ext4_lock { EXT4_CHANGES, EXT4_BLOCKS };

struct ext4_disk {
    uint64_t sectors;
    bool read_only;
    bool broken; /* the file system has given up on it */
    /*
     * Begins to read from `sector` on into the pieces, or to write them; they
     * are of whole sectors and stay until wait() returns. Returns 0 or -errno.
     */
    int (*start)(struct ext4_disk *disk, bool write, uint64_t sector,
                 const struct iovec *pieces, unsigned count);
    /* Waits until all that was started has ended. The first error, or 0. */
    int (*wait)(struct ext4_disk *disk);
    /*
     * Waits until all writes that have ended are on the disk. Meanwhile others
     * may start(), and wait().
     */
    int (*flush)(struct ext4_disk *disk);
    void (*lock)(struct ext4_disk *disk, enum ext4_lock which);
    void (*unlock)(struct ext4_disk *disk, enum ext4_lock which);
};

/* Zeroed memory in whole pages, or NULL. */
void *ext4_pages_alloc(size_t bytes);

void ext4_pages_free(void *memory, size_t bytes);

/*
 * The time of day for the times of files. As on Linux it goes in steps of some
 * milliseconds, so that most of the writes to a file change no times.
 */
struct timespec ext4_time(void);

/* Monotonic time. */
uint64_t ext4_now_ns(void);

/* Whether the processor has SSE 4.2, whose crc32 is CRC-32C. */
bool ext4_has_sse42(void);

/* Says on standard error, after "ext4: ", what is wrong with a disk. */
void ext4_say(const char *text);

#endif
