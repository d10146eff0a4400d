/* SPDX-License-Identifier: MIT */
/* mremap. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "guest_rt/memory.h"
#include "guest_rt/paging.h"
#include "guest_rt/sched.h"
#include "guest_rt/syscalls.h"

static int rights_of(uintptr_t address)
{
    return paging_rights ? paging_rights(address) : PROT_READ | PROT_WRITE;
}

/* Where memory with the same rights as that at `from` ends, `to` at most. */
static uintptr_t same_rights_to(uintptr_t from, uintptr_t to)
{
    int rights = rights_of(from);

    if (!paging_rights)
        return to;
    do
        from += MEMORY_PAGE;
    while (from < to && rights_of(from) == rights);
    return from;
}

/*
 * Copies memory that is about to be unmapped, whatever its rights are, and
 * gives the copy these rights.
 */
static int copy(uintptr_t target, uintptr_t from, size_t bytes)
{
    uintptr_t end = from + bytes;
    int error = 0;

    while (from < end && !error) {
        uintptr_t to = same_rights_to(from, end);
        int rights = rights_of(from);

        if (!(rights & PROT_READ))
            error = paging_protect(from, to, PROT_READ);
        if (!error) {
            memcpy((void *)target, (const void *)from, to - from);
            error = memory_set_rights(target, to - from, rights);
        }
        target += to - from;
        from = to;
    }
    return error;
}

/* Makes a mapping longer where it is, if there is room. */
static bool grow(uintptr_t address, size_t old, size_t new)
{
    uintptr_t end = address + old;
    int rights = rights_of(end - MEMORY_PAGE);

    if (memory_map_at(end, new - old, false) < 0)
        return false;
    if (!memory_set_rights(end, new - old, rights))
        return true;
    memory_unmap(end, new - old);
    return false;
}

static long move(uintptr_t address, size_t old, size_t new, long target)
{
    int error;

    if (target < 0)
        return target;
    error = copy((uintptr_t)target, address, old < new ? old : new);
    if (!error && old < new)
        error = memory_set_rights((uintptr_t)target + old, new - old,
                                  rights_of(address + old - MEMORY_PAGE));
    if (error) {
        memory_unmap((uintptr_t)target, new);
        return error;
    }
    memory_unmap(address, old);
    return target;
}

static long move_to(uintptr_t address, size_t old, size_t new, uintptr_t target)
{
    if (!memory_is_aligned((long)target) ||
        (target < address + old && address < target + new))
        return -EINVAL;
    if (memory_is_file && memory_is_file(target, target + new))
        return -ENOMEM;
    return move(address, old, new, memory_map_at(target, new, true));
}

static long resize(uintptr_t address, size_t old, size_t new, long flags,
                   uintptr_t target)
{
    if (memory_is_file && memory_is_file(address, address + old))
        return old == new && !(flags & MREMAP_FIXED) ? (long)address : -ENOMEM;
    if (!memory_is_mapped(address, old))
        return -EFAULT;
    if (flags & MREMAP_FIXED)
        return move_to(address, old, new, target);
    if (new <= old) {
        int error = new < old ? memory_unmap(address + new, old - new) : 0;

        return error ? error : (long)address;
    }
    if (grow(address, old, new))
        return (long)address;
    return flags & MREMAP_MAYMOVE ? move(address, old, new, memory_map(new))
                                  : -ENOMEM;
}

long __mayfly_sys_mremap(long address, long old_length, long new_length,
                         long flags, long new_address)
{
    size_t old = memory_whole_pages(old_length),
           new = memory_whole_pages(new_length);
    long result;

    if (!memory_is_aligned(address) || !old || !new || old_length < 0 ||
        (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) ||
        ((flags & MREMAP_FIXED) && !(flags & MREMAP_MAYMOVE)))
        return -EINVAL;
    if (new_length < 0)
        return -ENOMEM;
    mf_lock();
    result =
        resize((uintptr_t)address, old, new, flags, (uintptr_t)new_address);
    mf_unlock();
    return result;
}
