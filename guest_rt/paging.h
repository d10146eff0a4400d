/* SPDX-License-Identifier: MIT */
/* Rights to memory: the guest's own page tables, edited by itself. */
#ifndef MAYFLY_PAGING_H
#define MAYFLY_PAGING_H

/*
 * The monitor maps all memory one to one, in pages of 2 MiB where it can, and
 * all free memory writable (vmm/paging.h). Programs that protect memory contain
 * paging.c, and their note says so (MF_NOTE_PAGING). It changes rights, never
 * addresses: a page of 2 MiB of which a part gets other rights is split into
 * 4 KiB ones first, whose table comes from the runtime's own memory and stays.
 *
 * What is lowered has to be flushed, which costs an exception; all that has
 * been lowered since the last time is flushed at once. What is raised need not
 * be: the processor finds out by itself (is_spurious() in fault.c).
 *
 * Nothing here is linked unless mman.c, or somebody else who protects, is: all
 * are weak for those who only ask. The runtime's lock is held, but for the
 * functions that say otherwise.
 */

/*
 * Files of the half that protects memory define this: they pull the others in.
 * All others only ask for what is there.
 */
#ifdef MEMORY_PROTECTS
#define MEMORY_WEAK
#else
#define MEMORY_WEAK __attribute__((weak))
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Rights of memory that nobody has mapped; others are PROT_* of mmap. */
#define PAGING_FREE (-1)

/* The same of mapped memory behind the end of a file: SIGBUS. */
#define PAGING_BEYOND 8

/*
 * Whether there is anything to edit: not under a machine that keeps its tables
 * to itself.
 */
bool paging_is_there(void) MEMORY_WEAK;

/*
 * Gives whole pages these rights: PAGING_*, or PROT_*, of which PROT_WRITE
 * and PROT_EXEC together are refused. Lowered ones may still be accessible
 * until paging_flush(). Returns 0, -ENOMEM if there is no memory for a table or
 * an address has no page at all, -EACCES.
 */
int paging_protect(uintptr_t from, uintptr_t to, int rights) MEMORY_WEAK;

/*
 * Takes memory for tables, as paging_protect() does first if it has none left:
 * for a caller that must not have memory taken later. Returns whether there
 * was some.
 */
bool paging_prepare(void) MEMORY_WEAK;

/* The rights of the page of an address: PROT_*, or PAGING_*. */
int paging_rights(uintptr_t address) MEMORY_WEAK;

/* Makes sure that what was lowered cannot be accessed any more. */
void paging_flush(void) MEMORY_WEAK;

/*
 * Whether code may access this byte, as the tables are now. From a fault stack,
 * too.
 */
bool paging_allows(uintptr_t address, bool write, bool fetch) MEMORY_WEAK;

/* The same for all of a range: reading, or writing. */
bool paging_is_mapped(uintptr_t address, size_t bytes, bool write) MEMORY_WEAK;

/* Whether the byte is mapped with PROT_NONE. From a fault stack, too. */
bool paging_is_reserved(uintptr_t address) MEMORY_WEAK;

/* Whether it is behind the end of a mapped file. From a fault stack, too. */
bool paging_is_beyond(uintptr_t address) MEMORY_WEAK;

/* Flushes one page, or all (flush.S). */
void paging_flush_page(uintptr_t address);
void paging_flush_all(void);

#endif
