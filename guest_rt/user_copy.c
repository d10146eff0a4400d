/* SPDX-License-Identifier: MIT */
/* Arguments and results that a program names by their addresses. */
#include <errno.h>
#include <string.h>

#include "guest_rt/user.h"

#define PAGE_BYTES 4096ul

/* Memory is there in whole pages. */
bool user_can_read_string(const char *at, size_t most)
{
    while (most > 0) {
        size_t part = PAGE_BYTES - ((uintptr_t)at & (PAGE_BYTES - 1));

        if (part > most)
            part = most;
        if (!user_can_read(at, part))
            return false;
        if (strnlen(at, part) < part)
            return true;
        at += part;
        most -= part;
    }
    return true;
}

int user_get(void *to, const void *from, size_t bytes)
{
    if (!user_can_read(from, bytes))
        return -EFAULT;
    memcpy(to, from, bytes);
    return 0;
}

int user_put(void *to, const void *from, size_t bytes)
{
    if (!user_can_write(to, bytes))
        return -EFAULT;
    memcpy(to, from, bytes);
    return 0;
}
