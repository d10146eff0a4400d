/* SPDX-License-Identifier: MIT */
/* Threads: who runs, who waits for what, and time. */
#ifndef GUEST_RT_SCHED_H
#define GUEST_RT_SCHED_H

/*
 * The runtime has one lock. A system call takes it with mf_lock() before it
 * touches what threads share, and gives it back with mf_unlock(); everything
 * below that boundary, and every callback named here, runs with it held. The
 * holder is not preempted: an upcall that comes meanwhile only notes that
 * something is due, and mf_unlock() does it (lets others run, delivers
 * signals). With one vCPU the lock is a depth; with more it would be a spin
 * lock with that depth, and nothing else would change.
 *
 * Whoever has to wait queues a waiter and calls sched_block(), which gives the
 * lock to others and returns with it. When no thread can run, the one that
 * blocked last looks at all sources (devices), for as long as that pays, and
 * sleeps in the monitor until one of them has work or the next timer is due.
 *
 * A program without threads, sockets and timers contains none of sched.c:
 * drivers that wait do it by poll.c alone, which asks sched.c if it is there.
 */

#include <stdbool.h>
#include <stdint.h>

/* ---- The lock ---- */

struct runtime_lock {
    unsigned depth; /* how often it is held */
    bool due;       /* mf_due() has something to do */
};

extern struct runtime_lock mf_runtime_lock;

/* Does what became due while the lock was held. Called without it. */
void mf_due(void) __attribute__((weak));

/* Takes the lock, which may be held already by the caller. */
static inline void mf_lock(void)
{
    mf_runtime_lock.depth++;
    __asm__ volatile("" : : : "memory");
}

/*
 * Gives it back. The outermost call may run other threads and signal handlers
 * before it returns.
 */
static inline void mf_unlock(void)
{
    __asm__ volatile("" : : : "memory");
    if (--mf_runtime_lock.depth > 0)
        return;
    /* Only now: an upcall before this noted what is due, a later one does it.
     */
    __asm__ volatile("" : : : "memory");
    if (mf_runtime_lock.due)
        mf_due();
}

/*
 * Makes the outermost mf_unlock() of the running thread call mf_due(). Whoever
 * calls this has mf_due() linked.
 */
void mf_note_due(void);

/* ---- Waiting ---- */

/*
 * Something to wait for: a list of waiters, each of which is told by a call of
 * its function. All zero is an empty one.
 */
struct wait_queue {
    struct waiter *first, *last;
};

struct waiter {
    struct wait_queue *queue; /* NULL while it is in none */
    struct waiter *next, *previous;
    /*
     * Tells it, with the events (EPOLLIN and so on, or 0) that happened; may
     * remove it from the queue, and must not block. Returns whether that used
     * the wake-up up, for wait_wake()'s limit.
     */
    bool (*wake)(struct waiter *waiter, uint32_t events);
};

/* Appends a waiter that is in no queue. */
void wait_add(struct wait_queue *queue, struct waiter *waiter);

/* Takes it out, if it is in one. */
void wait_remove(struct waiter *waiter);

/*
 * Tells the waiters in order, until `limit` of them have used it up. A waiter's
 * function may remove that waiter, and no other one.
 */
void wait_wake(struct wait_queue *queue, uint32_t events, unsigned limit);

#define WAIT_ALL    (~0u)
#define WAIT_NO_END UINT64_MAX /* a deadline that never comes */

struct thread;

/* The running thread. There is always one; main's is static. */
struct thread *sched_current(void);

/*
 * Blocks the calling thread until sched_wake() is called for it, which may
 * have been since it blocked last; until monotonic time is `deadline_ns`; or a
 * signal is to be delivered to it. Returns 0, -ETIMEDOUT or -EINTR. 0 may come
 * without a reason: callers look at what they wait for and block again.
 */
int sched_block(uint64_t deadline_ns);

/* The same, but signals wait until the thread goes on. 0 or -ETIMEDOUT. */
int sched_block_uninterrupted(uint64_t deadline_ns);

/* Lets a thread go on that has blocked, or will not block when it tries to. */
void sched_wake(struct thread *thread);

/* Waits on one queue, once: as sched_block(), or -EFAULT (wait_watch()). */
int wait_on(struct wait_queue *queue, uint64_t deadline_ns);

/*
 * Names the memory that the running thread's call was given: wait_on() looks
 * again whether it is there, and returns -EFAULT if not. NULL ends that.
 */
struct iovec;
void wait_watch(const struct iovec *iov, int count, bool write)
    __attribute__((weak));

/*
 * Whether a system call that was interrupted (-EINTR) is to be made again:
 * all handlers that ran at its mf_unlock() have SA_RESTART. The boundary of a
 * call that Linux restarts is
 *
 *   do {
 *       mf_lock();
 *       result = ...;
 *       mf_unlock();
 *   } while (result == -EINTR && sched_restart());
 */
bool sched_restart(void);

/*
 * A lock that may be held while its owner blocks. All zero is a free one. It is
 * handed to those who wait for it in their order. Drivers may have one in
 * programs without threads, where it costs two stores: nobody waits there.
 */
struct mutex {
    bool locked;
    struct wait_queue waiters;
};

/* Waits until the mutex is handed over (sched_wait.c). */
void mutex_wait(struct mutex *mutex) __attribute__((weak));

/* Hands it to the one that waits longest. */
void mutex_pass(struct mutex *mutex) __attribute__((weak));

static inline void mutex_lock(struct mutex *mutex)
{
    if (mutex->locked && mutex_wait)
        mutex_wait(mutex);
    mutex->locked = true;
}

static inline void mutex_unlock(struct mutex *mutex)
{
    if (mutex->waiters.first)
        mutex_pass(mutex);
    else
        mutex->locked = false;
}

/* ---- Time ---- */

/*
 * Calls `fire` once monotonic time has reached the deadline: from whichever
 * thread is running or idle then, so it must not block. All zero but `fire` is
 * a stopped one; `fire` may start it again.
 */
struct timer {
    uint64_t deadline_ns;
    void (*fire)(struct timer *timer);
    struct timer *child, *next, **link; /* a pairing heap; see sched_timer.c */
};

/* Starts it, or moves its deadline. WAIT_NO_END stops it. */
void timer_start(struct timer *timer, uint64_t deadline_ns);

void timer_stop(struct timer *timer);

static inline bool timer_is_running(const struct timer *timer)
{
    return timer->link;
}

/* ---- Devices ---- */

/*
 * What wakes threads from outside. `ready` looks at shared memory only and
 * costs next to nothing; `arm` asks for an event and looks (as poll_wait() has
 * it, poll.h); `serve` takes what has come and wakes threads. `event` are the
 * bits of the event word that announce it.
 */
struct source {
    struct source *next, **link; /* link is NULL while it is not added */
    bool armed;                  /* asked for an event that has not come */
    bool quiet; /* interrupts those who compute without being asked to */
    uint64_t event;
    bool (*ready)(struct source *source);
    bool (*arm)(struct source *source);
    void (*serve)(struct source *source);
};

void source_add(struct source *source);
void source_remove(struct source *source);

/*
 * Serves all sources that are ready, without blocking: for calls that would
 * return with nothing (poll with no timeout, a read that must not block).
 */
void source_poll(void);

/*
 * The program ends, and what it does for that may wait for sources, even if
 * it is a source or a timer that ended it. Returns whether that is so: then the
 * running thread may be a blocked one, which mutexes may wait for.
 */
bool source_begin_exit(void) __attribute__((weak));

#endif
