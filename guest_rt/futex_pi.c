/* SPDX-License-Identifier: MIT */
/* Futexes that are mutexes: FUTEX_LOCK_PI and robust lists. */
#include <errno.h>

#include "guest_rt/futex.h"

/*
 * The word of such a mutex holds the owner's tid. Priorities have no effect
 * here, so none is inherited: what is left is that the runtime hands the mutex
 * over, to those who wait in their order, also when an owner ends.
 */

static unsigned waiting; /* how many waiters have an owner */

/* Gives the mutex to who waits longest, or frees it. */
static void hand_over(uintptr_t address, uint32_t died)
{
    struct futex_waiter *next =
        futex_find(futex_bucket(address)->first, address);
    uint32_t word = died;

    if (next) {
        word |= (uint32_t)next->thread->tid;
        wait_remove(&next->waiter);
        for (struct futex_waiter *other =
                 futex_find(futex_bucket(address)->first, address);
             other; other = futex_find(other->waiter.next, address)) {
            word |= WORD_WAITERS;
            other->owner = next->thread;
        }
        sched_wake(next->thread);
    }
    if (futex_is_there(address))
        __atomic_store_n(futex_word(address), word, __ATOMIC_RELEASE);
}

static long wait_for_owner(uintptr_t address, struct thread *owner,
                           uint64_t deadline_ns)
{
    struct futex_waiter self = {
        .address = address, .thread = thread_current, .owner = owner};
    int result = 0;

    wait_add(futex_bucket(address), &self.waiter);
    waiting++;
    while (self.waiter.queue && !result)
        result = sched_block(deadline_ns);
    waiting--;
    if (!self.waiter.queue)
        return 0;
    wait_remove(&self.waiter);
    return result;
}

long futex_lock_pi(uintptr_t address, uint64_t deadline_ns, bool try)
{
    uint32_t self = (uint32_t)thread_current->tid;
    uint32_t *word = futex_word(address), old;
    struct thread *owner;

    if (!futex_is_there(address))
        return -EFAULT;
    old = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (!(old & WORD_OWNER)) {
        __atomic_store_n(word, old | self, __ATOMIC_RELEASE);
        return 0;
    }
    if ((old & WORD_OWNER) == self)
        return -EDEADLK;
    if (try)
        return -EAGAIN;
    owner = thread_find((int)(old & WORD_OWNER));
    if (!owner)
        return -ESRCH;
    __atomic_store_n(word, old | WORD_WAITERS, __ATOMIC_RELEASE);
    return wait_for_owner(address, owner, deadline_ns);
}

long futex_unlock_pi(uintptr_t address)
{
    uint32_t word;

    if (!futex_is_there(address))
        return -EFAULT;
    word = __atomic_load_n(futex_word(address), __ATOMIC_ACQUIRE);
    if ((word & WORD_OWNER) != (uint32_t)thread_current->tid)
        return -EPERM;
    hand_over(address, 0);
    return 0;
}

static void hand_over_all(const struct thread *dead)
{
    if (!waiting)
        return;
    for (unsigned i = 0; i < FUTEX_BUCKETS; i++) {
        struct waiter *waiter = futex_buckets[i].first;

        while (waiter) {
            const struct futex_waiter *self = (struct futex_waiter *)waiter;

            waiter = waiter->next;
            if (self->owner != dead)
                continue;
            hand_over(self->address, WORD_DIED);
            waiter = futex_buckets[i].first; /* others have moved */
        }
    }
}

/* ---- Robust lists (set_robust_list(2)) ----------------------------------- */

/* As the kernel's struct robust_list_head; bit 0 of a link marks a PI mutex. */
struct robust_head {
    uintptr_t next;
    long offset; /* from an entry to its futex */
    uintptr_t pending;
};

#define LIST_MAX 2048u /* as on Linux: a list may be a loop */

static void release(const struct thread *dead, uintptr_t entry, long offset)
{
    uintptr_t address = (entry & ~UINT64_C(1)) + (uintptr_t)offset;
    uint32_t word;

    if (!entry || address & 3 || !futex_is_there(address))
        return;
    word = __atomic_load_n(futex_word(address), __ATOMIC_ACQUIRE);
    if ((word & WORD_OWNER) != (uint32_t)dead->tid)
        return;
    __atomic_store_n(futex_word(address), (word & WORD_WAITERS) | WORD_DIED,
                     __ATOMIC_RELEASE);
    if (word & WORD_WAITERS && !(entry & 1))
        futex_wake(address, 1);
}

void futex_release_owned(struct thread *thread)
{
    uintptr_t head = (uintptr_t)thread->robust_list;
    struct robust_head list;

    /* What is not there any more ends the list. */
    if (head && !USER_GET(list, head)) {
        uintptr_t entry = list.next, next;

        for (unsigned i = 0; i < LIST_MAX && (entry & ~UINT64_C(1)) != head;
             i++) {
            /* The link is read before the entry is anybody else's. */
            if (USER_GET(next, entry & ~UINT64_C(1)))
                break;
            if (entry != list.pending)
                release(thread, entry, list.offset);
            entry = next;
        }
        release(thread, list.pending, list.offset);
    }
    hand_over_all(thread);
}
