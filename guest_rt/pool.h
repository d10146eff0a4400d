/* SPDX-License-Identifier: MIT */
/* Small pieces of memory for the runtime itself. */
#ifndef GUEST_RT_POOL_H
#define GUEST_RT_POOL_H

/*
 * malloc belongs to the program and calls the runtime; what the runtime needs
 * for open files, names, nodes and so on comes from here. Pieces of a few sizes
 * are cut from whole pages, which stay with their size; large ones are pages of
 * their own. Whoever gives a piece back says how large it is. Called with the
 * runtime's lock held.
 */

#include <stddef.h>

/* Returns `bytes` zeroed bytes, aligned to 16, or NULL. */
void *pool_alloc(size_t bytes);

/* Gives back what pool_alloc(bytes) returned; NULL is fine. */
void pool_free(void *piece, size_t bytes);

/* A copy of `length` bytes and a NUL, for pool_free(copy, length + 1). */
char *pool_copy_string(const char *string, size_t length);

#endif
