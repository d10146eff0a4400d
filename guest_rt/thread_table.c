/* SPDX-License-Identifier: MIT */
/* The table of threads: a number for each, and what is kept of it. */
#include "guest_rt/thread_table.h"

#include <string.h>

#include "guest_rt/runtime.h"

/*
 * Structs come in chunks, which are never given back. The number of a thread
 * that has ended is given out again last, because programs may still name it
 * for a moment (tkill, the owner of a mutex).
 */
#define CHUNK_THREADS 64u
#define CHUNKS_MAX    512u
#define FIRST_TID     (MF_PID + 1)

static struct thread *chunks[CHUNKS_MAX] __attribute__((section(".lbss")));
static unsigned made;                         /* entries ever used */
static struct thread *free_first, *free_last; /* linked by queue_next */

static struct thread *at_index(unsigned index)
{
    return &chunks[index / CHUNK_THREADS][index % CHUNK_THREADS];
}

/* An entry that was never used, or NULL. */
static struct thread *take_fresh(void)
{
    unsigned chunk = made / CHUNK_THREADS;
    struct thread *thread;

    if (chunk == CHUNKS_MAX)
        return NULL;
    if (!chunks[chunk])
        chunks[chunk] = mf_pages_alloc(CHUNK_THREADS * sizeof(struct thread));
    if (!chunks[chunk])
        return NULL;
    thread = at_index(made);
    thread->tid = FIRST_TID + (int)made++;
    return thread;
}

static struct thread *take_free(void)
{
    struct thread *thread = free_first;

    if (thread)
        free_first = thread->queue_next;
    return thread;
}

struct thread *thread_add(void)
{
    /* While there are few, no number is used twice soon. */
    struct thread *thread = made < CHUNK_THREADS ? take_fresh() : take_free();
    int tid;

    if (!thread)
        thread = take_fresh();
    if (!thread)
        return NULL;
    tid = thread->tid;
    memset(thread, 0, sizeof(*thread));
    thread->tid = tid;
    thread->state = THREAD_BLOCKED;
    thread->next = &thread_main;
    thread->previous = thread_main.previous;
    thread->next->previous = thread->previous->next = thread;
    thread_count++;
    return thread;
}

void thread_remove(struct thread *thread)
{
    thread->state = THREAD_DEAD;
    thread_count--;
    if (thread == &thread_main)
        return; /* where the ring begins */
    thread->next->previous = thread->previous;
    thread->previous->next = thread->next;
}

void thread_reuse(struct thread *thread)
{
    thread->queue_next = NULL;
    if (free_first)
        free_last->queue_next = thread;
    else
        free_first = thread;
    free_last = thread;
}

struct thread *thread_find(int tid)
{
    unsigned index = (unsigned)(tid - FIRST_TID);
    struct thread *thread;

    if (tid == MF_PID)
        thread = &thread_main;
    else if (tid >= FIRST_TID && index < made)
        thread = at_index(index);
    else
        return NULL;
    return thread->state == THREAD_DEAD ? NULL : thread;
}
