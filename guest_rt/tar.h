/* SPDX-License-Identifier: MIT */
/* Reading tar archives. */
#ifndef GUEST_RT_TAR_H
#define GUEST_RT_TAR_H

/*
 * ustar (POSIX.1-1988), with what GNU tar adds for long names and large
 * numbers, and the records of pax (POSIX.1-2001) for paths, links and sizes.
 * The archive may be anything: what is not as it should be ends the reading
 * with a reason. Nothing is allocated; the entry's buffers are the caller's.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TAR_BLOCK    512u
#define TAR_PATH_MAX 4096u

/* An extended header that is larger is refused. */
#define TAR_EXTENDED_MAX 65536u

/* Reads `bytes` of the archive from `from` on. Returns 0 or -errno. */
typedef int tar_read(void *context, void *to, uint64_t from, size_t bytes);

struct tar_entry {
    mode_t mode;      /* type and permissions: S_IFREG, S_IFDIR, S_IFLNK, ... */
    int is_link;      /* a hard link to `target`; mode's type means nothing */
    uint64_t bytes;   /* of a regular file */
    uint64_t from;    /* where they are in the archive */
    int64_t modified; /* seconds since 1970 */
    char path[TAR_PATH_MAX];   /* without slashes at its ends; "": the root */
    char target[TAR_PATH_MAX]; /* of links; hard ones as `path` is */
};

struct tar {
    tar_read *read;
    void *context;
    uint64_t bytes;    /* of the archive */
    uint64_t at;       /* the next header */
    const char *fault; /* what is wrong with it, after -EINVAL */

    /* What extended headers say of the next entry. */
    int has_path, has_target, has_size;
    uint64_t size;
};

void tar_start(struct tar *tar, tar_read *read, void *context, uint64_t bytes);

/*
 * Goes to the next entry. Returns 1; 0 at the end; -EINVAL with the reason in
 * `fault`, or what `read` returned. After an error there is nothing more.
 * Entries that are neither files, directories, links nor FIFOs are passed over.
 */
int tar_next(struct tar *tar, struct tar_entry *entry);

#endif
