/* SPDX-License-Identifier: MIT */
/* The VM's disks, sector by sector, for programs without a file system. */
#ifndef MAYFLY_DISK_H
#define MAYFLY_DISK_H

/*
 * Disks are numbered from 0 in the order of --disk on the command line. Data
 * goes from the caller's memory to the host's file and back without a copy in
 * the guest. All numbers are in sectors of DISK_SECTOR_BYTES. What was written
 * is on the host's disk once a flush that began after it has ended with 0, not
 * before.
 *
 * The simple functions, disk_read() to disk_write_zeroes(), do one thing and
 * return when it is done. For more at a time there are requests:
 *
 *   struct disk_request requests[32];
 *   ... fill in each, and disk_submit(0, &requests[i]);
 *   while ((request = disk_complete(0, true)))
 *       ... request->error; perhaps fill it in anew and disk_submit() it
 *
 * Requests may end in any order and do not wait for each other, flushes
 * neither: what a flush is to cover has to be complete before. One kick serves
 * all that were submitted since the last one: disk_complete() gives it when it
 * has nothing else to return, disk_kick() at once. Simple functions may be used
 * meanwhile.
 *
 * All of it belongs to one thread at a time: not from an upcall's handler,
 * which may have interrupted another call.
 *
 * Every function returns 0 or more, or a negative errno: -ENODEV if there is
 * no such disk, -EINVAL if the sectors are not all on it, -EFAULT if the buffer
 * is not in memory, -EROFS if it is read-only, -EOPNOTSUPP if the host's file
 * cannot do that, -EIO if the host failed. A disk that has given up (virtio
 * 1.2, 2.1.2) answers everything with -EIO from then on, what is in flight too.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DISK_SECTOR_BYTES 512u
#define DISK_ID_BYTES     20u
#define DISK_PIECES_MAX   14u

struct disk_info {
    uint64_t sectors;     /* its size */
    uint32_t block_bytes; /* the host moves whole blocks of this size best */
    uint32_t depth;       /* so many small requests fit in flight at once */
    bool read_only;
    bool can_discard;
    bool can_write_zeroes;
    char id[DISK_ID_BYTES + 1]; /* its name, which may be empty */
};

/* Returns how many disks there are. */
int disk_count(void);

/* Makes disk `index` ready, which the others do too, and fills `*info`. */
int disk_open(unsigned index, struct disk_info *info);

/*
 * Reads `sectors` sectors from `sector` on into `buffer`. Returns `sectors`.
 * With `direct` on the host's side, buffers are aligned to block_bytes.
 */
long disk_read(unsigned index, uint64_t sector, void *buffer, long sectors);

/* Writes them; returns likewise. */
long disk_write(unsigned index, uint64_t sector, const void *buffer,
                long sectors);

/* Waits until all that was written is on the host's disk. Returns 0. */
int disk_flush(unsigned index);

/* These sectors are not needed any more: they read as anything. Returns 0. */
int disk_discard(unsigned index, uint64_t sector, uint64_t sectors);

/*
 * These sectors read as zeroes from now on. With `unmap` the host's file may
 * give their space back. Returns 0.
 */
int disk_write_zeroes(unsigned index, uint64_t sector, uint64_t sectors,
                      bool unmap);

/* ---- Several at a time -------------------------------------------------- */

enum disk_op {
    DISK_READ,
    DISK_WRITE,
    DISK_FLUSH, /* sector, sectors and buffer have no meaning */
    DISK_DISCARD,
    DISK_WRITE_ZEROES,
    DISK_WRITE_ZEROES_UNMAP,
};

/*
 * One request. It and its buffer are the driver's from disk_submit() until
 * disk_complete() returns it, and must stay where they are: in memory that the
 * program may use, not on a stack that goes away.
 */
struct disk_request {
    enum disk_op op;
    uint64_t sector;  /* the first one */
    uint64_t sectors; /* how many; 0 is fine */
    void *buffer;     /* to read into, or to write from */
    int error;        /* the outcome: 0 or -errno */
    /*
     * Instead of `buffer`, for DISK_READ and DISK_WRITE: `piece_count` pieces
     * of memory, at most DISK_PIECES_MAX and what the disk takes in one
     * request, that have `sectors` sectors together. NULL: the buffer.
     */
    const struct iovec *pieces;
    unsigned piece_count;

    /* The driver's own; whatever is in there before does not matter. */
    struct disk_request *next, *previous;
    uint64_t done; /* sectors that are done */
    uint32_t part; /* sectors in flight */
    struct {
        uint32_t type, reserved;
        uint64_t sector;
    } header; /* as virtio 1.2, 5.2.6 has it */
    struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } range; /* likewise, of discard and write zeroes */
    uint8_t status;
    uint8_t owner;
};

/*
 * Begins a request. Returns 0: it will come back from disk_complete(). After
 * -EAGAIN, when too many are in flight, or one of the errors above, it will
 * not. A request is as large as one likes: what the disk does not take at once
 * goes on as its parts come back, in disk_complete().
 */
int disk_submit(unsigned index, struct disk_request *request);

/* Tells the disk now of what was submitted, if it has to be told. Returns 0. */
int disk_kick(unsigned index);

/*
 * Returns a request that has ended, its outcome in `error`; NULL if there is
 * none, after waiting for one if `wait` is set: then there is none in flight.
 */
struct disk_request *disk_complete(unsigned index, bool wait);

#ifdef __cplusplus
}
#endif

#endif
