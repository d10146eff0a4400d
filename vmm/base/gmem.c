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
