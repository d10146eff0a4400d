/* SPDX-License-Identifier: MIT */
/* Page tables read as the processor reads them. */
#ifndef TESTS_UNIT_PAGE_WALK_H
#define TESTS_UNIT_PAGE_WALK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "vmm/base/gmem.h"
#include "vmm/paging.h"

/* What the tables say about one address (Intel SDM volume 3, 4.6). */
struct page_walk {
    bool mapped;
    bool user;
    bool write;
    bool execute;
    bool marked; /* accessed everywhere, and dirty in the leaf */
    uint64_t physical;
    uint64_t page_bytes;
    unsigned depth;     /* tables looked at ... */
    uint64_t tables[4]; /* ... and where they are */
};

static inline struct page_walk page_walk(const struct gmem *guest,
                                         uint64_t root, uint64_t address)
{
    struct page_walk walk = {
        .user = true, .write = true, .execute = true, .marked = true};
    uint64_t table = root;

    for (unsigned level = 4; level >= 1; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        uint64_t entry;

        walk.tables[walk.depth++] = table;
        if (gmem_read(guest, gpa(table + (address >> shift) % 512 * 8), &entry,
                      sizeof(entry)))
            abort();
        if (!(entry & 1))
            return walk;
        walk.write &= entry >> 1 & 1;
        walk.user &= entry >> 2 & 1;
        walk.marked &= entry >> 5 & 1;
        walk.execute &= !(entry >> 63);
        table = entry & 0x000ffffffffff000;
        if (level == 1 || (level < 4 && entry >> 7 & 1)) {
            walk.mapped = true;
            walk.marked &= entry >> 6 & 1;
            walk.page_bytes = 1ull << shift;
            walk.physical = table + (address & (walk.page_bytes - 1));
            return walk;
        }
    }
    return walk;
}

#endif
