/* SPDX-License-Identifier: MIT */
/* Wait queues, and the mutex made of one. */
#include <errno.h>
#include <sys/uio.h>

#include "guest_rt/thread.h"
#include "guest_rt/user.h"

/* ---- Queues ------------------------------------------------------------- */

/* Not inlined: gcc does not see who takes a waiter on a stack out again. */
__attribute__((noinline)) void wait_add(struct wait_queue *queue,
                                        struct waiter *waiter)
{
    waiter->queue = queue;
    waiter->next = NULL;
    waiter->previous = queue->last;
    if (queue->last)
        queue->last->next = waiter;
    else
        queue->first = waiter;
    queue->last = waiter;
}

void wait_remove(struct waiter *waiter)
{
    struct wait_queue *queue = waiter->queue;

    if (!queue)
        return;
    if (waiter->previous)
        waiter->previous->next = waiter->next;
    else
        queue->first = waiter->next;
    if (waiter->next)
        waiter->next->previous = waiter->previous;
    else
        queue->last = waiter->previous;
    waiter->queue = NULL;
}

void wait_wake(struct wait_queue *queue, uint32_t events, unsigned limit)
{
    struct waiter *next, *last = queue->last;

    /* Who queues again meanwhile is behind `last` and not told twice. */
    for (struct waiter *waiter = queue->first; waiter && limit; waiter = next) {
        next = waiter == last ? NULL : waiter->next;
        if (waiter->wake(waiter, events))
            limit--;
    }
}

/* ---- A thread in a queue ------------------------------------------------ */

struct thread_waiter {
    struct waiter waiter;
    struct thread *thread;
};

static bool wake_thread(struct waiter *waiter, uint32_t events)
{
    (void)events;
    wait_remove(waiter);
    sched_wake(((struct thread_waiter *)waiter)->thread);
    return true;
}

void wait_watch(const struct iovec *iov, int count, bool write)
{
    thread_current->pieces = iov;
    thread_current->piece_count = count;
    thread_current->pieces_written = write;
}

/* Others have run: they may have unmapped or protected it. */
static bool is_watched_there(const struct thread *self)
{
    const struct iovec *iov = self->pieces;

    for (int i = 0; iov && i < self->piece_count; i++)
        if (self->pieces_written
                ? !user_can_write(iov[i].iov_base, iov[i].iov_len)
                : !user_can_read(iov[i].iov_base, iov[i].iov_len))
            return false;
    return true;
}

int wait_on(struct wait_queue *queue, uint64_t deadline_ns)
{
    struct thread_waiter self = {{.wake = wake_thread}, thread_current};
    int result;

    wait_add(queue, &self.waiter);
    result = sched_block(deadline_ns);
    wait_remove(&self.waiter);
    return is_watched_there(self.thread) ? result : -EFAULT;
}

/* ---- Mutexes ------------------------------------------------------------ */

void mutex_wait(struct mutex *mutex)
{
    struct thread_waiter self = {{.wake = wake_thread}, thread_current};

    wait_add(&mutex->waiters, &self.waiter);
    /* mutex_pass() takes it out; it stays locked from hand to hand. */
    while (self.waiter.queue)
        sched_block_uninterrupted(WAIT_NO_END);
    wait_remove(&self.waiter);
}

void mutex_pass(struct mutex *mutex)
{
    wait_wake(&mutex->waiters, 0, 1);
}
