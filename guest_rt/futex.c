/* SPDX-License-Identifier: MIT */
/* Futexes: waiting for a word of memory (futex(2)). */
#include "guest_rt/futex.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <time.h>

#include "guest_rt/runtime.h"

struct wait_queue futex_buckets[FUTEX_BUCKETS]
    __attribute__((section(".lbss")));

/* ---- Queues ------------------------------------------------------------- */

struct wait_queue *futex_bucket(uintptr_t address)
{
    uint64_t mixed = (uint64_t)address / sizeof(uint32_t) *
                     UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio */

    return &futex_buckets[mixed >> 56];
}

_Static_assert(FUTEX_BUCKETS == 1u << (64 - 56), "futex_bucket()");

struct futex_waiter *futex_find(struct waiter *from, uintptr_t address)
{
    while (from && ((struct futex_waiter *)from)->address != address)
        from = from->next;
    return (struct futex_waiter *)from;
}

static struct futex_waiter *first_at(uintptr_t address)
{
    return futex_find(futex_bucket(address)->first, address);
}

/* Whoever waits for a mutex is only let go on with it (futex_pi.c). */
static long wake_bits(uintptr_t address, unsigned count, uint32_t bits)
{
    struct futex_waiter *waiter = first_at(address), *next;
    long woken = 0;

    for (; waiter && woken < (long)count; waiter = next) {
        next = futex_find(waiter->waiter.next, address);
        if (waiter->owner)
            return -EINVAL;
        if (!(waiter->bits & bits))
            continue;
        wait_remove(&waiter->waiter);
        sched_wake(waiter->thread);
        woken++;
    }
    return woken;
}

long futex_wake(uintptr_t address, unsigned count)
{
    return wake_bits(address, count, FUTEX_BITSET_MATCH_ANY);
}

/* Lets waiters wait at another address. Returns how many. */
static long requeue(uintptr_t from, uintptr_t to, unsigned count)
{
    struct futex_waiter *waiter = first_at(from), *next;
    struct wait_queue *queue = futex_bucket(to);
    long moved = 0;

    for (; waiter && moved < (long)count; waiter = next) {
        next = futex_find(waiter->waiter.next, from);
        if (waiter->owner)
            return -EINVAL;
        wait_remove(&waiter->waiter);
        waiter->address = to;
        wait_add(queue, &waiter->waiter);
        moved++;
    }
    return moved;
}

/* ---- Operations --------------------------------------------------------- */

/* Returns 0 if the word has this value, -EAGAIN if not, or -EFAULT. */
static int compare_word(uintptr_t address, uint32_t value)
{
    const uint32_t *word = futex_word(address);

    if (!user_can_read(word, sizeof(*word)))
        return -EFAULT;
    return __atomic_load_n(word, __ATOMIC_ACQUIRE) == value ? 0 : -EAGAIN;
}

static long wait(uintptr_t address, uint32_t value, uint64_t deadline_ns,
                 uint32_t bits)
{
    struct futex_waiter self = {
        .address = address, .bits = bits, .thread = thread_current};
    int result = 0;

    if (!bits)
        return -EINVAL;
    result = compare_word(address, value);
    if (result)
        return result;
    wait_add(futex_bucket(address), &self.waiter);
    while (self.waiter.queue && !result)
        result = sched_block(deadline_ns);
    if (!self.waiter.queue)
        return 0;
    wait_remove(&self.waiter);
    return result;
}

/* FUTEX_WAKE_OP: changes the second word. Returns whether to wake there. */
static long change_word(uint32_t *word, uint32_t code)
{
    int operation = (code >> 28) & 7, comparison = (code >> 24) & 15;
    int argument = (int)(code << 8) >> 20, against = (int)(code << 20) >> 20;
    int old = (int)*word;

    if ((code >> 28) & FUTEX_OP_OPARG_SHIFT)
        argument = (int)(1u << (argument & 31));
    switch (operation) {
    case FUTEX_OP_SET:
        *word = (uint32_t)argument;
        break;
    case FUTEX_OP_ADD:
        *word += (uint32_t)argument;
        break;
    case FUTEX_OP_OR:
        *word |= (uint32_t)argument;
        break;
    case FUTEX_OP_ANDN:
        *word &= ~(uint32_t)argument;
        break;
    case FUTEX_OP_XOR:
        *word ^= (uint32_t)argument;
        break;
    default:
        return -ENOSYS;
    }
    switch (comparison) {
    case FUTEX_OP_CMP_EQ:
        return old == against;
    case FUTEX_OP_CMP_NE:
        return old != against;
    case FUTEX_OP_CMP_LT:
        return old < against;
    case FUTEX_OP_CMP_LE:
        return old <= against;
    case FUTEX_OP_CMP_GT:
        return old > against;
    case FUTEX_OP_CMP_GE:
        return old >= against;
    default:
        return -ENOSYS;
    }
}

static long wake_op(uintptr_t address, unsigned count, uintptr_t address2,
                    unsigned count2, uint32_t code)
{
    long answer = -EFAULT, woken;

    if (futex_is_there(address2))
        answer = change_word(futex_word(address2), code);
    if (answer < 0)
        return answer;
    woken = futex_wake(address, count);
    if (woken >= 0 && answer) {
        long more = futex_wake(address2, count2);

        return more < 0 ? more : woken + more;
    }
    return woken;
}

