/* SPDX-License-Identifier: MIT */
/* The table of threads. */
#ifndef GUEST_RT_THREAD_TABLE_H
#define GUEST_RT_THREAD_TABLE_H

#include "thread.h"

/*
 * A new thread, blocked, with a number and otherwise zeroed. Returns NULL if
 * there is no memory, or no number.
 */
struct thread *thread_add(void);

/* It has ended: thread_find() does not find it any more. */
void thread_remove(struct thread *thread);

/* Its struct is used by nobody any more. Not for main's. */
void thread_reuse(struct thread *thread);

#endif
