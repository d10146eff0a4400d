/* SPDX-License-Identifier: MIT */
/* Memory for libext2fs and for the file system's small structures. */
#ifndef GUEST_RT_EXT4_ARENA_H
#define GUEST_RT_EXT4_ARENA_H

/*
 * Not malloc(): that is the program's, and another thread may hold its lock
 * while this one runs below a system call.
 */

#include <stddef.h>

/* Returns memory aligned to 16 bytes, or NULL. */
void *ext4_arena_alloc(size_t bytes);

/* The same for `count` objects, zeroed. */
void *ext4_arena_alloc_zeroed(size_t count, size_t bytes);

/* As realloc(3) does. */
void *ext4_arena_realloc(void *memory, size_t bytes);

void ext4_arena_free(void *memory);

/* As posix_memalign(3) does; ENOMEM for more than 16. */
int ext4_arena_memalign(void **memory, size_t alignment, size_t bytes);

#endif