static long wake_and_requeue(uintptr_t address, unsigned count,
                             uintptr_t address2, unsigned count2,
                             const uint32_t *value)
{
    long moved, woken = value ? compare_word(address, *value) : 0;

    if (woken)
        return woken;
    woken = futex_wake(address, count);
    if (woken < 0)
        return woken;
    moved = requeue(address, address2, count2);
    if (moved < 0)
        return moved;
    return value ? woken + moved : woken;
}

/* ---- The call ----------------------------------------------------------- */

#define FLAGS      (FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)
#define COMMAND(o) ((o) & ~FLAGS)

static bool is_word(uintptr_t address)
{
    return !(address >> 47);
}

/*
 * What Linux refuses of addresses whatever is there: the words themselves are
 * looked at by who reads them.
 */
static long check_words(long operation, uintptr_t address, uintptr_t address2)
{
    switch (COMMAND(operation)) {
    case FUTEX_WAKE_OP:
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        if (address2 & 3)
            return -EINVAL;
        if (!is_word(address2))
            return -EFAULT;
        break;
    default:
        break;
    }
    if (address & 3)
        return -EINVAL;
    if (!is_word(address) ||
        (!(operation & FUTEX_PRIVATE_FLAG) &&
         !user_can_read(futex_word(address), sizeof(uint32_t))))
        return -EFAULT;
    return 0;
}

/* Whether the fourth argument is a time. */
static bool has_timeout(long command)
{
    switch (command) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return true;
    default:
        return false;
    }
}

/* A real-time deadline in monotonic time. */
static uint64_t from_realtime(uint64_t ns)
{
    uint64_t now_ns = mf_clock_realtime();

    return ns <= now_ns ? 0 : mf_clock_monotonic() + (ns - now_ns);
}

/* Sets the monotonic deadline. Returns 0 or -errno. */
static long read_timeout(long operation, long from, uint64_t *deadline_ns)
{
    long command = COMMAND(operation);
    struct timespec timeout;
    uint64_t ns;

    *deadline_ns = WAIT_NO_END;
    if (operation & FUTEX_CLOCK_REALTIME && command != FUTEX_WAIT_BITSET &&
        command != FUTEX_LOCK_PI2)
        return -ENOSYS;
    if (!from)
        return 0;
    if (USER_GET(timeout, from))
        return -EFAULT;
    if (timeout.tv_sec < 0 || timeout.tv_nsec < 0 ||
        timeout.tv_nsec >= 1000000000)
        return -EINVAL;
    if (timeout.tv_sec >= LONG_MAX / 1000000000)
        return 0;
    ns = (uint64_t)timeout.tv_sec * 1000000000u + (uint64_t)timeout.tv_nsec;
    if (command == FUTEX_WAIT)
        ns += mf_clock_monotonic();
    else if (command == FUTEX_LOCK_PI || operation & FUTEX_CLOCK_REALTIME)
        ns = from_realtime(ns);
    *deadline_ns = ns;
    return 0;
}

static long do_call(uintptr_t address, long operation, long value,
                    uint64_t deadline_ns, long value2, uintptr_t address2,
                    uint32_t value3)
{
    unsigned count = (unsigned)value, count2 = (unsigned)value2;

    switch (COMMAND(operation)) {
    case FUTEX_WAIT:
        return wait(address, (uint32_t)value, deadline_ns,
                    FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAIT_BITSET:
        return wait(address, (uint32_t)value, deadline_ns, value3);
    case FUTEX_WAKE:
        return futex_wake(address, count);
    case FUTEX_WAKE_BITSET:
        return value3 ? wake_bits(address, count, value3) : -EINVAL;
    case FUTEX_WAKE_OP:
        return wake_op(address, count, address2, count2, value3);
    case FUTEX_REQUEUE:
        return wake_and_requeue(address, count, address2, count2, NULL);
    case FUTEX_CMP_REQUEUE:
        return wake_and_requeue(address, count, address2, count2, &value3);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return futex_lock_pi(address, deadline_ns, false);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(address, WAIT_NO_END, true);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(address);
    default:
        return -ENOSYS;
    }
}

/* Whether an interrupted call is made again, where Linux does that. */
static bool goes_on(long command, bool has_deadline)
{
    if (command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2)
        return true;
    return !has_deadline && sched_restart();
}

long futex_call(long address, long operation, long value, long timeout,
                long address2, long value3)
{
    long command = COMMAND(operation), result;
    uint64_t deadline_ns = WAIT_NO_END;

    result = check_words(operation, (uintptr_t)address, (uintptr_t)address2);
    if (!result && has_timeout(command))
        result = read_timeout(operation, timeout, &deadline_ns);
    if (result)
        return result;
    do {
        mf_lock();
        result = do_call((uintptr_t)address, operation, value, deadline_ns,
                         timeout, (uintptr_t)address2, (uint32_t)value3);
        mf_unlock();
    } while (result == -EINTR && goes_on(command, timeout != 0));
    return result;
}
