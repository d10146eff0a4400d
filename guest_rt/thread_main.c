/* SPDX-License-Identifier: MIT */
/* The thread that every program has. */
#include "guest_rt/thread.h"

#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"

struct thread thread_main = {
    .state = THREAD_RUNNING,
    .tid = MF_PID,
    .next = &thread_main,
    .previous = &thread_main,
};
struct thread *thread_current = &thread_main;
unsigned thread_count = 1;

struct thread *sched_current(void)
{
    return thread_current;
}

long __mayfly_sys_gettid(void)
{
    return thread_current->tid;
}
