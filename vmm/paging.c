/* SPDX-License-Identifier: MIT */
/* Building four-level page tables in guest memory. */
#include "vmm/paging.h"

#include <errno.h>
#include <string.h>

#define PTE_PRESENT    (1ull << 0)
#define PTE_WRITE      (1ull << 1)
#define PTE_USER       (1ull << 2)
#define PTE_ACCESSED   (1ull << 5)
#define PTE_DIRTY      (1ull << 6)
#define PTE_LARGE      (1ull << 7)
#define PTE_NO_EXECUTE (1ull << 63)
#define PTE_ADDRESS    0x000ffffffffff000ull

/* What lets the leaf decide: an inner entry permits everything. */
#define PTE_INNER (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED)

#define ENTRIES 512u

static uint64_t leaf_bits(enum page_access access)
{
    const uint64_t common = PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY;

    switch (access) {
    case PAGE_SYSTEM:
        return common | PTE_NO_EXECUTE;
    case PAGE_SYSTEM_CODE:
        return common;
    case PAGE_READ:
        return common | PTE_USER | PTE_NO_EXECUTE;
    case PAGE_WRITE:
        return common | PTE_USER | PTE_WRITE | PTE_NO_EXECUTE;
    case PAGE_EXECUTE:
        return common | PTE_USER;
    }
    bug_on(true);
    return 0;
}

unsigned paging_tables_max(unsigned ranges, uint64_t ram_bytes)
{
    /* One page directory a GiB, and two more for the ends of the regions. */
    unsigned directories = (unsigned)(ram_bytes / GIB) + 3;

    /* A range has at most two ends inside a large page. */
    return 2 + directories + 2 * ranges;
}

static int map_table(const struct paging *paging, uint64_t address,
                     uint64_t **table)
{
    void *host;
    int error = gmem_map(paging->mem, gpa(address), PAGE_BYTES, &host);

    *table = host;
    return error;
}

/* Takes an empty table from the pools. */
static int new_table(struct paging *paging, uint64_t *address)
{
    for (unsigned i = 0; i < ARRAY_SIZE(paging->pools); i++) {
        struct page_pool *pool = &paging->pools[i];
        uint64_t *table;

        if (pool->next >= pool->end)
            continue;
        int error = map_table(paging, pool->next, &table);
        if (error)
            return error;
        /* Zero already, but a page that is read first faults twice. */
        memset(table, 0, PAGE_BYTES);
        *address = pool->next;
        pool->next += PAGE_BYTES;
        return 0;
    }
    return -ENOMEM;
}

/* The table that entry `index` of the table at `parent` leads to; made if
 * it is not there yet. */
static int descend(struct paging *paging, uint64_t parent, unsigned index,
                   uint64_t *child)
{
    uint64_t *table;
    int error = map_table(paging, parent, &table);

    if (error)
        return error;
    if (!(table[index] & PTE_PRESENT)) {
        uint64_t fresh;

        error = new_table(paging, &fresh);
        if (error)
            return error;
        table[index] = fresh | PTE_INNER;
    }
    *child = table[index] & PTE_ADDRESS;
    return 0;
}

int paging_init(struct paging *paging, const struct gmem *mem,
                struct page_pool low, struct page_pool spare)
{
    paging->mem = mem;
    paging->pools[0] = low;
    paging->pools[1] = spare;
    return new_table(paging, &paging->root);
}

/* Fills one table of `step`-sized leaves from `*at` on, up to its last entry
 * or `end`. */
static int fill_leaves(struct paging *paging, uint64_t table_address,
                       uint64_t *at, uint64_t end, uint64_t step, uint64_t bits)
{
    uint64_t *table;
    int error = map_table(paging, table_address, &table);

    if (error)
        return error;
    unsigned index = (unsigned)(*at / step) % ENTRIES;
    for (; index < ENTRIES && end - *at >= step; index++, *at += step) {
        bug_on(table[index] & PTE_PRESENT);
        table[index] = *at | bits;
    }
    return 0;
}

int paging_map(struct paging *paging, uint64_t start, uint64_t end,
               enum page_access access)
{
    uint64_t bits = leaf_bits(access);

    bug_on((start | end) % PAGE_BYTES != 0);
    for (uint64_t at = start; at < end;) {
        uint64_t directories, directory, table;
        int error = descend(paging, paging->root,
                            (unsigned)(at / (ENTRIES * GIB)), &directories);

        if (!error)
            error = descend(paging, directories, (unsigned)(at / GIB) % ENTRIES,
                            &directory);
        if (error)
            return error;

        if (at % LARGE_PAGE_BYTES == 0 && end - at >= LARGE_PAGE_BYTES) {
            error = fill_leaves(paging, directory, &at, end, LARGE_PAGE_BYTES,
                                bits | PTE_LARGE);
        } else {
            uint64_t next = round_down(at, LARGE_PAGE_BYTES) + LARGE_PAGE_BYTES;

            error =
                descend(paging, directory,
                        (unsigned)(at / LARGE_PAGE_BYTES) % ENTRIES, &table);
            if (!error)
                error = fill_leaves(paging, table, &at, min_u64(end, next),
                                    PAGE_BYTES, bits);
        }
        if (error)
            return error;
    }
    return 0;
}
