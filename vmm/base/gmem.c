/* SPDX-License-Identifier: MIT */
/* Guest-physical memory: bounds are checked here and nowhere else. */
#include "vmm/base/gmem.h"

#include <errno.h>
#include <string.h>

void gmem_add(struct gmem *mem, uint64_t base, uint64_t bytes, void *host)
{
    struct gmem_region *region = &mem->regions[mem->count];
    uint64_t first = 0;

    bug_on(mem->count == GMEM_REGIONS_MAX);
    if (mem->count > 0)
        first = region[-1].first + region[-1].bytes / GMEM_PAGE_BYTES;
    *region = (struct gmem_region){base, bytes, host, first};
    mem->count++;
}

/* The region that all of it is in, or NULL; its offset there in `*offset`. */
static const struct gmem_region *find(const struct gmem *mem, gpa_t at,
                                      size_t bytes, uint64_t *offset)
{
    if (bytes == 0)
        return NULL;
    for (unsigned i = 0; i < mem->count; i++) {
        const struct gmem_region *region = &mem->regions[i];

        if (at.raw < region->base)
            continue;
        *offset = at.raw - region->base;
        if (*offset < region->bytes && bytes <= region->bytes - *offset)
            return region;
    }
    return NULL;
}

/* Two threads may come through the door at once. */
static void mark(const struct gmem *mem, const struct gmem_region *region,
                 uint64_t offset, size_t bytes)
{
    uint64_t page = region->first + offset / GMEM_PAGE_BYTES;
    uint64_t last = region->first + (offset + bytes - 1) / GMEM_PAGE_BYTES;

    for (; page <= last; page++) {
        uint64_t *word = &mem->marks[page / 64];
        uint64_t bit = UINT64_C(1) << page % 64;

        if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & bit))
            __atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
    }
}

int gmem_map(const struct gmem *mem, gpa_t at, size_t bytes, void **host)
{
    uint64_t offset;
    const struct gmem_region *region = find(mem, at, bytes, &offset);

    if (!region)
        return -EFAULT;
    if (mem->marks)
        mark(mem, region, offset, bytes);
    *host = region->host + offset;
    return 0;
}

/* Adds the part of a region that [start, end) names, if there is any. */
static int add_part(struct gmem *mem, const struct gmem_region *region,
                    uint64_t start, uint64_t end)
{
    start = max_u64(start, region->base);
    end = min_u64(end, region->base + region->bytes);
    if (start >= end)
        return 0;
    if (mem->count == GMEM_REGIONS_MAX)
        return -ENOSPC;
    mem->regions[mem->count++] = (struct gmem_region){
        .base = start,
        .bytes = end - start,
        .host = region->host + (start - region->base),
        .first = region->first + (start - region->base) / GMEM_PAGE_BYTES,
    };
    return 0;
}

int gmem_exclude(struct gmem *mem, uint64_t start, uint64_t end)
{
    struct gmem rest = {.count = 0, .marks = mem->marks};

    if (start >= end)
        return 0;
    for (unsigned i = 0; i < mem->count; i++) {
        int error = add_part(&rest, &mem->regions[i], 0, start);

        if (!error)
            error = add_part(&rest, &mem->regions[i], end, UINT64_MAX);
        if (error)
            return error;
    }
    *mem = rest;
    return 0;
}

int gmem_find(const struct gmem *mem, gpa_t at, size_t bytes, void **host)
{
    uint64_t offset;
    const struct gmem_region *region = find(mem, at, bytes, &offset);

    if (!region)
        return -EFAULT;
    *host = region->host + offset;
    return 0;
}

void gmem_mark(const struct gmem *mem, const void *host, size_t bytes)
{
    if (!mem->marks || bytes == 0)
        return;
    for (unsigned i = 0; i < mem->count; i++) {
        const struct gmem_region *region = &mem->regions[i];
        uint64_t offset = (uintptr_t)host - (uintptr_t)region->host;

        if (offset >= region->bytes)
            continue;
        bug_on(bytes > region->bytes - offset);
        mark(mem, region, offset, bytes);
        return;
    }
    bug_on(true); /* nobody else's memory comes from here */
}

int gmem_read(const struct gmem *mem, gpa_t from, void *to, size_t bytes)
{
    void *host;
    int error = gmem_find(mem, from, bytes, &host);

    if (error)
        return error;
    memcpy(to, host, bytes);
    return 0;
}

int gmem_write(const struct gmem *mem, gpa_t to, const void *from, size_t bytes)
{
    void *host;
    int error = gmem_map(mem, to, bytes, &host);

    if (error)
        return error;
    memcpy(host, from, bytes);
    return 0;
}
