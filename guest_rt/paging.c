/* SPDX-License-Identifier: MIT */
/* Rights to memory: editing page tables (Intel SDM volume 3, 4.5). */
#define MEMORY_PROTECTS

#include "guest_rt/paging.h"

#include <errno.h>
#include <sys/mman.h>

#include "guest_rt/fault.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"

#define PTE_PRESENT    (1ull << 0)
#define PTE_WRITE      (1ull << 1)
#define PTE_USER       (1ull << 2)
#define PTE_ACCESSED   (1ull << 5)
#define PTE_DIRTY      (1ull << 6)
#define PTE_LARGE      (1ull << 7)  /* in directories, present or not */
#define PTE_RESERVED   (1ull << 9)  /* ours: mapped with PROT_NONE */
#define PTE_BEYOND     (1ull << 10) /* ours: behind the end of a file */
#define PTE_NO_EXECUTE (1ull << 63)
#define PTE_ADDRESS    0x000ffffffffff000ull

#define PTE_MARKS (PTE_ACCESSED | PTE_DIRTY)
#define PTE_LEAF  (PTE_PRESENT | PTE_USER | PTE_MARKS)
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED)

#define ENTRIES     512u
#define PAGE_BYTES  4096ul
#define LARGE_BYTES (ENTRIES * PAGE_BYTES)

/* With fault addresses comes what handles faults. */
static const char *const fault_link __attribute__((used)) = mf_fault_take;

/* What was lowered since the last flush. */
static struct {
    unsigned pages; /* 2 stands for more, too */
    uintptr_t address;
} lowered;

/*
 * Tables to split with. A change needs two at most, for its ends; taking memory
 * for new ones may be such a change itself.
 */
#define STOCK_BATCH 8u
#define STOCK_LEAST 4u

static struct {
    uintptr_t tables[STOCK_BATCH + STOCK_LEAST];
    unsigned count;
    bool filling;
} stock;

/* ---- Entries ------------------------------------------------------------ */

/* The bits of a leaf with these rights. */
static uint64_t leaf_bits(int rights)
{
    if (rights == PAGING_FREE)
        return 0;
    if (rights == PAGING_BEYOND)
        return PTE_BEYOND;
    if (rights & PROT_EXEC)
        return PTE_LEAF;
    if (rights & PROT_WRITE)
        return PTE_LEAF | PTE_WRITE | PTE_NO_EXECUTE;
    return rights & PROT_READ ? PTE_LEAF | PTE_NO_EXECUTE : PTE_RESERVED;
}

FAULT_NO_VECTORS
static unsigned index_of(uintptr_t address, unsigned level)
{
    return address >> (12 + 9 * level) & (ENTRIES - 1);
}

/*
 * The entry of the directory that an address is under, NULL if there is no
 * directory.
 */
FAULT_NO_VECTORS
static uint64_t *directory_entry(uintptr_t address)
{
    uint64_t entry = mf_boot_page()->page_root;

    if (!entry || address >> 47)
        return NULL;
    for (unsigned level = 3; level > 1; level--) {
        entry = ((uint64_t *)(entry & PTE_ADDRESS))[index_of(address, level)];
        if (!(entry & PTE_PRESENT))
            return NULL;
    }
    return (uint64_t *)(entry & PTE_ADDRESS) + index_of(address, 1);
}

FAULT_NO_VECTORS
static uint64_t *table_entry(uint64_t directory, uintptr_t address)
{
    return (uint64_t *)(directory & PTE_ADDRESS) + index_of(address, 0);
}

/* The leaf of an address; 0 if there is none. */
FAULT_NO_VECTORS
static uint64_t leaf_of(uintptr_t address)
{
    const uint64_t *entry = directory_entry(address);

    if (!entry || (*entry & PTE_LARGE))
        return entry ? *entry : 0;
    return *entry & PTE_PRESENT ? *table_entry(*entry, address) : 0;
}

FAULT_NO_VECTORS
static bool leaf_allows(uint64_t leaf, bool write, bool fetch)
{
    return (leaf & PTE_PRESENT) && (leaf & PTE_USER) &&
           (!write || (leaf & PTE_WRITE)) &&
           (!fetch || !(leaf & PTE_NO_EXECUTE));
}

/* ---- Changing ----------------------------------------------------------- */

static void note_lowered(uint64_t old, uint64_t new, uintptr_t address)
{
    if (!(old & PTE_PRESENT) ||
        ((new &PTE_PRESENT) && !(old & PTE_WRITE & ~new) &&
         !(~old & new &PTE_NO_EXECUTE)))
        return;
    if (lowered.pages < 2)
        lowered.pages++;
    lowered.address = address;
}

static void set_leaf(uint64_t *entry, uint64_t new, uintptr_t address)
{
    uint64_t old = *entry;

    if (old == new)
        return;
    __atomic_store_n(entry, new, __ATOMIC_RELAXED);
    note_lowered(old, new, address);
}

