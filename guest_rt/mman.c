/* SPDX-License-Identifier: MIT */
/* mmap and its family, as programs call them. */
#define MEMORY_PROTECTS

#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/memory.h"
#include "guest_rt/sched.h"

/*
 * The linker sends a program's calls of mmap, munmap, mremap and mprotect here
 * (--wrap in mayfly.specs); musl's own, from malloc and threads, go to musl's
 * functions under their internal names. So a program that protects or maps
 * memory itself contains paging.c and sees every change of rights at once, and
 * one that only allocates has none of it.
 */

void *__mmap(void *address, size_t bytes, int rights, int flags, int fd,
             off_t offset);
int __munmap(void *address, size_t bytes);
int __mprotect(void *address, size_t bytes, int rights);
void *__mremap(void *address, size_t old, size_t new, int flags, ...);

void *__wrap_mmap(void *address, size_t bytes, int rights, int flags, int fd,
                  off_t offset);
int __wrap_munmap(void *address, size_t bytes);
int __wrap_mprotect(void *address, size_t bytes, int rights);
void *__wrap_mremap(void *address, size_t old, size_t new, int flags, ...);

/* Files can be mapped where mmap is called. */
static __typeof__(memory_map_file) *const file_link __attribute__((used)) =
    memory_map_file;

static void settle(void)
{
    mf_lock();
    late_settle();
    mf_unlock();
}

static void close_freed(uintptr_t from, uintptr_t to)
{
    mf_lock();
    if (from < to && to <= MF_MEM_BYTES_MAX * 2 && paging_is_there())
        late_close(from, (to + MEMORY_PAGE - 1) & -MEMORY_PAGE);
    mf_unlock();
}

void *__wrap_mmap(void *address, size_t bytes, int rights, int flags, int fd,
                  off_t offset)
{
    void *result = __mmap(address, bytes, rights, flags, fd, offset);

    settle();
    return result;
}

int __wrap_munmap(void *address, size_t bytes)
{
    int result = __munmap(address, bytes);

    if (!result)
        close_freed((uintptr_t)address, (uintptr_t)address + bytes);
    return result;
}

int __wrap_mprotect(void *address, size_t bytes, int rights)
{
    return __mprotect(address, bytes, rights);
}

void *__wrap_mremap(void *address, size_t old, size_t new, int flags, ...)
{
    void *target = NULL, *result;
    va_list list;

    if (flags & MREMAP_FIXED) {
        va_start(list, flags);
        target = va_arg(list, void *);
        va_end(list);
    }
    result = __mremap(address, old, new, flags, target);
    if (result == MAP_FAILED)
        return result;
    settle();
    if (result != address)
        close_freed((uintptr_t)address, (uintptr_t)address + old);
    else if (new < old)
        close_freed(((uintptr_t)address + new + MEMORY_PAGE - 1) & -MEMORY_PAGE,
                    (uintptr_t)address + old);
    return result;
}
