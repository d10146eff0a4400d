/* SPDX-License-Identifier: MIT */
/* What sched.c and sched_source.c know of each other. */
#ifndef GUEST_RT_SCHED_PRIVATE_H
#define GUEST_RT_SCHED_PRIVATE_H

#include "thread.h"

/* What a thread may run before others that can run. */
#define SCHED_SLICE_NS 10000000u

/* Who runs longer than that before it blocks is taken to compute. */
#define SCHED_BURST_NS 100000u

/* ---- sched.c ------------------------------------------------------------- */

bool sched_has_ready(void);
struct thread *sched_take_ready(void);
bool sched_computes(const struct thread *thread);
uint64_t sched_slice_end_ns(void);

/* What a new thread does first. */
void sched_begin(void);

/* switch.S */
void sched_switch(uint64_t *stack_pointer, uint64_t to);
uint64_t sched_prepare(void *stack, void (*begin)(void));

/* Frees a thread that has ended, and its stack (thread_create.c). */
void thread_free(struct thread *thread) __attribute__((weak));

/* ---- sched_source.c ------------------------------------------------------ */

bool source_is_any(void);

/* Fires timers and serves sources that are ready. */
void source_look(uint64_t now_ns);

/* The same, if that was last done a while ago. */
void source_look_sometimes(uint64_t now_ns);

/*
 * Makes all sources announce by an event what comes from now on. Serves what
 * had come before; returns whether there was any.
 */
bool source_arm(void);

/* Whether that is being done, and wakes threads. */
bool source_is_looking(void);

/* An upcall may have come. Returns whether one has, since the last call. */
bool source_begin_due(uint64_t now_ns);

/*
 * `thread` runs from now on: sees to it that it is interrupted when due.
 * Returns whether there was work, which may have made others ready.
 */
bool source_watch(const struct thread *thread, uint64_t now_ns);

/* A thread has become ready. */
void source_note_ready(void);

/* The running thread's slice is to end then, and not at the next tick. */
void source_keep_slice(void);

/* Nobody can run: waits until somebody can, and takes that one. */
struct thread *sched_idle(void);

#endif
