/* SPDX-License-Identifier: MIT */
/* Rights that are lowered later, many at once. */
#define MEMORY_PROTECTS

#include <stddef.h>
#include <sys/mman.h>

#include "guest_rt/memory.h"
#include "guest_rt/paging.h"

/*
 * Lowering costs a flush, and what is freed or reserved now is often in use
 * again soon: musl's malloc maps what it has just unmapped, and its threads
 * make most of what they map with PROT_NONE writable at once. So such changes
 * wait here, and what is undone meanwhile is never done. A program's own munmap
 * and mmap settle them before they return (mman.c): it finds no difference.
 */

#define LATE_MAX 32u

static struct late {
    uintptr_t from, to;
    int rights;
} late[LATE_MAX];

static unsigned late_count;

const char memory_protects[] = "";

void late_settle(void)
{
    /* One that there is no memory for (tables) stays as accessible as it was.
     */
    while (late_count > 0) {
        struct late next;

        /*
         * Memory for tables may be from the very range: as long as the range
         * is in the list, what is handed out of it leaves the list.
         */
        paging_prepare();
        if (late_count == 0)
            break;
        next = late[--late_count];
        paging_protect(next.from, next.to, next.rights);
    }
    paging_flush();
}

void late_forget(uintptr_t from, uintptr_t to)
{
    for (unsigned i = 0; i < late_count;) {
        struct late *at = &late[i];
        uintptr_t end = at->to;

        if (at->to <= from || at->from >= to) {
            i++;
        } else if (at->from < from) {
            at->to = from;
            if (end > to)
                late_protect(to, end, at->rights);
            i++;
        } else if (end > to) {
            at->from = to;
            i++;
        } else {
            *at = late[--late_count];
        }
    }
}

void late_protect(uintptr_t from, uintptr_t to, int rights)
{
    if (!paging_is_there())
        return;
    late_forget(from, to);
    if (late_count == LATE_MAX)
        late_settle();
    late[late_count++] = (struct late){from, to, rights};
}
