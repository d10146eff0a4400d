/* SPDX-License-Identifier: MIT */
/* Memory: brk, anonymous mmap, munmap and mprotect. */
#include "guest_rt/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/paging.h"
#include "guest_rt/region.h"
#include "guest_rt/report.h"
#include "guest_rt/runtime.h"
#include "guest_rt/sched.h"
#include "guest_rt/syscalls.h"

/*
 * The break is in the first region; mappings come from the second one first,
 * so that the break has room. Both are set up on first use.
 */
#define REGIONS 2

#define RIGHTS (PROT_READ | PROT_WRITE | PROT_EXEC)

/* musl has no name for all types of mappings together. */
#define TYPE_MASK 15

static struct region regions[REGIONS];
static bool regions_ready;

/* The exact break, as far as brk(2) is concerned. */
static uintptr_t current_brk;

uint64_t mf_memory_limit_bytes = UINT64_MAX;

/* ---- The regions -------------------------------------------------------- */

/* Makes memory writable that is about to be handed out: see struct region. */
static bool open_memory(uintptr_t from, uintptr_t to)
{
    if (late_forget)
        late_forget(from, to);
    return !paging_is_there || !paging_is_there() ||
           !paging_protect(from, to, PROT_READ | PROT_WRITE);
}

static struct region *regions_get(void)
{
    const struct mf_boot *boot = mf_boot_page();

    if (!regions_ready) {
        for (int i = 0; i < REGIONS; i++) {
            region_init(&regions[i], boot->free[i].base, boot->free[i].bytes);
            if (paging_protect)
                regions[i].open = open_memory;
        }
        current_brk = regions[0].brk;
        regions_ready = true;
    }
    return regions;
}

/* The region that contains this range, or NULL. */
static struct region *region_of(uintptr_t address, size_t bytes)
{
    struct region *all = regions_get();

    for (int i = 0; i < REGIONS; i++)
        if (region_contains(&all[i], address, bytes))
            return &all[i];
    return NULL;
}

static uint64_t total_bytes(void)
{
    const struct region *all = regions_get();

    return all[0].end - all[0].base + all[1].end - all[1].base;
}

uint64_t mf_memory_free_bytes(void)
{
    const struct region *all = regions_get();

    return region_free_bytes(&all[0]) + region_free_bytes(&all[1]);
}

/* Whether so much more would be more than RLIMIT_AS allows. */
static bool is_over_limit(size_t bytes)
{
    return mf_memory_limit_bytes != UINT64_MAX &&
           total_bytes() - mf_memory_free_bytes() + bytes >
               mf_memory_limit_bytes;
}

/* ---- For the other parts ------------------------------------------------ */

static bool is_in(uintptr_t address, size_t bytes, uintptr_t from, uintptr_t to)
{
    return address >= from && address < to && bytes <= to - address;
}

bool memory_is_mapped(uintptr_t address, size_t bytes)
{
    const struct mf_boot *boot = mf_boot_page();
    const struct region *region = region_of(address, bytes);

    return (region && region_is_used(region, address, bytes)) ||
           is_in(address, bytes, boot->stack_low, boot->stack_top) ||
           is_in(address, bytes, boot->image.base,
                 boot->image.base + boot->image.bytes);
}

long memory_map(size_t bytes)
{
    struct region *all = regions_get();
    uintptr_t address = 0;

    if (is_over_limit(bytes))
        return -ENOMEM;
    for (int i = REGIONS; i-- && !address;)
        address = region_map(&all[i], bytes);
    return address ? (long)address : -ENOMEM;
}

long memory_map_at(uintptr_t address, size_t bytes, bool replace)
{
    struct region *region = region_of(address, bytes);

    if (!region || is_over_limit(replace ? 0 : bytes))
        return -ENOMEM;
    if (!replace)
        return region_map_free(region, address, bytes) ? (long)address
                                                       : -EEXIST;
    return region_map_fixed(region, address, bytes, true) ? (long)address
                                                          : -ENOMEM;
}

/* The part of a range that is in this region. */
static int unmap_in(struct region *region, uintptr_t from, uintptr_t to)
{
    if (from < region->floor)
        from = region->floor;
    if (to > region->end)
        to = region->end;
    if (from >= to)
        return 0;
    if (!region_unmap(region, from, to - from))
        return -ENOMEM;
    if (late_protect)
        late_protect(from, to, PAGING_FREE);
    return 0;
}

/* Without a report, which those who only map do not contain. */
static int unmap(uintptr_t address, size_t bytes)
{
    struct region *all = regions_get();
    int error = 0;

    for (int i = 0; i < REGIONS && !error; i++)
        error = unmap_in(&all[i], address, address + bytes);
    return error;
}

int memory_unmap(uintptr_t address, size_t bytes)
{
    int error = unmap(address, bytes);

    if (!error)
        report_freed(regions, REGIONS, bytes);
    return error;
}

int memory_unmap_all(uintptr_t from, uintptr_t to)
{
    int error = 0;

    while (from < to && !error) {
        bool kept = false;
        uintptr_t end =
            memory_unmap_file ? memory_unmap_file(from, to, &kept) : to;

        if (memory_unlock)
            memory_unlock(from, end);
        if (!kept)
            error = memory_unmap(from, end - from);
        from = end;
    }
    return error;
}

int memory_set_rights(uintptr_t address, size_t bytes, int rights)
{
    int error;

    rights &= RIGHTS;
    if (rights == (PROT_READ | PROT_WRITE) || rights == PROT_WRITE)
        return 0;
    if (!paging_is_there || !paging_is_there())
        return rights & PROT_EXEC ? -EACCES : 0;
    if (rights == PROT_NONE) {
        late_protect(address, address + bytes, rights);
        return 0;
    }
    error = paging_protect(address, address + bytes, rights);
    paging_flush();
    return error;
}

