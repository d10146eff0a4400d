/* SPDX-License-Identifier: MIT */
/* What a thread is to the parts of the runtime. */
#ifndef GUEST_RT_THREAD_H
#define GUEST_RT_THREAD_H

/*
 * A thread has no stack of its own in the runtime: system calls, and upcalls
 * that interrupt it, run on the program's. While another one runs, its
 * registers are on that stack, and its struct says where.
 *
 * Main's struct is static (thread_main.c); a program that makes no threads has
 * nothing else of them. The others are in the table of thread_table.c, where
 * the index is the kernel's thread number, the tid.
 *
 * All of it belongs to the runtime's lock (sched.h).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched.h"
#include "signals.h"

#define THREAD_NAME_BYTES 16

enum thread_state {
    THREAD_RUNNING, /* sched_current() */
    THREAD_READY,   /* in a queue of sched.c */
    THREAD_BLOCKED,
    THREAD_DEAD, /* its stack is in use until another one runs */
};

struct thread {
    /* Where sched_switch() has left its registers. */
    uint64_t stack_pointer;
    uint64_t fs_base, gs_base;
    unsigned lock_depth; /* of mf_runtime_lock, while another one runs */

    uint32_t state; /* enum thread_state */
    int tid;
    struct thread *next, *previous; /* all threads, a ring */

    /* sched.c */
    struct thread *queue_next; /* while it is ready */
    bool woken;                /* sched_wake() came, and no sched_block() yet */
    bool timed_out;            /* its timer ended the block */
    bool interruptible;        /* blocked by sched_block() */
    struct timer timer;        /* the deadline of a block */
    uint64_t slice_ns;         /* it may run for so long before the others */
    uint64_t run_ns;           /* it has run for so long in all */
    uint64_t burst_ns;         /* since it blocked last */
    uint64_t burst_average_ns; /* from block to block */
    uint64_t blocked_ns;       /* when it blocked last */
    uint64_t switches;         /* times it blocked */
    uint64_t preemptions;      /* times it was made to let others run */
    uint64_t gave_way_ns;      /* of run_ns: see may_give_way() */

    /* thread_create.c */
    int (*start)(void *argument);
    void *start_argument;
    int *clear_tid; /* set to 0 and woken as a futex when it exits, or NULL */
    void *robust_list; /* as set_robust_list() has it, or NULL */
    void *unmap;       /* its stack, if nobody else unmaps that */
    size_t unmap_bytes;
    char name[THREAD_NAME_BYTES];

    /*
     * At a cancellation point: not 0 there means that it shall end instead of
     * blocking (cancel.c). NULL elsewhere.
     */
    const volatile int *cancel;

    /* sched_wait.c: memory of its call, to be looked at after each wait. */
    const struct iovec *pieces; /* NULL: none */
    int piece_count;
    bool pieces_written;

    /* upcall.c: what it was interrupted in; NULL outside of upcalls. */
    struct upcall_frame *frame;
    void *vectors; /* the vector state then: see struct upcall_frame */

    struct thread_signals signals;
};

extern struct thread thread_main;
extern struct thread *thread_current;

/* The thread with this number, or NULL. */
struct thread *thread_find(int tid) __attribute__((weak));

/* How many threads there are. */
extern unsigned thread_count;

/*
 * Where upcall.S has left the registers of an interrupted thread, which
 * continues with what is there. The vector state is beside it, at a multiple of
 * 64: as XSAVE stores it if mf_boot.xcr0 is not 0, as FXSAVE does otherwise.
 */
struct upcall_frame {
    uint64_t rbp, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbx, rdx, rcx,
        rax;
    uint64_t rip, cs, rflags, rsp, ss;
};

/* ---- Between sched.c and others ------------------------------------------ */

/*
 * Serves what is ready, and lets others run if it is their turn. What mf_due()
 * does with the lock held.
 */
void sched_due(void) __attribute__((weak));

/* Makes a sched_block() of this thread look whether it is to be interrupted. */
void sched_interrupt(struct thread *thread) __attribute__((weak));

/* Lets all others run that can. */
void sched_yield_thread(void) __attribute__((weak));

/* Blocks until monotonic time has reached deadline_ns. Not interrupted. */
void sched_sleep_until(uint64_t deadline_ns) __attribute__((weak));

/*
 * As poll_wait() (poll.h), whose work it does where there are threads: only
 * the calling one waits.
 */
bool sched_poll_wait(uint64_t event, bool (*ready)(void *context),
                     bool (*arm)(void *context), void *context,
                     uint64_t deadline_ns) __attribute__((weak));

/* As exit(2): ends the running thread, and the VM if it is the last one. */
_Noreturn void thread_exit(int status) __attribute__((weak));

/* As set_tid_address(2). */
int thread_set_clear_tid(int *address) __attribute__((weak));

/* As device_wait() (device.h), likewise. */
struct device;
struct ring;
int sched_wait_for_device(const struct device *device, struct ring *ring)
    __attribute__((weak));

/* The running thread has ended; its struct and stack are freed by the next. */
_Noreturn void sched_exit(void);

/*
 * Makes a new thread ready, which begins on `stack` by calling `begin` with the
 * lock held once; it must not return.
 */
void sched_start(struct thread *thread, void *stack, void (*begin)(void));

/* Nanoseconds that this thread has run; also of the running one. */
uint64_t sched_run_ns(const struct thread *thread) __attribute__((weak));

/* Of all threads together, also of those that have ended. */
uint64_t sched_process_ns(void) __attribute__((weak));

#endif
