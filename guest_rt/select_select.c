/* SPDX-License-Identifier: MIT */
/* select and pselect6. */
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>

#include "guest_rt/pool.h"
#include "guest_rt/select.h"
#include "guest_rt/syscalls.h"

#define WORD_BITS   64u
#define COUNT_LEAST 64u

/* What makes a descriptor readable, writable and exceptional. */
#define IN_EVENTS  (EPOLLIN | EPOLLRDNORM | EPOLLRDBAND | EPOLLHUP | EPOLLERR)
#define OUT_EVENTS (EPOLLOUT | EPOLLWRNORM | EPOLLWRBAND | EPOLLERR)
#define EX_EVENTS  EPOLLPRI

enum { IN, OUT, EX, SETS };

static const uint32_t events_of[SETS] = {IN_EVENTS, OUT_EVENTS, EX_EVENTS};

struct sets {
    uint64_t *bits[SETS]; /* NULL: none */
    unsigned count;       /* descriptors */
};

static bool has_bit(const uint64_t *bits, unsigned fd)
{
    return bits && bits[fd / WORD_BITS] >> fd % WORD_BITS & 1;
}

static uint32_t wanted_of(const struct sets *sets, unsigned fd)
{
    uint32_t wanted = 0;

    for (int set = 0; set < SETS; set++)
        if (has_bit(sets->bits[set], fd))
            wanted |= events_of[set];
    return wanted;
}

/* Returns how many descriptors are in a set. */
static unsigned count_wanted(const struct sets *sets)
{
    unsigned count = 0;

    for (unsigned fd = 0; fd < sets->count; fd++)
        count += wanted_of(sets, fd) != 0;
    return count;
}

/* Takes references to the files; -EBADF if one is not open. */
static int fill(struct select_one *entries, const struct sets *sets)
{
    unsigned used = 0;

    for (unsigned fd = 0; fd < sets->count; fd++) {
        uint32_t wanted = wanted_of(sets, fd);

        if (!wanted)
            continue;
        entries[used] = (struct select_one){.wanted = wanted};
        entries[used].file = file_get_io(fd);
        if (!entries[used++].file)
            return -EBADF;
    }
    return 0;
}

static void put_files(struct select_one *entries, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (entries[i].file)
            file_put(entries[i].file);
}

/* Puts the answer into the sets. Returns how many bits are set. */
static long answer(const struct sets *sets, const struct select_one *entries)
{
    long found = 0;

    for (unsigned fd = 0; fd < sets->count; fd++) {
        uint32_t wanted = wanted_of(sets, fd);

        if (!wanted)
            continue;
        for (int set = 0; set < SETS; set++) {
            if (!has_bit(sets->bits[set], fd))
                continue;
            if (entries->found & events_of[set])
                found++;
            else
                sets->bits[set][fd / WORD_BITS] &=
                    ~(UINT64_C(1) << fd % WORD_BITS);
        }
        entries++;
    }
    return found;
}

static bool can_reach_sets(const struct sets *sets)
{
    size_t bytes = ((size_t)sets->count + WORD_BITS - 1) / WORD_BITS * 8;

    for (int set = 0; set < SETS; set++)
        if (sets->bits[set] && !user_can_write(sets->bits[set], bytes))
            return false;
    return true;
}

static long wait_for(const struct sets *sets, uint64_t deadline_ns)
{
    unsigned count = count_wanted(sets);
    size_t bytes = count * sizeof(struct select_one);
    struct select_one *entries = NULL;
    long result;

    if (count) {
        entries = pool_alloc(bytes);
        if (!entries)
            return -ENOMEM;
    }
    result = fill(entries, sets);
    if (result)
        put_files(entries, count);
    else
        result = select_wait(entries, count, deadline_ns);
    /* Others have run. */
    if (!result && !can_reach_sets(sets))
        result = -EFAULT;
    if (!result)
        result = answer(sets, entries);
    pool_free(entries, bytes);
    return result;
}

static long select_sets(int count, uint64_t *in, uint64_t *out, uint64_t *ex,
                        uint64_t deadline_ns)
{
    struct sets sets = {{in, out, ex}, (unsigned)count};

    if (count < 0)
        return -EINVAL;
    /* As Linux: descriptors behind its table are not looked at. */
    if (sets.count > COUNT_LEAST && sets.count > file_table.count)
        sets.count =
            file_table.count > COUNT_LEAST ? file_table.count : COUNT_LEAST;
    return can_reach_sets(&sets) ? wait_for(&sets, deadline_ns) : -EFAULT;
}

/* ---- System calls ------------------------------------------------------- */

static long select_timeval(long count, long in, long out, long ex,
                           struct timeval *timeout)
{
    uint64_t deadline_ns = WAIT_NO_END;
    struct timespec time, left;
    struct timeval told;
    long result;

    if (timeout) {
        if (!user_can_read(timeout, sizeof(*timeout)))
            return -EFAULT;
        if (timeout->tv_usec < 0)
            return -EINVAL;
        /* More than a second of microseconds is fine here. */
        time.tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000;
        time.tv_nsec = timeout->tv_usec % 1000000 * 1000;
        result = select_deadline(&time, &deadline_ns);
        if (result)
            return result;
    }
    result = select_sets((int)count, (uint64_t *)in, (uint64_t *)out,
                         (uint64_t *)ex, deadline_ns);
    if (timeout && deadline_ns && deadline_ns != WAIT_NO_END) {
        left = select_time_left(deadline_ns);
        told = (struct timeval){left.tv_sec, left.tv_nsec / 1000};
        (void)USER_PUT(timeout, told);
    }
    return result;
}

long __mayfly_sys_select(long count, long in, long out, long ex, long timeout)
{
    long result;

    mf_lock();
    result = select_timeval(count, in, out, ex, (struct timeval *)timeout);
    mf_unlock();
    return result;
}

/* Linux's sixth argument of pselect6. */
struct mask {
    const void *signals;
    size_t bytes;
};

static long select_masked(long count, long in, long out, long ex,
                          struct timespec *timeout, const struct mask *mask)
{
    uint64_t deadline_ns;
    long result = select_deadline(timeout, &deadline_ns);

    if (!result && mask) {
        if (!user_can_read(mask, sizeof(*mask)))
            return -EFAULT;
        result = select_mask(mask->signals, (long)mask->bytes);
    }
    if (result)
        return result;
    result = select_sets((int)count, (uint64_t *)in, (uint64_t *)out,
                         (uint64_t *)ex, deadline_ns);
    select_give_left(timeout, deadline_ns);
    return result;
}

long __mayfly_sys_pselect6(long count, long in, long out, long ex, long timeout,
                           long mask)
{
    long result;

    mf_lock();
    result = select_masked(count, in, out, ex, (struct timespec *)timeout,
                           (const struct mask *)mask);
    mf_unlock();
    return result;
}