/* Makes sure that there are tables enough for one change. */
bool paging_prepare(void)
{
    uintptr_t pages;

    if (stock.filling || stock.count >= STOCK_LEAST)
        return true;
    stock.filling = true;
    pages = (uintptr_t)mf_pages_alloc(STOCK_BATCH * PAGE_BYTES);
    stock.filling = false;
    for (unsigned i = 0; pages && i < STOCK_BATCH; i++)
        stock.tables[stock.count++] = pages + i * PAGE_BYTES;
    return stock.count > 0;
}

/* Replaces a large page by a table of small ones with the same rights. */
static int split(uint64_t *entry, uintptr_t address)
{
    uint64_t leaf = *entry & ~PTE_LARGE;
    uint64_t *table;

    if (stock.count == 0)
        return -ENOMEM;
    table = (uint64_t *)stock.tables[--stock.count];
    address &= -LARGE_BYTES;
    leaf &= ~PTE_ADDRESS;
    for (unsigned i = 0; i < ENTRIES; i++)
        table[i] =
            leaf & PTE_PRESENT ? (address + i * PAGE_BYTES) | leaf : leaf;
    __atomic_store_n(entry, (uintptr_t)table | PTE_TABLE, __ATOMIC_RELEASE);
    return 0;
}

/* Changes what of [at, end) is under one directory entry. */
static int protect_under(uint64_t *entry, uintptr_t at, uintptr_t end,
                         uint64_t bits)
{
    bool present = bits & PTE_PRESENT;

    if (*entry & PTE_LARGE) {
        uint64_t whole = bits | PTE_LARGE | (present ? at & -LARGE_BYTES : 0);

        /* Other machines leave it to the processor to mark entries. */
        if (!((*entry ^ whole) & ~(PTE_ADDRESS | PTE_MARKS)))
            return 0;
        if (end - at == LARGE_BYTES) {
            set_leaf(entry, whole, at);
            return 0;
        }
        int error = split(entry, at);

        if (error)
            return error;
    } else if (!(*entry & PTE_PRESENT)) {
        return -ENOMEM;
    }
    for (; at < end; at += PAGE_BYTES)
        set_leaf(table_entry(*entry, at), present ? at | bits : bits, at);
    return 0;
}

bool paging_is_there(void)
{
    return mf_boot_page()->page_root;
}

int paging_protect(uintptr_t from, uintptr_t to, int rights)
{
    const int both = PROT_WRITE | PROT_EXEC;

    if (rights != PAGING_FREE && (rights & both) == both)
        return -EACCES;
    if (!paging_prepare())
        return -ENOMEM;
    while (from < to) {
        uint64_t *entry = directory_entry(from);
        uintptr_t end = (from & -LARGE_BYTES) + LARGE_BYTES;
        int error;

        if (end > to)
            end = to;
        error = entry ? protect_under(entry, from, end, leaf_bits(rights))
                      : -ENOMEM;
        if (error)
            return error;
        from = end;
    }
    return 0;
}

void paging_flush(void)
{
    if (lowered.pages > 1)
        paging_flush_all();
    else if (lowered.pages == 1)
        paging_flush_page(lowered.address);
    lowered.pages = 0;
}

/* ---- Asking ------------------------------------------------------------- */

FAULT_NO_VECTORS
bool paging_allows(uintptr_t address, bool write, bool fetch)
{
    return leaf_allows(leaf_of(address), write, fetch);
}

int paging_rights(uintptr_t address)
{
    uint64_t leaf = leaf_of(address);

    if (!paging_is_there())
        return PROT_READ | PROT_WRITE;
    if (!(leaf & PTE_PRESENT))
        return leaf & PTE_RESERVED ? PROT_NONE
               : leaf & PTE_BEYOND ? PAGING_BEYOND
                                   : PAGING_FREE;
    return PROT_READ | (leaf & PTE_WRITE ? PROT_WRITE : 0) |
           (leaf & PTE_NO_EXECUTE ? 0 : PROT_EXEC);
}

FAULT_NO_VECTORS
bool paging_is_mapped(uintptr_t address, size_t bytes, bool write)
{
    uintptr_t last = address + bytes - 1;

    for (uintptr_t at = address & -PAGE_BYTES; at <= last;) {
        uint64_t *entry = directory_entry(at);

        if (!entry || !leaf_allows(leaf_of(at), write, false))
            return false;
        at = *entry & PTE_LARGE ? (at & -LARGE_BYTES) + LARGE_BYTES
                                : at + PAGE_BYTES;
    }
    return true;
}

FAULT_NO_VECTORS
bool paging_is_reserved(uintptr_t address)
{
    uint64_t leaf = leaf_of(address);

    return !(leaf & PTE_PRESENT) && (leaf & PTE_RESERVED);
}

FAULT_NO_VECTORS
bool paging_is_beyond(uintptr_t address)
{
    uint64_t leaf = leaf_of(address);

    return !(leaf & PTE_PRESENT) && (leaf & PTE_BEYOND);
}
