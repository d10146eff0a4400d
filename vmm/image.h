/* SPDX-License-Identifier: MIT */
/* Images: static ELF64 programs for the Mayfly ABI, read as hostile input. */
#ifndef VMM_IMAGE_H
#define VMM_IMAGE_H

/*
 * image_read takes the headers out of a file, once, and refuses what is not a
 * static x86-64 program with W^X segments and a Mayfly note; image_load then
 * copies the segments into guest memory. The file is not mapped: shortening it
 * later cannot hurt the monitor.
 */

#include <stdint.h>

#include "vmm/base/gmem.h"
#include "vmm/base/util.h"

#define IMAGE_SEGMENTS_MAX 16

/*
 * A bit of p_flags, of those that ELF leaves to operating systems: the segment
 * is for other machines (guest_rt/pvh.h). It is not loaded, and nothing else
 * that its header says is looked at.
 */
#define IMAGE_SEGMENT_FOREIGN 0x00100000u

/*
 * The start of the file is read in one go: headers, note and perhaps a first
 * segment are in it. No more than this, because each page of our own stack
 * costs a page fault.
 */
#define IMAGE_HEAD_BYTES 1024

/* A PT_LOAD segment whose address range was checked. */
struct image_segment {
    uint64_t address;     /* first byte */
    uint64_t bytes;       /* length in memory; no overflow past address */
    uint64_t file_offset; /* where its contents are in the file */
    uint64_t file_bytes;  /* how much of it; the rest is zero */
    bool write;
    bool execute;
};

struct image {
    unsigned abi_major;
    unsigned abi_minor;
    uint64_t entry; /* inside an executable segment */
    uint64_t base;  /* of the first segment, rounded down to a page */
    uint64_t end;   /* of the last segment, rounded up to a page */
    uint64_t phdr;  /* address of the program headers, 0 if not loaded */
    unsigned phnum;
    uint64_t stack_bytes;           /* wanted; 0: no wish */
    uint64_t fault_entry;           /* stubs, inside an executable segment */
    uint32_t fault_vectors;         /* exceptions that have one */
    uint64_t upcall_entry;          /* inside an executable segment; 0: none */
    bool fault_address;             /* MF_NOTE_FAULT_ADDRESS */
    bool paging;                    /* MF_NOTE_PAGING */
    bool signals;                   /* MF_NOTE_SIGNALS */
    uint8_t head[IMAGE_HEAD_BYTES]; /* of the file ... */
    size_t head_bytes;              /* ... as far as there is one */
    unsigned segment_count;
    struct image_segment segments[IMAGE_SEGMENTS_MAX]; /* ascending, apart */
};

/*
 * Reads and checks the headers of the file open on `fd`. Returns 0; -ENOEXEC
 * with the reason in `error` if it is not an image that this monitor runs; or
 * what reading it said.
 */
MUST_CHECK int image_read(struct image *image, int fd, char *error);

/*
 * Adds one more segment, behind those that there are, to an image that started
 * all zero, and looks at an image that was put together in this way: for one
 * that does not come from an ELF file. Both return 0, or -ENOEXEC with the
 * reason in `error`.
 */
MUST_CHECK int image_add_segment(struct image *image,
                                 const struct image_segment *segment,
                                 char *error);
MUST_CHECK int image_check(const struct image *image, char *error);

/*
 * Copies the segments into guest memory, which is all zero. Returns 0,
 * -ENOEXEC if the file is shorter than its headers said, -EFAULT if memory has
 * no room for a segment, or what reading said.
 */
MUST_CHECK int image_load(const struct image *image, int fd,
                          const struct gmem *mem, char *error);

#endif
