/* SPDX-License-Identifier: MIT */
/* What a process has in memory, with pages that are shared told apart. */
#ifndef VMM_SERVER_MEMORY_H
#define VMM_SERVER_MEMORY_H

/*
 * From /proc/PID/smaps_rollup. It has to be opened before the process confines
 * itself: from then on it is another user's, or cannot be looked at. Its owner
 * closes the descriptor when the process has ended.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* In bytes. The first three add up to the proportional set size. */
struct memory_use {
    uint64_t anonymous; /* of its own, or copied on write */
    uint64_t shmem;     /* its part of a snapshot in memory, and of pages for
                           both of two processes */
    uint64_t file;      /* its part of files: the program, a snapshot's file */
    uint64_t private;   /* that no other process maps now */
    uint64_t shared;    /* that others map, too: in full */
};

/* Returns a descriptor (close-on-exec), or -errno. */
int memory_open(pid_t pid);

/* Adds what the process has now. Returns 0, or -errno: -ESRCH if it ended. */
int memory_add(int fd, struct memory_use *sum);

/*
 * The same for the text of such a file, which is cut at its lines. Returns 0,
 * or -EINVAL if a line is missing or there twice; then nothing is added.
 */
int memory_add_text(char *text, struct memory_use *sum);

#endif