/* ---- For the runtime ---------------------------------------------------- */

void *mf_pages_alloc(size_t bytes)
{
    struct region *all = regions_get();
    size_t whole = memory_whole_pages((long)bytes);
    uintptr_t address = 0;

    for (int i = REGIONS; i-- && whole && !address;)
        address = region_map(&all[i], whole);
    return (void *)address;
}

void mf_pages_free(void *pages, size_t bytes)
{
    memory_unmap((uintptr_t)pages, memory_whole_pages((long)bytes));
}

/* ---- System calls ------------------------------------------------------- */

static long set_brk(long wanted)
{
    struct region *heap = &regions_get()[0];
    uintptr_t brk = (uintptr_t)wanted, old = current_brk;
    size_t whole = memory_whole_pages(wanted);

    if (brk < heap->base || brk > heap->end ||
        (brk > old && is_over_limit(brk - old)) || !region_set_brk(heap, whole))
        return (long)old;
    /* Within one page nothing is cleared by a move of the whole pages. */
    if (brk < old)
        memset((void *)brk, 0, whole - brk);
    current_brk = brk;
    return wanted;
}

long __mayfly_sys_brk(long wanted)
{
    long result;

    mf_lock();
    result = set_brk(wanted);
    mf_unlock();
    return result;
}

long memory_map_somewhere(uintptr_t address, size_t bytes, int flags)
{
    bool exactly = (flags & MAP_FIXED) == MAP_FIXED ||
                   (flags & MAP_FIXED_NOREPLACE) == MAP_FIXED_NOREPLACE;
    long result;

    if (exactly && (flags & MAP_FIXED) && memory_vacate_file) {
        result = memory_vacate_file(address, address + bytes);
        if (result)
            return result;
    }
    if (exactly)
        return memory_map_at(address, bytes, flags & MAP_FIXED);
    address &= -MEMORY_PAGE;
    result = address ? memory_map_at(address, bytes, false) : -EEXIST;
    return result > 0 ? result : memory_map(bytes);
}

static long map_anonymous(uintptr_t address, size_t bytes, int rights,
                          int flags)
{
    long result;
    int error;

    if ((rights & PROT_WRITE) && (rights & PROT_EXEC))
        return -EACCES;
    result = memory_map_somewhere(address, bytes, flags);
    if (result < 0)
        return result;
    error = memory_set_rights((uintptr_t)result, bytes, rights);
    if (error) {
        unmap((uintptr_t)result, bytes);
        return error;
    }
    if ((rights & PROT_WRITE) && !(flags & MAP_NORESERVE))
        memory_ahead(region_of((uintptr_t)result, bytes), (uintptr_t)result,
                     bytes);
    return result;
}

long memory_mmap(long address, long length, long protection, long flags,
                 long fd, long offset)
{
    size_t bytes = memory_whole_pages(length);
    long type = flags & TYPE_MASK, result;

    if (!length || !memory_is_aligned(offset) ||
        (type != MAP_PRIVATE && type != MAP_SHARED &&
         type != MAP_SHARED_VALIDATE) ||
        ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) &&
         !memory_is_aligned(address)))
        return -EINVAL;
    if (!bytes || length < 0)
        return -ENOMEM;
    mf_lock();
    if (flags & MAP_ANONYMOUS)
        result = map_anonymous((uintptr_t)address, bytes, (int)protection,
                               (int)flags);
    else
        result = memory_map_file
                     ? memory_map_file((uintptr_t)address, bytes,
                                       (int)protection, (int)flags, fd, offset)
                     : -ENODEV;
    if (result > 0 && memory_lock_new)
        memory_lock_new((uintptr_t)result, (uintptr_t)result + bytes,
                        flags & MAP_LOCKED);
    mf_unlock();
    return result;
}

long __mayfly_sys_munmap(long address, long length)
{
    size_t bytes = memory_whole_pages(length);
    int error;

    if (!memory_is_aligned(address) || !bytes || length < 0 ||
        (uintptr_t)address > MF_MEM_BYTES_MAX * 2 ||
        bytes > MF_MEM_BYTES_MAX * 2)
        return -EINVAL;
    mf_lock();
    error = memory_unmap_all((uintptr_t)address, (uintptr_t)address + bytes);
    mf_unlock();
    return error;
}

static int protect(uintptr_t from, size_t bytes, int rights)
{
    int error;

    if ((rights & PROT_WRITE) && (rights & PROT_EXEC))
        return -EACCES;
    if (!memory_is_mapped(from, bytes))
        return -ENOMEM;
    if (memory_is_file && memory_is_file(from, from + bytes))
        return memory_protect_file(from, from + bytes, rights);
    late_forget(from, from + bytes);
    error = paging_protect(from, from + bytes, rights);
    late_settle();
    return error;
}

/*
 * Without paging.c, or under a machine that keeps its tables to itself, nothing
 * is protected. musl knows kernels without an MMU and goes on.
 */
long __mayfly_sys_mprotect(long address, long length, long protection)
{
    size_t bytes = memory_whole_pages(length);
    int error;

    if (!paging_is_there || !paging_is_there())
        return -ENOSYS;
    if (!memory_is_aligned(address) || (protection & ~RIGHTS))
        return -EINVAL;
    if (!length)
        return 0;
    if (!bytes)
        return -ENOMEM;
    mf_lock();
    error = protect((uintptr_t)address, bytes, (int)protection);
    mf_unlock();
    return error;
}
