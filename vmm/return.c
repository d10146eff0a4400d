/* SPDX-License-Identifier: MIT */
/* Going on after a reset. */
#include "vmm/return.h"

#include <string.h>

/* Everything in the area's standard places up to the protection keys. */
#define COMPONENTS 0x2e7ull

static const uint8_t code[] = {
    0x48, 0x0f, 0xae, 0x2f, /* xrstor64 (%rdi) */
    0x5f,                   /* pop %rdi */
    0x5a,                   /* pop %rdx */
    0x58,                   /* pop %rax */
    0x48, 0xcf,             /* iretq */
};

_Static_assert(sizeof(struct return_page) <= MF_PAGE_BYTES, "one page");
_Static_assert(sizeof(code) <= sizeof(((struct return_page *)0)->code), "room");

void return_build(struct return_page *page, const struct vcpu_state *state,
                  uint64_t xcr0)
{
    memset(page, 0, sizeof(*page));
    memcpy(page->xsave, state->xsave, sizeof(page->xsave));
    vcpu_limit_xsave(page->xsave, xcr0);
    memcpy(page->code, code, sizeof(code));
    page->frame = (struct return_frame){
        .rdi = state->regs[MF_RDI],
        .rdx = state->regs[MF_RDX],
        .rax = state->regs[MF_RAX],
        .rip = state->rip,
        .cs = MACHINE_USER_CS,
        .rflags = vcpu_user_rflags(state->rflags),
        .rsp = state->regs[MF_RSP],
        .ss = MACHINE_USER_DS,
    };
}

struct vcpu_state return_entry(const struct vcpu_state *state, uint64_t at)
{
    struct vcpu_state entry = *state;

    entry.regs[MF_RDI] = at + offsetof(struct return_page, xsave);
    entry.regs[MF_RAX] = COMPONENTS;
    entry.regs[MF_RDX] = 0;
    entry.regs[MF_RSP] = at + offsetof(struct return_page, frame);
    entry.rip = at + offsetof(struct return_page, code);
    return entry;
}
