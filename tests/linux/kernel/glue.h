/* SPDX-License-Identifier: MIT */
/* Read before the kernel's own files: what its user-space headers lack. */
#ifndef TESTS_LINUX_KERNEL_GLUE_H
#define TESTS_LINUX_KERNEL_GLUE_H

#include <stdlib.h>

/* The driver's memory has to be where the device finds it. */
void *arena_alloc(size_t bytes);
void arena_free(void *at);

#define malloc(bytes) arena_alloc(bytes)
#define free(at)      arena_free(at)

/* A note to the kernel's race detector. */
#define data_race(expression) (expression)

#endif
