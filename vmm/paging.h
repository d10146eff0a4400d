/* SPDX-License-Identifier: MIT */
/* The guest's page tables: one-to-one, built once. */
#ifndef VMM_PAGING_H
#define VMM_PAGING_H

/*
 * Four levels (Intel SDM volume 3, 4.5). Every mapping is virtual = physical,
 * in 2 MiB pages where a whole one fits and in 4 KiB pages elsewhere. Accessed
 * and dirty bits are set in advance, so that the processor never writes the
 * tables. Table pages come from two pools, the fixed low one and a spare one,
 * and are themselves mapped nowhere, so that a guest has no address for them,
 * unless its image edits them (MF_NOTE_PAGING).
 */

#include <stdint.h>

#include "vmm/base/gmem.h"
#include "vmm/base/util.h"

#define PAGE_BYTES       0x1000ull
#define LARGE_PAGE_BYTES 0x200000ull
#define GIB              (1ull << 30)

enum page_access {
    PAGE_SYSTEM,      /* supervisor, read-only */
    PAGE_SYSTEM_CODE, /* supervisor, read-only, executable */
    PAGE_READ,        /* user, read-only */
    PAGE_WRITE,       /* user, writable */
    PAGE_EXECUTE,     /* user, read-only, executable */
};

/* Guest-physical pages to take tables from. */
struct page_pool {
    uint64_t next; /* address of the next free page */
    uint64_t end;
};

struct paging {
    const struct gmem *mem;
    uint64_t root; /* address of the top table: CR3 */
    struct page_pool pools[2];
};

/*
 * Upper bound of the tables that `ranges` calls of paging_map need, all of
 * them below `ram_bytes` bytes of RAM laid out as the ABI has it.
 */
unsigned paging_tables_max(unsigned ranges, uint64_t ram_bytes);

/*
 * Starts with an empty address space. `low` and `spare` are zeroed guest
 * memory. Returns 0 or -ENOMEM.
 */
MUST_CHECK int paging_init(struct paging *paging, const struct gmem *mem,
                           struct page_pool low, struct page_pool spare);

/*
 * Maps [start, end), multiples of a page, not mapped yet. Returns 0, -ENOMEM
 * if the pools are used up, or -EFAULT if they lie outside guest memory.
 */
MUST_CHECK int paging_map(struct paging *paging, uint64_t start, uint64_t end,
                          enum page_access access);

#endif
