/* SPDX-License-Identifier: MIT */
/* The few instructions that a guest has in ring 0. */
#ifndef VMM_STUBS_H
#define VMM_STUBS_H

/*
 * An image whose note asks for it (MF_NOTE_FAULT_ADDRESS, MF_NOTE_PAGING) gets
 * some exceptions by way of ring 0, because only there the fault address can be
 * read and the TLB flushed. A stub has at most five instructions, no branch and
 * no loop; it ends with an iretq from a frame that was prepared with it, and so
 * goes on in the image's own handler, in ring 3. Code and frames are in the
 * system page: ring 3 can neither read nor write them, ring 0 not write them.
 */

#include <stdint.h>

enum stub {
    STUB_FAULT_ADDRESS, /* #PF: stores rax and CR2 */
    STUB_FLUSH_PAGE,    /* #BP: invlpg (%rax) */
    STUB_FLUSH_ALL,     /* #UD: stores rax, loads CR3 with itself */
    STUB_COUNT,
};

#define STUB_BYTES 32

/* What iretq pops, rip first. */
struct stub_frame {
    uint64_t rip, cs, rflags, rsp, ss;
};

struct stubs {
    uint8_t code[STUB_COUNT][STUB_BYTES];
    struct stub_frame frames[STUB_COUNT];
};

/* The exception that the stub is for. */
unsigned stub_vector(enum stub stub);

/*
 * Writes one stub and its frame into `stubs`, which the guest will have at
 * address `at`, below 2 GiB. It goes on at `handler` with this stack pointer.
 */
void stub_build(struct stubs *stubs, uint64_t at, enum stub stub,
                uint64_t handler, uint64_t rsp);

/* The address of its first instruction, where the gate leads. */
uint64_t stub_entry(uint64_t at, enum stub stub);

#endif
