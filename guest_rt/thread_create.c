/* SPDX-License-Identifier: MIT */
/* The beginning and the end of threads. */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "guest_rt/futex.h"
#include "guest_rt/memory.h"
#include "guest_rt/runtime.h"
#include "guest_rt/sched_private.h"
#include "guest_rt/spawn.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/thread_table.h"
#include "guest_rt/user.h"

/* musl's doors to here (musl/overlay/src/thread). */
long __mayfly_clone(int (*start)(void *), void *stack, unsigned long flags,
                    void *argument, int *parent_tid, void *tls, int *child_tid);
_Noreturn void __mayfly_unmapself(void *stack, size_t bytes);

/* The guard pages below their stacks are guarded. */
static const char *const protects __attribute__((used)) = memory_protects;

/* What makes it a thread of this process: there is no other one. */
#define THREAD_FLAGS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)

/* Main's exit(2) status is the process's, once all threads have exited. */
static int main_status;

/* ---- The beginning ------------------------------------------------------ */

static void begin(void)
{
    struct thread *self = thread_current;

    sched_begin();
    mf_unlock();
    __mayfly_sys_exit(self->start(self->start_argument));
}

static uint64_t read_gs_base(void)
{
    uint64_t base;

    __asm__ volatile("rdgsbase %0" : "=r"(base));
    return base;
}

static uint64_t read_fs_base(void)
{
    uint64_t base;

    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

/* What a new thread has from its parent. */
static void inherit(struct thread *thread, const struct thread *parent)
{
    thread->signals.blocked = parent->signals.blocked;
    thread->fs_base = read_fs_base();
    thread->gs_base = read_gs_base();
    memcpy(thread->name, parent->name, sizeof(thread->name));
}

/*
 * The C library gives a thread its parent's word against stack overflows, from
 * its start or its parent's. Each gets one of its own: of two clones, the
 * threads that they make have different ones. Where it is, is the platform's
 * ABI (the compiler's %fs:0x28); one byte is 0, as musl has it, against
 * strings.
 */
#define CANARY_AT 0x28

static void renew_canary(void *tls)
{
    uint64_t *canary = (uint64_t *)((char *)tls + CANARY_AT), parents;

    __asm__("mov %%fs:%c1, %0" : "=r"(parents) : "i"(CANARY_AT));
    /* Who makes threads in another way may have something else there. */
    if (!user_can_write(canary, sizeof(*canary)) || *canary != parents)
        return;
    mf_random_fill(canary, sizeof(*canary));
    *canary &= ~UINT64_C(0xff00);
}

static long create(int (*start)(void *), void *stack, unsigned long flags,
                   void *argument, int *parent_tid, void *tls, int *child_tid)
{
    struct thread *thread = thread_add();

    if (!thread)
        return -EAGAIN;
    inherit(thread, thread_current);
    thread->start = start;
    thread->start_argument = argument;
    if (flags & CLONE_SETTLS) {
        renew_canary(tls);
        thread->fs_base = (uint64_t)tls;
    }
    if (flags & CLONE_PARENT_SETTID)
        *parent_tid = thread->tid;
    if (flags & CLONE_CHILD_SETTID)
        *child_tid = thread->tid;
    if (flags & CLONE_CHILD_CLEARTID)
        thread->clear_tid = child_tid;
    sched_start(thread, stack, begin);
    return thread->tid;
}

long __mayfly_clone(int (*start)(void *), void *stack, unsigned long flags,
                    void *argument, int *parent_tid, void *tls, int *child_tid)
{
    long result;

    if ((flags & THREAD_FLAGS) != THREAD_FLAGS)
        return spawn_refuse(flags & CLONE_VFORK ? "posix_spawn" : "clone");
    if (!stack)
        return -EINVAL;
    mf_lock();
    result = create(start, stack, flags, argument, parent_tid, tls, child_tid);
    mf_unlock();
    return result;
}

/* ---- The end ------------------------------------------------------------ */

_Noreturn void thread_exit(int status)
{
    struct thread *self = thread_current;

    mf_lock();
    if (self == &thread_main)
        main_status = status;
    if (thread_count == 1)
        mf_exit(self == &thread_main ? status : main_status);
    futex_release_owned(self);
    if (self->clear_tid &&
        user_can_write(self->clear_tid, sizeof(*self->clear_tid))) {
        *self->clear_tid = 0;
        futex_wake((uintptr_t)self->clear_tid, 1);
    }
    thread_remove(self);
    if (signal_thread_end)
        signal_thread_end(self);
    sched_exit();
}

_Noreturn void __mayfly_unmapself(void *stack, size_t bytes)
{
    thread_current->unmap = stack;
    thread_current->unmap_bytes = bytes;
    thread_exit(0);
}

void thread_free(struct thread *thread)
{
    if (thread->unmap)
        __mayfly_sys_munmap((long)thread->unmap, (long)thread->unmap_bytes);
    if (thread != &thread_main)
        thread_reuse(thread);
}

/* ---- Its numbers and lists ---------------------------------------------- */

int thread_set_clear_tid(int *address)
{
    thread_current->clear_tid = address;
    return thread_current->tid;
}

long __mayfly_sys_set_robust_list(long head, long bytes)
{
    if (bytes != ROBUST_HEAD_BYTES)
        return -EINVAL;
    thread_current->robust_list = (void *)head;
    return 0;
}

long __mayfly_sys_get_robust_list(long tid, long head, long bytes)
{
    const struct thread *thread = tid ? thread_find((int)tid) : thread_current;
    static const size_t size = ROBUST_HEAD_BYTES;

    if (!thread)
        return -ESRCH;
    return USER_PUT(bytes, size) || USER_PUT(head, thread->robust_list)
               ? -EFAULT
               : 0;
}
