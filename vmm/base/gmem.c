/* SPDX-License-Identifier: MIT */
/* Guest-physical memory: bounds are checked here and nowhere else. */
#include "vmm/base/gmem.h"

#include <errno.h>
#include <string.h>

int gmem_map(const struct gmem *mem, gpa_t at, size_t bytes, void **host)
{
    if (bytes == 0)
        return -EFAULT;
    for (unsigned i = 0; i < mem->count; i++) {
        const struct gmem_region *region = &mem->regions[i];

        if (at.raw < region->base)
            continue;
        uint64_t offset = at.raw - region->base;
        if (offset >= region->bytes || bytes > region->bytes - offset)
            continue;
        *host = region->host + offset;
        return 0;
    }
    return -EFAULT;
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
    };
    return 0;
}

int gmem_exclude(struct gmem *mem, uint64_t start, uint64_t end)
{
    struct gmem rest = {.count = 0};

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

int gmem_read(const struct gmem *mem, gpa_t from, void *to, size_t bytes)
{
    void *host;
    int error = gmem_map(mem, from, bytes, &host);

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
