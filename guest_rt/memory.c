/* SPDX-License-Identifier: MIT */
/* Memory: brk, mmap and what goes with them. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/region.h"
#include "guest_rt/report.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"

/*
 * The break is in the first region; mappings come from the second one first,
 * so that the break has room. Both are set up on first use.
 */
#define REGIONS 2

static struct region regions[REGIONS];
static bool regions_ready;

/* The exact break, as far as brk(2) is concerned. */
static uintptr_t current_brk;

static struct region *regions_get(void)
{
    const struct mf_boot *boot = mf_boot_page();

    if (!regions_ready) {
        for (int i = 0; i < REGIONS; i++)
            region_init(&regions[i], boot->free[i].base, boot->free[i].bytes);
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

static void unmap(struct region *region, uintptr_t address, size_t bytes)
{
    region_unmap(region, address, bytes);
    report_freed(regions, REGIONS, bytes);
}

/* Rounds up to whole pages; 0 when that does not fit. */
static size_t whole_pages(long bytes)
{
    return ((size_t)bytes + REGION_PAGE - 1) & -REGION_PAGE;
}

static bool page_aligned(long address)
{
    return !((uintptr_t)address & (REGION_PAGE - 1));
}

uint64_t mf_memory_free_bytes(void)
{
    const struct region *all = regions_get();

    return region_free_bytes(&all[0]) + region_free_bytes(&all[1]);
}

long __mayfly_sys_brk(long wanted)
{
    struct region *heap = &regions_get()[0];
    uintptr_t brk = (uintptr_t)wanted;
    uintptr_t old = current_brk;

    if (brk < heap->base || brk > heap->end ||
        !region_set_brk(heap, whole_pages(wanted)))
        return (long)old;
    /* Within one page nothing is cleared by a move of the whole pages. */
    if (brk < old)
        memset((void *)brk, 0, whole_pages(wanted) - brk);
    current_brk = brk;
    return wanted;
}

static long map_anywhere(size_t bytes)
{
    struct region *all = regions_get();
    uintptr_t address = 0;

    for (int i = REGIONS; i-- && !address;)
        address = region_map(&all[i], bytes);
    return address ? (long)address : -ENOMEM;
}

void *mf_pages_alloc(size_t bytes)
{
    size_t whole = whole_pages((long)bytes);
    long address = whole ? map_anywhere(whole) : -ENOMEM;

    return address < 0 ? NULL : (void *)address;
}

void mf_pages_free(void *pages, size_t bytes)
{
    struct region *region = region_of((uintptr_t)pages, bytes);

    if (region)
        unmap(region, (uintptr_t)pages, whole_pages((long)bytes));
}

long __mayfly_sys_mmap(long address, long length, long protection, long flags,
                       long fd, long offset)
{
    size_t bytes = whole_pages(length);
    struct region *region;

    (void)fd;
    (void)offset;
    if (!(flags & MAP_ANONYMOUS))
        return -ENODEV;
    if (!bytes)
        return length ? -ENOMEM : -EINVAL;
    if (protection & PROT_EXEC)
        return -EACCES;
    if (!(flags & MAP_FIXED))
        return map_anywhere(bytes);

    /* A guard (PROT_NONE) is neither enforced nor touched. */
    if (!page_aligned(address))
        return -EINVAL;
    region = region_of((uintptr_t)address, bytes);
    if (!region || !region_map_fixed(region, (uintptr_t)address, bytes,
                                     protection != PROT_NONE))
        return -ENOMEM;
    return address;
}

long __mayfly_sys_munmap(long address, long length)
{
    size_t bytes = whole_pages(length);
    struct region *region;

    if (!page_aligned(address) || !bytes)
        return -EINVAL;
    region = region_of((uintptr_t)address, bytes);
    if (!region)
        return -EINVAL;
    unmap(region, (uintptr_t)address, bytes);
    return 0;
}

long __mayfly_sys_mremap(long address, long old_length, long new_length,
                         long flags, long new_address)
{
    size_t old = whole_pages(old_length), new = whole_pages(new_length);
    struct region *region;
    long moved;

    (void)new_address;
    if (!page_aligned(address) || !old || !new || (flags & ~MREMAP_MAYMOVE))
        return -EINVAL;
    region = region_of((uintptr_t)address, old);
    if (!region)
        return -EFAULT;
    if (new <= old) {
        if (new < old)
            unmap(region, (uintptr_t)address + new, old - new);
        return address;
    }
    if (region_map_free(region, (uintptr_t)address + old, new - old))
        return address;
    if (!(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    moved = map_anywhere(new);
    if (moved < 0)
        return moved;
    memcpy((void *)moved, (void *)address, old);
    unmap(region, (uintptr_t)address, old);
    return moved;
}

/*
 * Ring 3 cannot change its page tables. musl knows kernels without an MMU and
 * goes on; the call is expected and therefore not counted as missing.
 */
long __mayfly_sys_mprotect(long address, long length, long protection)
{
    (void)address;
    (void)length;
    (void)protection;
    return -ENOSYS;
}

long __mayfly_sys_madvise(long address, long length, long advice)
{
    size_t bytes = whole_pages(length);

    if (!page_aligned(address))
        return -EINVAL;
    if (!region_of((uintptr_t)address, bytes))
        return -ENOMEM;
    if (advice == MADV_DONTNEED)
        memset((void *)address, 0, bytes);
    return 0;
}
