/* SPDX-License-Identifier: MIT */
/* Ring 0 in a guest: which instructions, behind which gates, and for whom. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/built_machine.h"
#include "vmm/stubs.h"

#define HANDLERS 0x41100u
#define ALL      (1u << 3 | 1u << 6 | 1u << 8 | 1u << 13 | 1u << 14)

static struct image image;

static void set_up(void)
{
    image = small_image();
    image.fault_entry = HANDLERS;
    image.fault_vectors = ALL;
}

TestSuite(stubs, .init = set_up);

static const void *system_at(uint64_t at, uint64_t bytes)
{
    void *host;

    cr_assert(at >= SYSTEM_PAGE && at + bytes <= SYSTEM_PAGE + PAGE_BYTES);
    cr_assert_eq(gmem_map(&mem, gpa(at), bytes, &host), 0);
    return host;
}

struct gate {
    uint64_t handler;
    unsigned selector, ist, type;
};

static struct gate gate_of(unsigned vector)
{
    uint64_t word[2];

    memcpy(word, system_at(machine.idt + 16 * vector, 16), sizeof(word));
    return (struct gate){
        .handler = (word[0] & 0xffff) | (word[0] >> 48) << 16 | word[1] << 32,
        .selector = word[0] >> 16 & 0xffff,
        .ist = word[0] >> 32 & 0xff,
        .type = word[0] >> 40 & 0xff,
    };
}

static bool is_through_ring_0(unsigned vector)
{
    struct gate gate = gate_of(vector);

    if (gate.selector == MACHINE_USER_CS) {
        cr_assert_eq(gate.type, 0xef);
        cr_assert_eq(gate.handler, HANDLERS + 16 * vector);
        return false;
    }
    cr_assert_eq(gate.selector, MACHINE_KERNEL_CS);
    cr_assert_eq(gate.type, 0xee, "an interrupt gate that ring 3 may use");
    return true;
}

/* The stub is this code, and goes on in handler `vector` of ring 3. */
static void check_stub(unsigned vector, const char *code, unsigned bytes,
                       uint64_t rsp)
{
    struct gate gate = gate_of(vector);
    const uint8_t *at = system_at(gate.handler, STUB_BYTES);
    struct stub_frame frame;
    uint32_t address;

    cr_assert_eq(memcmp(at, code, bytes), 0, "vector %u", vector);
    cr_assert_eq(at[bytes], 0xbc); /* mov $frame, %esp */
    memcpy(&address, at + bytes + 1, sizeof(address));
    cr_assert_eq(memcmp(at + bytes + 5, "\x48\xcf", 2), 0, "iretq");
    memcpy(&frame, system_at(address, sizeof(frame)), sizeof(frame));
    cr_assert_eq(frame.rip, HANDLERS + 16 * vector);
    cr_assert_eq(frame.cs, MACHINE_USER_CS);
    cr_assert_eq(frame.ss, MACHINE_USER_DS);
    cr_assert_eq(frame.rflags, 0x202);
    cr_assert_eq(frame.rsp, rsp);
}

#define CODE(bytes) bytes, sizeof(bytes) - 1

Test(stubs, are_of_at_most_five_instructions)
{
    image.fault_address = image.paging = true;
    build(&image, 1 * MIB);
    /* mov %rax, fault_rax; mov %cr2, %rax; mov %rax, fault_address; ... */
    check_stub(14,
               CODE("\x48\x89\x04\x25\x18\x01\x01\x00\x0f\x20\xd0"
                    "\x48\x89\x04\x25\x10\x01\x01\x00"),
               MF_FAULT_STACKS + 2 * PAGE_BYTES - 48);
    /* invlpg (%rax); ... */
    check_stub(3, CODE("\x0f\x01\x38"), MF_FAULT_STACKS + 3 * PAGE_BYTES - 40);
    /* mov %rax, flush_rax; mov %cr3, %rax; mov %rax, %cr3; ... */
    check_stub(6,
               CODE("\x48\x89\x04\x25\x20\x01\x01\x00\x0f\x20\xd8\x0f\x22\xd8"),
               MF_FAULT_STACKS + 3 * PAGE_BYTES - 40);
}

Test(stubs, are_for_those_who_ask_and_for_their_vectors)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        image.fault_address = flags & 1;
        image.paging = flags & 2;
        image.fault_vectors = ALL;
        build(&image, 1 * MIB);
        cr_assert_eq(is_through_ring_0(14), image.fault_address);
        cr_assert_eq(is_through_ring_0(3), image.paging);
        cr_assert_eq(is_through_ring_0(6), image.paging);
        cr_assert_not(is_through_ring_0(8));
        cr_assert_not(is_through_ring_0(13));
        image.fault_vectors = 1u << 13;
        build(&image, 1 * MIB);
        for (unsigned vector = 0; vector < MF_FAULT_VECTORS; vector++)
            if (vector != 13)
                cr_assert_eq(gate_of(vector).type, 0);
    }
}

Test(stubs, come_with_a_code_segment_for_ring_0)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        uint64_t entry;

        image.fault_address = flags & 1;
        image.paging = flags & 2;
        build(&image, 1 * MIB);
        memcpy(&entry, system_at(machine.gdt + MACHINE_KERNEL_CS, 8),
               sizeof(entry));
        cr_assert_eq(entry, flags ? 0x00af9b000000ffff : 0);
    }
}

Test(stubs, paging_images_learn_where_their_tables_are)
{
    for (unsigned flags = 0; flags < 4; flags++) {
        struct mf_boot boot;

        image.fault_address = flags & 1;
        image.paging = flags & 2;
        build(&image, 1 * MIB);
        cr_assert_eq(gmem_read(&mem, gpa(MF_BOOT_PAGE), &boot, sizeof(boot)),
                     0);
        cr_assert_eq(boot.page_root, image.paging ? machine.page_root : 0);
    }
}
