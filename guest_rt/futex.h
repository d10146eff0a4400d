/* SPDX-License-Identifier: MIT */
/* Futexes among several threads. */
#ifndef GUEST_RT_FUTEX_H
#define GUEST_RT_FUTEX_H

#include "thread.h"
#include "user.h"

/* The size of the head of a robust list, which set_robust_list(2) is told. */
#define ROBUST_HEAD_BYTES 24

/*
 * As futex(2). Calls without FUTEX_PRIVATE are the same: there is one process.
 */
long futex_call(long address, long operation, long value, long timeout,
                long address2, long value3) __attribute__((weak));

/* Wakes up to `count` waiters of an address. Returns how many. */
long futex_wake(uintptr_t address, unsigned count);

/*
 * A thread ends: marks and wakes what it owns of robust and of
 * priority-inheriting mutexes.
 */
void futex_release_owned(struct thread *thread);

/* ---- Between futex.c and futex_pi.c -------------------------------------- */

/* The word of a mutex whose owner the runtime knows: its tid and these. */
#define WORD_WAITERS 0x80000000u
#define WORD_DIED    0x40000000u
#define WORD_OWNER   0x3fffffffu

struct futex_waiter {
    struct waiter waiter; /* `queue` NULL: has been woken */
    uintptr_t address;
    uint32_t bits; /* of WAIT_BITSET */
    struct thread *thread;
    struct thread *owner; /* of the mutex that is waited for; else NULL */
};

#define FUTEX_BUCKETS 256u

extern struct wait_queue futex_buckets[FUTEX_BUCKETS];

/* The waiters of an address, and of others with the same hash. */
struct wait_queue *futex_bucket(uintptr_t address);

/* The first waiter at an address from this one on, or NULL. */
struct futex_waiter *futex_find(struct waiter *from, uintptr_t address);

static inline uint32_t *futex_word(uintptr_t address)
{
    return (uint32_t *)address;
}

/* Whether the word is there to be changed. */
static inline bool futex_is_there(uintptr_t address)
{
    return user_can_write(futex_word(address), sizeof(uint32_t));
}

/* FUTEX_LOCK_PI and its family. Deadlines are monotonic. */
long futex_lock_pi(uintptr_t address, uint64_t deadline_ns, bool try);
long futex_unlock_pi(uintptr_t address);

#endif
