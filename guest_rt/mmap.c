/* SPDX-License-Identifier: MIT */
/* mmap, and what there is of it in a program that uses nothing else of it. */
#include <errno.h>
#include <sys/mman.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/memory.h"
#include "guest_rt/syscalls.h"

/*
 * Every program may call mmap once or twice before main: for its thread-local
 * variables, or for a device's queues. That alone needs no allocator.
 */
__typeof__(memory_mmap) memory_mmap __attribute__((weak));

/* Memory from the upper end, for ever. */
static long take(size_t bytes)
{
    const struct mf_boot *boot = mf_boot_page();
    const struct mf_range *free = &boot->free[boot->free[1].bytes > 0];
    static size_t taken;
    size_t left = (free->bytes - taken) & -MEMORY_PAGE;

    if (!bytes || bytes > left)
        return -ENOMEM;
    taken = free->bytes - (left - bytes);
    return (long)(free->base + left - bytes);
}

long __mayfly_sys_mmap(long address, long length, long protection, long flags,
                       long fd, long offset)
{
    if (memory_mmap)
        return memory_mmap(address, length, protection, flags, fd, offset);
    return flags & MAP_ANONYMOUS ? take(memory_whole_pages(length)) : -ENODEV;
}
