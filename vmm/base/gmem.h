/* SPDX-License-Identifier: MIT */
/* Guest-physical memory: the one door through which the monitor touches it. */
#ifndef VMM_BASE_GMEM_H
#define VMM_BASE_GMEM_H

/*
 * A guest's RAM is a few regions of guest-physical addresses (the gap below
 * 4 GiB stays empty), each backed by host memory. Every access names an
 * address and a length and is all or nothing: what is not wholly inside one
 * region is refused before a byte moves. The guest may write the same memory
 * at any time, so what was read is copied once and decided on afterwards.
 *
 * struct gmem does not own the host memory; whoever mapped it does. All
 * functions may be called from any thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/util.h"

/* A guest-physical address. A type of its own: nothing can dereference it. */
typedef struct {
    uint64_t raw;
} gpa_t;

static inline gpa_t gpa(uint64_t raw)
{
    return (gpa_t){raw};
}

/* The address `bytes` further on. May wrap: the door finds out. */
static inline gpa_t gpa_add(gpa_t at, uint64_t bytes)
{
    return (gpa_t){at.raw + bytes};
}

#define GMEM_REGIONS_MAX 4

struct gmem_region {
    uint64_t base;  /* first guest-physical address, page-aligned */
    uint64_t bytes; /* length; base + bytes does not overflow */
    uint8_t *host;  /* where it is mapped in this process */
    uint64_t first; /* number of its first page among all pages of RAM */
};

struct gmem {
    struct gmem_region regions[GMEM_REGIONS_MAX];
    unsigned count; /* regions in use, in ascending order of base */
    /*
     * One bit for each page of RAM: set when whoever came through this door may
     * have written to it. NULL: nobody wants to know.
     */
    uint64_t *marks;
};

#define GMEM_PAGE_BYTES 4096u

/*
 * Adds RAM of `bytes` bytes at `base`, behind what is there already, mapped at
 * `host`. There is room for two of them.
 */
void gmem_add(struct gmem *mem, uint64_t base, uint64_t bytes, void *host);

/*
 * Takes [start, end) out of `mem`: accesses there are refused from now on.
 * Returns 0, or -ENOSPC if that would make more than GMEM_REGIONS_MAX regions;
 * then nothing has changed.
 */
MUST_CHECK int gmem_exclude(struct gmem *mem, uint64_t start, uint64_t end);

/*
 * Copies `bytes` bytes of guest memory at `from` to `to`. Returns 0, or
 * -EFAULT if they are not all inside one region; then nothing was copied.
 */
MUST_CHECK int gmem_read(const struct gmem *mem, gpa_t from, void *to,
                         size_t bytes);

/*
 * Copies `bytes` bytes at `from` into guest memory at `to`. Returns 0, or
 * -EFAULT if they do not all fit inside one region; then nothing was written.
 */
MUST_CHECK int gmem_write(const struct gmem *mem, gpa_t to, const void *from,
                          size_t bytes);

/*
 * Stores in `*host` where [at, at + bytes) is mapped, for data that is moved by
 * the host's kernel (readv, writev) and for ring fields that are accessed
 * atomically. The memory is the guest's: it changes at any time. All of it
 * counts as written to, now and as long as it is in use. Returns 0, or
 * -EFAULT if the range is not inside one region; a length of 0 is refused too.
 */
MUST_CHECK int gmem_map(const struct gmem *mem, gpa_t at, size_t bytes,
                        void **host);

/*
 * The same, for those who write nothing there, or say where: it does not count
 * as written to.
 */
MUST_CHECK int gmem_find(const struct gmem *mem, gpa_t at, size_t bytes,
                         void **host);

/*
 * These bytes, where gmem_find() has mapped them, count as written to. A length
 * of 0 is nothing.
 */
void gmem_mark(const struct gmem *mem, const void *host, size_t bytes);

#endif
