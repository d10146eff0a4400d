/* SPDX-License-Identifier: MIT */
/* mlock, munlock, mlockall, munlockall. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "guest_rt/memory.h"
#include "guest_rt/sched.h"
#include "guest_rt/syscalls.h"

/*
 * Nothing is ever paged out by this side, so that locked memory differs from
 * other memory in one thing only: msync() with MS_INVALIDATE refuses it.
 */

#define RANGES_MAX 64u

/* What is locked; they do not overlap. */
static struct range {
    uintptr_t from, to;
} ranges[RANGES_MAX];

static unsigned range_count;

/* mlockall(MCL_FUTURE) */
static bool locks_new;

bool memory_is_locked(uintptr_t from, uintptr_t to)
{
    for (unsigned i = 0; i < range_count; i++)
        if (ranges[i].from < to && ranges[i].to > from)
            return true;
    return false;
}

static void drop(unsigned index)
{
    range_count--;
    memmove(&ranges[index], &ranges[index + 1],
            (range_count - index) * sizeof(*ranges));
}

/* What there is no room for counts as unlocked. */
static void append(uintptr_t from, uintptr_t to)
{
    if (from < to && range_count < RANGES_MAX)
        ranges[range_count++] = (struct range){from, to};
}

void memory_unlock(uintptr_t from, uintptr_t to)
{
    for (unsigned i = range_count; i-- > 0;) {
        struct range old = ranges[i];

        if (old.from >= to || old.to <= from)
            continue;
        drop(i);
        append(old.from, from);
        append(to, old.to);
    }
}

/* Adds a range, in one piece with those that it touches. */
static int add(uintptr_t from, uintptr_t to)
{
    for (unsigned i = range_count; i-- > 0;) {
        if (ranges[i].from > to || ranges[i].to < from)
            continue;
        if (ranges[i].from < from)
            from = ranges[i].from;
        if (ranges[i].to > to)
            to = ranges[i].to;
        drop(i);
    }
    if (range_count == RANGES_MAX)
        return -ENOMEM; /* as Linux, with too many mappings */
    append(from, to);
    return 0;
}

void memory_lock_new(uintptr_t from, uintptr_t to, bool locked)
{
    if (locked || locks_new)
        add(from, to);
    else
        memory_unlock(from, to);
}

/* ---- System calls ------------------------------------------------------- */

static long lock(long address, long length, bool locked)
{
    uintptr_t from = (uintptr_t)address & -MEMORY_PAGE;
    size_t bytes =
        memory_whole_pages(length + (long)((uintptr_t)address - from));
    long error = -ENOMEM;

    if (!length)
        return 0;
    mf_lock();
    if (bytes && memory_is_mapped(from, bytes)) {
        error = 0;
        if (locked)
            error = add(from, from + bytes);
        else
            memory_unlock(from, from + bytes);
    }
    mf_unlock();
    return error;
}

long __mayfly_sys_mlock(long address, long length)
{
    return lock(address, length, true);
}

long __mayfly_sys_mlock2(long address, long length, long flags)
{
    return flags & ~MLOCK_ONFAULT ? -EINVAL : lock(address, length, true);
}

long __mayfly_sys_munlock(long address, long length)
{
    return lock(address, length, false);
}

static void lock_all(bool now, bool later)
{
    mf_lock();
    if (now)
        add(0, UINTPTR_MAX);
    locks_new = later;
    mf_unlock();
}

long __mayfly_sys_mlockall(long flags)
{
    const long every = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;

    if (!flags || (flags & ~every) || flags == MCL_ONFAULT)
        return -EINVAL;
    lock_all(flags & MCL_CURRENT, flags & MCL_FUTURE);
    return 0;
}

long __mayfly_sys_munlockall(void)
{
    mf_lock();
    range_count = 0;
    locks_new = false;
    mf_unlock();
    return 0;
}
