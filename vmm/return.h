/* SPDX-License-Identifier: MIT */
/* A page of the monitor's through which a guest that is reset goes on. */
#ifndef VMM_RETURN_H
#define VMM_RETURN_H

/*
 * A system call that loads a processor's vector state costs five microseconds,
 * which is more than all the rest of a reset. The guest's own processor does it
 * in a tenth of one: the first instructions after a reset are here, in ring 3,
 * load the vector state and end with an iretq to where the guest goes on. The
 * guest can read the page and run it, whenever it likes; it cannot write it,
 * and there is nothing in it but its own state.
 */

#include "vmm/vcpu.h"

/* What the instructions pop, the first one first. */
struct return_frame {
    uint64_t fs_base, gs_base;
    uint64_t rdi, rdx, rax;
    uint64_t rip, cs, rflags, rsp, ss;
};

#define RETURN_XSAVE_BYTES 2752u

struct return_page {
    uint8_t xsave[RETURN_XSAVE_BYTES] __attribute__((aligned(64)));
    struct return_frame frame;
    uint8_t code[48];
};

/*
 * Fills the page for a guest that goes on with `state`, which was loaded by
 * vcpu_load() before, so it is one that KVM takes. `xcr0` is the vector state
 * that it may have.
 */
void return_build(struct return_page *page, const struct vcpu_state *state,
                  uint64_t xcr0);

/* The instructions of the page that is at guest address `at`. */
struct mf_range return_code(uint64_t at);

/*
 * The general registers to begin with, so that the guest whose page is at guest
 * address `at` has those of `state` in the end.
 */
struct vcpu_state return_entry(const struct vcpu_state *state, uint64_t at);

#endif
