/* SPDX-License-Identifier: MIT */
/* What the parts of the memory layer know of each other. */
#ifndef MAYFLY_MEMORY_H
#define MAYFLY_MEMORY_H

/*
 *   mmap.c          mmap, for programs that contain nothing else of this
 *   memory.c        brk, mmap and munmap of anonymous memory, mprotect
 *   memory_ahead.c  host memory for what the program will touch next
 *   memory_move.c   mremap
 *   memory_advise.c madvise, mincore, msync
 *   memory_lock.c   mlock and so on
 *   memory_file.c   mmap of files            \
 *   memory_late.c   lowering rights, later    | in programs that call mmap,
 *   paging.c        page tables               | mprotect and so on themselves
 *   mman.c          those calls              /
 *
 * musl's malloc and threads call mmap and its family by other names than
 * programs do (__mmap), so that a program that only allocates has none of the
 * second half: the functions there are weak, and absent.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest_rt/paging.h"

#define MEMORY_PAGE 4096ul

/* Rounds up to whole pages; 0 when that does not fit, or for 0. */
static inline size_t memory_whole_pages(long bytes)
{
    return ((size_t)bytes + MEMORY_PAGE - 1) & -MEMORY_PAGE;
}

static inline bool memory_is_aligned(long address)
{
    return !((uintptr_t)address & (MEMORY_PAGE - 1));
}

/* mmap, as the system call has it. Takes the lock. */
long memory_mmap(long address, long length, long protection, long flags,
                 long fd, long offset);

/* Whether all of a range is the program's: image, stack, break, mappings. */
bool memory_is_mapped(uintptr_t address, size_t bytes);

/*
 * Maps zeroed, writable memory wherever there is some. Returns its address or
 * -ENOMEM.
 */
long memory_map(size_t bytes);

/*
 * Maps zeroed, writable memory at this address, in place of what is there, or,
 * without `replace`, only if nothing is. Returns the address, -ENOMEM, or
 * -EEXIST.
 */
long memory_map_at(uintptr_t address, size_t bytes, bool replace);

/*
 * The same as the flags of mmap want it: there, or there if nothing is, or
 * anywhere.
 */
long memory_map_somewhere(uintptr_t address, size_t bytes, int flags);

/* Takes memory back that was mapped; parts that were not do not matter. */
int memory_unmap(uintptr_t address, size_t bytes);

/*
 * Gives freshly mapped memory the rights of mmap, if something can. Returns 0,
 * -EACCES for what no memory may be, or -ENOMEM.
 */
int memory_set_rights(uintptr_t address, size_t bytes, int rights);

/* ---- memory_ahead.c ---- */

struct region;

/*
 * A program has mapped this part of a region, to write to it. Has the monitor
 * provide memory for it and what comes next, if that is worth it.
 */
void memory_ahead(const struct region *region, uintptr_t address, size_t bytes);

/* ---- memory_late.c ---- */

/*
 * Who refers to this contains the half that protects: threads do, for the guard
 * pages below their stacks.
 */
extern const char memory_protects[];

/*
 * Notes that a range's rights are to be lowered to these: PROT_NONE, by
 * late_settle(), or PAGING_FREE, whenever there are many such ranges. Until
 * then they are as they were.
 */
void late_protect(uintptr_t from, uintptr_t to, int rights) MEMORY_WEAK;

/* Forgets what was noted about a range. */
void late_forget(uintptr_t from, uintptr_t to) MEMORY_WEAK;

/* Lowers what is reserved, and flushes what has been lowered in any way. */
void late_settle(void) MEMORY_WEAK;

/*
 * Closes the beginning of a range, as far as it was noted as freed: all of it
 * if it is short, else its first page (of 2 MiB, if it begins with one).
 */
void late_close(uintptr_t from, uintptr_t to) MEMORY_WEAK;

/* ---- memory_file.c ---- */

/* mmap of a file; as the system call has them, the length in whole pages. */
long memory_map_file(uintptr_t address, size_t bytes, int rights, int flags,
                     long fd, off_t offset) MEMORY_WEAK;

/* Writes shared mappings in the range back. Returns 0 or -errno. */
int memory_sync_file(uintptr_t from, uintptr_t to) MEMORY_WEAK;

/*
 * Ends the shared mapping of a file, if there is one, that [from, to) begins
 * with, or else that it has first. Returns where the part ends that this was
 * about; *kept says whether its memory is still somebody's.
 */
uintptr_t memory_unmap_file(uintptr_t from, uintptr_t to,
                            bool *kept) MEMORY_WEAK;

/*
 * Takes shared mappings of files out of the range, and the files' memory with
 * them, so that others can be mapped there. Returns 0, or -ENOMEM if a file
 * cannot be moved: of two mappings of the same pages neither can be replaced.
 */
int memory_vacate_file(uintptr_t from, uintptr_t to) MEMORY_WEAK;

/* Whether any of the range is a shared mapping of a file. */
bool memory_is_file(uintptr_t from, uintptr_t to) MEMORY_WEAK;

/*
 * mprotect of a range in which there are some: their memory stays readable and
 * writable, as the file reads and writes it too. Returns 0 or -EACCES.
 */
int memory_protect_file(uintptr_t from, uintptr_t to, int rights) MEMORY_WEAK;

/*
 * A file in memory has another size, or is about to: mapped pages behind it are
 * closed, others opened. Returns 0, or -ENOMEM if some were not opened.
 */
struct vnode;
int memory_file_sized(const struct vnode *node, off_t bytes) MEMORY_WEAK;

/* The bytes of all shared mappings that lie in the range. */
size_t memory_file_bytes(uintptr_t from, uintptr_t to) MEMORY_WEAK;

/* ---- memory_lock.c: in programs that lock memory ---- */

/* Whether any of the range is locked. */
bool memory_is_locked(uintptr_t from, uintptr_t to) __attribute__((weak));

/* A range is not locked any more. */
void memory_unlock(uintptr_t from, uintptr_t to) __attribute__((weak));

/* A range is mapped anew: locked, if `locked` or mlockall() say so. */
void memory_lock_new(uintptr_t from, uintptr_t to, bool locked)
    __attribute__((weak));

/* Takes everything in the range from the program. Returns 0, or -ENOMEM. */
int memory_unmap_all(uintptr_t from, uintptr_t to);

#endif
