/* SPDX-License-Identifier: MIT */
/* What libext2fs is told about where it runs; its configure is not run. */
#ifndef MAYFLY_EXT4_LIB_CONFIG_H
#define MAYFLY_EXT4_LIB_CONFIG_H

#include <stddef.h>

#define HAVE_ERRNO_H              1
#define HAVE_INTTYPES_H           1
#define HAVE_STDINT_H             1
#define HAVE_STDLIB_H             1
#define HAVE_STRING_H             1
#define HAVE_STRINGS_H            1
#define HAVE_SYS_STAT_H           1
#define HAVE_SYS_TYPES_H          1
#define HAVE_UNISTD_H             1
#define HAVE_SYS_TIME_H           1
#define HAVE_TYPE_SSIZE_T         1
#define HAVE_LSEEK64              0
#define HAVE_STRUCT_STAT_ST_FLAGS 0
#define SIZEOF_INT                4
#define SIZEOF_LONG               8
#define SIZEOF_LONG_LONG          8
#define SIZEOF_SHORT              2
#define SIZEOF_OFF_T              8
#define SIZEOF_TIME_T             8
#define HAVE_INTPTR_T             1
/* No texts of errors, and no libcom_err. */
#define OMIT_COM_ERR 1

/*
 * Its memory comes from an arena of its own (arena.h): it runs below system
 * calls, where the program's malloc() may be held by a thread that waits.
 */
void *ext4_arena_alloc(size_t bytes);
void *ext4_arena_alloc_zeroed(size_t count, size_t bytes);
void *ext4_arena_realloc(void *memory, size_t bytes);
void ext4_arena_free(void *memory);
int ext4_arena_memalign(void **memory, size_t alignment, size_t bytes);

#include <stdlib.h>

#define malloc              ext4_arena_alloc
#define calloc              ext4_arena_alloc_zeroed
#define realloc             ext4_arena_realloc
#define free                ext4_arena_free
#define HAVE_POSIX_MEMALIGN 1
#define posix_memalign      ext4_arena_memalign

/* It asks for E2FSPROGS_FAKE_TIME, and sets the time that it is told. */
#define getenv(name) ((char *)NULL)

#endif
