/* SPDX-License-Identifier: MIT */
/* Memory that a program names in a system call. */
#ifndef GUEST_RT_USER_H
#define GUEST_RT_USER_H

/*
 * Pointers that a program gives to a system call are looked at before they are
 * used: what is not there is EFAULT. Whoever blocks, and lets others run that
 * unmap or protect memory, looks again afterwards. With the runtime's lock
 * held, nothing changes between the look and the use.
 *
 * Programs that protect memory contain paging.c, and the answer is what the
 * page tables say. In all others memory stays as the monitor has mapped it:
 * the answer is whether there is such memory, and costs next to nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether all of [at, at + bytes) can be read. Nothing always can. */
bool user_can_read(const void *at, size_t bytes);

/* Whether it can be written. */
bool user_can_write(const void *at, size_t bytes);

/* Whether a string can be read to its end, or so many bytes of it. */
bool user_can_read_string(const char *at, size_t most);

/* Copies an argument in. Returns 0, or -EFAULT and has copied nothing. */
int user_get(void *to, const void *from, size_t bytes);

/* Copies a result out, likewise. */
int user_put(void *to, const void *from, size_t bytes);

/* The same by the numbers that system calls have. */
#define USER_GET(variable, from) \
    user_get(&(variable), (const void *)(from), sizeof(variable))
#define USER_PUT(to, variable) \
    user_put((void *)(to), &(variable), sizeof(variable))

#endif
