/* SPDX-License-Identifier: MIT */
/* Rights that are lowered later, many at once. */
#define MEMORY_PROTECTS

#include <stddef.h>
#include <string.h>

#include "guest_rt/memory.h"
#include "guest_rt/paging.h"

/*
 * Lowering costs a flush, and closed memory that is opened again costs a fault
 * of the host for each page. What is freed or reserved now is often in use
 * again soon: programs map what they have just unmapped, and musl's threads
 * make most of what they map with PROT_NONE writable at once. So such changes
 * wait here, oldest first, and what is undone meanwhile is never done. What a
 * program reserves is settled before its call returns, and so is the beginning
 * of what it unmaps (mman.c).
 */

#define LATE_MAX 32u

/* While ranges are settled, others may be split. */
#define LATE_ROOM (LATE_MAX + 8)

/* A program's own munmap of so much closes all of it. */
#define LATE_SMALL (8 * MEMORY_PAGE)

#define LARGE_PAGE (512 * MEMORY_PAGE)

static struct late {
    uintptr_t from, to;
    int rights;
} late[LATE_ROOM];

static unsigned late_count;
static bool settling;

const char memory_protects[] = "";

static void drop(unsigned index)
{
    late_count--;
    memmove(&late[index], &late[index + 1],
            (late_count - index) * sizeof(*late));
}

/* The oldest one; of those with PROT_NONE only, unless `free`. */
static unsigned find(bool free)
{
    unsigned i = 0;

    while (i < late_count && !free && late[i].rights == PAGING_FREE)
        i++;
    return i;
}

/* Settles one of them, if there is one. */
static bool settle_one(bool free)
{
    struct late next;
    unsigned i;

    /*
     * Memory for tables may be from the very range: as long as the range is in
     * the list, what is handed out of it leaves the list.
     */
    if (find(free) < late_count)
        paging_prepare();
    i = find(free);
    if (i == late_count)
        return false;
    next = late[i];
    drop(i);
    /* If there is no memory for tables, it stays as accessible as it was. */
    paging_protect(next.from, next.to, next.rights);
    return true;
}

/* Makes room for more: all at once, as the flush is one. */
static void make_room(void)
{
    if (late_count < LATE_MAX || settling)
        return;
    settling = true;
    while (late_count > LATE_MAX / 2 && settle_one(true))
        ;
    settling = false;
    paging_flush();
}

void late_settle(void)
{
    while (settle_one(false))
        ;
    paging_flush();
}

void late_close(uintptr_t from, uintptr_t to)
{
    bool large = !(from & (LARGE_PAGE - 1)) && to - from >= LARGE_PAGE;

    if (to - from > LATE_SMALL)
        to = from + (large ? LARGE_PAGE : MEMORY_PAGE);
    paging_prepare();
    for (unsigned i = 0; i < late_count; i++) {
        struct late part = late[i];

        if (part.rights != PAGING_FREE || part.to <= from || part.from >= to)
            continue;
        if (part.from < from)
            part.from = from;
        if (part.to > to)
            part.to = to;
        late_forget(part.from, part.to);
        paging_protect(part.from, part.to, PAGING_FREE);
        i = -1u; /* the list is another one */
    }
    paging_flush();
}

void late_forget(uintptr_t from, uintptr_t to)
{
    make_room();
    for (unsigned i = 0; i < late_count;) {
        struct late *at = &late[i], old = *at;

        if (at->to <= from || at->from >= to) {
            i++;
        } else if (at->from < from) {
            at->to = from;
            i++;
            if (old.to > to) {
                late[late_count++] = (struct late){to, old.to, old.rights};
                break; /* nothing else is in between */
            }
        } else if (old.to > to) {
            at->from = to;
            i++;
        } else {
            drop(i);
        }
    }
}

/* Takes what touches a freed range out of the list, into the range. */
static void join(struct late *range)
{
    for (unsigned i = 0; i < late_count;) {
        struct late other = late[i];

        if (other.rights != PAGING_FREE || other.to < range->from ||
            other.from > range->to) {
            i++;
            continue;
        }
        if (other.from < range->from)
            range->from = other.from;
        if (other.to > range->to)
            range->to = other.to;
        drop(i);
    }
}

void late_protect(uintptr_t from, uintptr_t to, int rights)
{
    struct late range = {from, to, rights};

    if (!paging_is_there())
        return;
    late_forget(from, to);
    if (rights == PAGING_FREE)
        join(&range);
    late[late_count++] = range;
    make_room();
}
