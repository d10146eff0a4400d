/* SPDX-License-Identifier: MIT */
/* Advice about memory, and questions: madvise, mincore, msync. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "guest_rt/memory.h"
#include "guest_rt/paging.h"
#include "guest_rt/report.h"
#include "guest_rt/runtime.h"
#include "guest_rt/sched.h"
#include "guest_rt/syscalls.h"
#include "guest_rt/user.h"

/* Clears memory, whatever its rights are. Returns 0 or -ENOMEM. */
static int clear(uintptr_t from, uintptr_t to)
{
    for (; paging_rights && from < to; from += MEMORY_PAGE) {
        int rights = paging_rights(from), error;

        if (rights & PROT_WRITE) {
            memset((void *)from, 0, MEMORY_PAGE);
            continue;
        }
        error =
            paging_protect(from, from + MEMORY_PAGE, PROT_READ | PROT_WRITE);
        if (error)
            return error;
        memset((void *)from, 0, MEMORY_PAGE);
        paging_protect(from, from + MEMORY_PAGE, rights);
    }
    if (from < to)
        memset((void *)from, 0, to - from);
    else
        paging_flush();
    return 0;
}

/* Pages of a file's own memory keep what is in them. */
static bool is_anonymous(uintptr_t from, uintptr_t to)
{
    return !memory_is_file || !memory_is_file(from, to);
}

static int advise(uintptr_t from, uintptr_t to, int advice)
{
    int error = 0;

    if (!memory_is_mapped(from, to - from))
        return -ENOMEM;
    if (!is_anonymous(from, to))
        return 0;
    if (advice == MADV_DONTNEED)
        error = clear(from, to);
    if (!error && (advice == MADV_DONTNEED || advice == MADV_FREE))
        report_range(from, to, advice == MADV_DONTNEED);
    return error;
}

long __mayfly_sys_madvise(long address, long length, long advice)
{
    size_t bytes = memory_whole_pages(length);
    int error;

    if (!memory_is_aligned(address) || length < 0 || (length && !bytes))
        return -EINVAL;
    switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_COLD:
    case MADV_PAGEOUT:
        break;
    default:
        return -EINVAL;
    }
    if (!length)
        return 0;
    mf_lock();
    error = advise((uintptr_t)address, (uintptr_t)address + bytes, (int)advice);
    mf_unlock();
    return error;
}

/* The host knows which pages there are; to the program all count as there. */
long __mayfly_sys_mincore(long address, long length, long result)
{
    size_t bytes = memory_whole_pages(length);
    long error = 0;

    if (!memory_is_aligned(address))
        return -EINVAL;
    if (!length)
        return 0;
    mf_lock();
    if (!bytes || !memory_is_mapped((uintptr_t)address, bytes))
        error = -ENOMEM;
    else if (!user_can_write((void *)result, bytes / MEMORY_PAGE))
        error = -EFAULT;
    else
        memset((void *)result, 1, bytes / MEMORY_PAGE);
    mf_unlock();
    return error;
}

long __mayfly_sys_msync(long address, long length, long flags)
{
    size_t bytes = memory_whole_pages(length);
    long error = 0;

    if (!memory_is_aligned(address) ||
        (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) ||
        ((flags & MS_ASYNC) && (flags & MS_SYNC)))
        return -EINVAL;
    if (!length)
        return 0;
    mf_lock();
    if (!bytes || !memory_is_mapped((uintptr_t)address, bytes))
        error = -ENOMEM;
    else if ((flags & MS_INVALIDATE) && memory_is_locked &&
             memory_is_locked((uintptr_t)address, (uintptr_t)address + bytes))
        error = -EBUSY;
    else if (memory_sync_file)
        error =
            memory_sync_file((uintptr_t)address, (uintptr_t)address + bytes);
    mf_unlock();
    return error;
}
