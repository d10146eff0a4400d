/* SPDX-License-Identifier: MIT */
/* Going on after a reset. */
#include "vmm/return.h"

#include <string.h>

/* Everything in the area's standard places up to the protection keys. */
#define COMPONENTS 0x2e7ull

/*
 * fninit: AMD's processors leave the x87 unit's last addresses as they are if
 * the state to be loaded has no exception to tell (AMD APM volume 2, 11.5.6).
 * Selectors: kvm_pvm leaves those of data segments as the guest loaded them,
 * whatever we say. Loading those of FS and GS takes their bases away.
 */
/* clang-format off */
static const uint8_t code[] = {
    0xdb, 0xe3,                     /* fninit */
    0x48, 0x0f, 0xae, 0x2f,         /* xrstor64 (%rdi) */
    0xb8, MACHINE_USER_DS, 0, 0, 0, /* mov $MACHINE_USER_DS, %eax */
    0x8e, 0xd8,                     /* mov %eax, %ds */
    0x8e, 0xc0,                     /* mov %eax, %es */
    0x8e, 0xe0,                     /* mov %eax, %fs */
    0x8e, 0xe8,                     /* mov %eax, %gs */
    0x5f,                           /* pop %rdi */
    0xf3, 0x48, 0x0f, 0xae, 0xd7,   /* wrfsbase %rdi */
    0x5f,                           /* pop %rdi */
    0xf3, 0x48, 0x0f, 0xae, 0xdf,   /* wrgsbase %rdi */
    0x5f,                           /* pop %rdi */
    0x5a,                           /* pop %rdx */
    0x58,                           /* pop %rax */
    0x48, 0xcf,                     /* iretq */
};
/* clang-format on */

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
        .fs_base = state->fs_base,
        .gs_base = state->gs_base,
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

struct mf_range return_code(uint64_t at)
{
    return (struct mf_range){at + offsetof(struct return_page, code),
                             sizeof(code)};
}

struct vcpu_state return_entry(const struct vcpu_state *state, uint64_t at)
{
    struct vcpu_state entry = *state;

    entry.regs[MF_RDI] = at + offsetof(struct return_page, xsave);
    entry.regs[MF_RAX] = COMPONENTS;
    entry.regs[MF_RDX] = 0;
    entry.regs[MF_RSP] = at + offsetof(struct return_page, frame);
    entry.rip = return_code(at).base;
    entry.rflags = 0; /* no single step before it is there */
    return entry;
}
