/* SPDX-License-Identifier: MIT */
/* The few instructions that a guest has in ring 0, as machine code. */
#include "vmm/stubs.h"

#include <stddef.h>
#include <string.h>

#include <mayfly/abi.h>

#include "vmm/base/util.h"
#include "vmm/machine.h"

#define RFLAGS_RING3 0x202 /* interrupts on, and the bit that is always set */

#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_PF 14

#define BOOT(field) (MF_BOOT_PAGE + offsetof(struct mf_boot, field))

/* Machine code under construction. */
struct code {
    uint8_t *at;
    unsigned bytes;
};

static void put(struct code *code, const void *bytes, unsigned count)
{
    bug_on(code->bytes + count > STUB_BYTES);
    memcpy(code->at + code->bytes, bytes, count);
    code->bytes += count;
}

/* An instruction whose last four bytes are a number below 2 GiB. */
static void put_with(struct code *code, const void *bytes, unsigned count,
                     uint64_t number)
{
    uint32_t word = (uint32_t)number;

    bug_on(number > INT32_MAX);
    put(code, bytes, count);
    put(code, &word, sizeof(word));
}

#define PUT(code, bytes) put(code, bytes, sizeof(bytes) - 1)
#define PUT_WITH(code, bytes, number) \
    put_with(code, bytes, sizeof(bytes) - 1, number)

/* mov %rax, field of the boot page */
static void put_store(struct code *code, uint64_t address)
{
    PUT_WITH(code, "\x48\x89\x04\x25", address);
}

static void put_body(struct code *code, enum stub stub)
{
    switch (stub) {
    case STUB_FAULT_ADDRESS:
        put_store(code, BOOT(fault_rax));
        PUT(code, "\x0f\x20\xd0"); /* mov %cr2, %rax */
        put_store(code, BOOT(fault_address));
        return;
    case STUB_FLUSH_PAGE:
        PUT(code, "\x0f\x01\x38"); /* invlpg (%rax) */
        return;
    case STUB_FLUSH_ALL:
        put_store(code, BOOT(flush_rax));
        PUT(code, "\x0f\x20\xd8"); /* mov %cr3, %rax */
        PUT(code, "\x0f\x22\xd8"); /* mov %rax, %cr3 */
        return;
    case STUB_COUNT:
        break;
    }
    bug_on(true);
}

unsigned stub_vector(enum stub stub)
{
    static const unsigned char vectors[STUB_COUNT] = {
        [STUB_FAULT_ADDRESS] = VECTOR_PF,
        [STUB_FLUSH_PAGE] = VECTOR_BP,
        [STUB_FLUSH_ALL] = VECTOR_UD,
    };

    return vectors[stub];
}

void stub_build(struct stubs *stubs, uint64_t at, enum stub stub,
                uint64_t handler, uint64_t rsp)
{
    struct code code = {stubs->code[stub], 0};

    stubs->frames[stub] = (struct stub_frame){
        .rip = handler,
        .cs = MACHINE_USER_CS,
        .rflags = RFLAGS_RING3,
        .rsp = rsp,
        .ss = MACHINE_USER_DS,
    };
    put_body(&code, stub);
    /* mov $frame, %esp; iretq */
    PUT_WITH(&code, "\xbc", at + offsetof(struct stubs, frames[stub]));
    PUT(&code, "\x48\xcf");
}

uint64_t stub_entry(uint64_t at, enum stub stub)
{
    return at + offsetof(struct stubs, code[stub]);
}
