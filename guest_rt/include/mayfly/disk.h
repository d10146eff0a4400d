/* SPDX-License-Identifier: MIT */
/* The VM's disks, sector by sector, for programs without a file system. */
#ifndef MAYFLY_DISK_H
#define MAYFLY_DISK_H

/*
 * Disks are numbered from 0 in the order of --disk on the command line. A
 * request goes from the caller's memory to the host's file and back without a
 * copy in the guest, and has ended when its function returns. All numbers are
 * in sectors of DISK_SECTOR_BYTES. What was written is on the host's disk once
 * disk_flush() has returned 0, not before. One request at a time: not from an
 * upcall's handler, which may have interrupted another one.
 *
 * Every function returns 0 or more, or a negative errno: -ENODEV if there is
 * no such disk, -EINVAL if the sectors are not all on it, -EFAULT if the buffer
 * is not in memory, -EROFS if it is read-only, -EOPNOTSUPP if the host's file
 * cannot do that, -EIO if the host failed.
 */

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DISK_SECTOR_BYTES 512u
#define DISK_ID_BYTES     20u

struct disk_info {
    uint64_t sectors;     /* its size */
    uint32_t block_bytes; /* the host moves whole blocks of this size best */
    bool read_only;
    bool can_discard;
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

#ifdef __cplusplus
}
#endif

#endif
