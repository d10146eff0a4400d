/* SPDX-License-Identifier: MIT */
/* The machine: its layout, its descriptor tables and its boot page. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/built_machine.h"
#include "tests/unit/page_walk.h"

#define TSS_PORTS 104 /* where the I/O bitmap starts */

/* ---- Layout ------------------------------------------------------------- */

Test(machine_plan, lays_out_tables_guard_stack_and_free_memory_in_a_row)
{
    struct image image = small_image();

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        cr_assert_eq(plan(&image, sizes[i]), 0);
        cr_assert_eq(machine.mem_bytes, round_up(sizes[i], PAGE_BYTES));
        cr_assert_eq(machine.ram[0].base, 0);
        cr_assert_eq(machine.ram[0].bytes + machine.ram[1].bytes,
                     machine.mem_bytes);
        cr_assert_eq(machine.tables.base, image.end);
        cr_assert_eq(machine.stack.base, end_of(&machine.tables) + PAGE_BYTES);
        cr_assert_eq(machine.free[0].base, end_of(&machine.stack));
        cr_assert_eq(end_of(&machine.free[0]), machine.ram[0].bytes);
        cr_assert_eq(machine.stack.base % PAGE_BYTES, 0);
        cr_assert_eq(machine.stack.bytes % PAGE_BYTES, 0);
    }
}

Test(machine_plan, splits_memory_at_3_gib_and_not_before)
{
    struct image image = small_image();

    cr_assert_eq(plan(&image, 3 * GIB), 0);
    cr_assert_eq(machine.ram[0].bytes, 3 * GIB);
    cr_assert_eq(machine.ram[1].bytes, 0);
    cr_assert_eq(machine.free[1].bytes, 0);
    cr_assert_eq(plan(&image, 3 * GIB + 1), 0);
    cr_assert_eq(machine.ram[0].bytes, 3 * GIB);
    cr_assert_eq(machine.ram[1].base, 4 * GIB);
    cr_assert_eq(machine.ram[1].bytes, PAGE_BYTES);
    cr_assert_eq(machine.free[1].base, 4 * GIB);
    cr_assert_eq(machine.free[1].bytes, PAGE_BYTES);
}

Test(machine_plan, takes_16_gib_and_refuses_a_byte_more)
{
    struct image image = small_image();

    cr_assert_eq(plan(&image, 16 * GIB), 0);
    cr_assert_eq(plan(&image, 16 * GIB + 1), -EINVAL);
    cr_assert_eq(plan(&image, UINT64_MAX), -EINVAL);
}

static void check_min_with_registers(const struct image *image)
{
    uint64_t min = machine_mem_bytes_min(image, 1);

    cr_assert_eq(min, machine_mem_bytes_min(image, MF_DEVICES_MAX));
    cr_assert_eq(machine_plan(&machine, image, min, 1, error), 0);
    cr_assert_eq(machine_plan(&machine, image, min - PAGE_BYTES, 1, error),
                 -ENOMEM);
}

Test(machine_plan, runs_in_the_least_memory_it_asks_for_and_in_no_page_less)
{
    static const uint64_t ends[] = {
        0x45000, 0x80000, 0x100000, 0x7ff000, 64 * MIB, GIB, 2 * GIB,
    };
    static const uint64_t stacks[] = {0, PAGE_BYTES, 64 << 10, 1 * MIB,
                                      GIB / 2};

    for (unsigned e = 0; e < ARRAY_SIZE(ends); e++)
        for (unsigned s = 0; s < ARRAY_SIZE(stacks); s++)
            for (unsigned count = 1; count <= IMAGE_SEGMENTS_MAX; count += 5) {
                struct image image = {.end = ends[e],
                                      .paging = s % 2,
                                      .stack_bytes = stacks[s],
                                      .segment_count = count};
                uint64_t min = machine_mem_bytes_min(&image, 0);

                cr_assert_eq(plan(&image, min), 0,
                             "end %#lx, stack %#lx, %u segments: %s", ends[e],
                             stacks[s], count, error);
                cr_assert_eq(plan(&image, min - PAGE_BYTES), -ENOMEM,
                             "end %#lx, stack %#lx, %u segments: min - 1 page",
                             ends[e], stacks[s], count);
                check_min_with_registers(&image);
            }
}

Test(machine_plan, takes_two_pages_more_for_any_number_of_registers)
{
    struct image image = small_image();

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        cr_assert_eq(plan(&image, sizes[i]), 0);
        const struct machine without = machine;

        cr_assert_eq(machine_plan(&machine, &image, sizes[i], 1, error), 0);
        cr_assert_eq(machine.tables.bytes,
                     without.tables.bytes + 2 * PAGE_BYTES);
        const struct machine one = machine;

        cr_assert_eq(
            machine_plan(&machine, &image, sizes[i], MF_DEVICES_MAX, error), 0);
        cr_assert_eq(memcmp(&machine.tables, &one.tables, sizeof(one.tables)),
                     0);
    }
}

Test(machine_plan, runs_a_small_image_in_1_mib)
{
    struct image image = small_image();

    cr_assert_leq(machine_mem_bytes_min(&image, 0), 1 * MIB);
}

Test(machine_plan, refuses_memory_that_ends_inside_the_image)
{
    struct image image = small_image();

    cr_assert_eq(plan(&image, 0), -ENOMEM);
    cr_assert_eq(plan(&image, PAGE_BYTES), -ENOMEM);
    cr_assert_eq(plan(&image, image.end), -ENOMEM);
    cr_assert(strstr(error, "does not fit"));
}

Test(machine_plan, refuses_an_image_whose_stack_would_cross_3_gib)
{
    struct image image = small_image();

    image.end = 3 * GIB - 2 * MIB;
    image.stack_bytes = 1 * MIB;
    cr_assert_eq(plan(&image, 16 * GIB), 0);
    image.stack_bytes = 2 * MIB;
    cr_assert_eq(plan(&image, 16 * GIB), -ENOMEM);
}

Test(machine_plan, gives_the_stack_that_an_image_asks_for)
{
    struct image image = small_image();

    image.stack_bytes = 3 * PAGE_BYTES;
    cr_assert_eq(plan(&image, 64 * MIB), 0);
    cr_assert_eq(machine.stack.bytes, 3 * PAGE_BYTES);
}

Test(machine_is_guard, knows_the_page_below_the_stack_and_not_its_neighbours)
{
    struct image image = small_image();

    cr_assert_eq(plan(&image, 64 * MIB), 0);
    uint64_t stack = machine.stack.base;
    cr_assert(machine_is_guard(&machine, stack - 1));
    cr_assert(machine_is_guard(&machine, stack - PAGE_BYTES));
    cr_assert_not(machine_is_guard(&machine, stack - PAGE_BYTES - 1));
    cr_assert_not(machine_is_guard(&machine, stack));
    cr_assert_not(machine_is_guard(&machine, 0));
    cr_assert_not(machine_is_guard(&machine, UINT64_MAX));
}

/* ---- Descriptor tables -------------------------------------------------- */

/* A 64-bit gate (Intel SDM volume 3, 6.14.1) or a part of one, as read. */
struct gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

static const uint8_t *system_bytes(uint64_t at, uint64_t bytes)
{
    void *host;

    cr_assert(at >= SYSTEM_PAGE && at + bytes <= SYSTEM_PAGE + PAGE_BYTES);
    cr_assert_eq(gmem_map(&mem, gpa(at), bytes, &host), 0);
    return host;
}

static uint64_t descriptor(unsigned selector)
{
    uint64_t entry;

    memcpy(&entry,
           system_bytes(machine.gdt, machine.gdt_bytes) + (selector & ~7u),
           sizeof(entry));
    return entry;
}

Test(machine_gdt, has_flat_code_and_data_for_ring_3_and_nothing_for_ring_0)
{
    struct image image = small_image();

    build(&image, 1 * MIB);
    cr_assert_eq(descriptor(MACHINE_USER_CS), 0x00affb000000ffff);
    cr_assert_eq(descriptor(MACHINE_USER_DS), 0x00cff3000000ffff);
    cr_assert_eq(machine.gdt_bytes, MACHINE_TSS + 16);
    for (unsigned at = 0; at < MACHINE_TSS; at += 8)
        if (at != (MACHINE_USER_CS & ~7) && at != (MACHINE_USER_DS & ~7))
            cr_assert_eq(descriptor(at), 0, "GDT entry %#x", at);
}

Test(machine_gdt, describes_a_busy_task_state_where_it_is)
{
    struct image image = small_image();

    build(&image, 1 * MIB);
    uint64_t low = descriptor(MACHINE_TSS), high = descriptor(MACHINE_TSS + 8);
    uint64_t base =
        (low >> 16 & 0xffffff) | (low >> 56 & 0xff) << 24 | high << 32;

    cr_assert_eq(base, machine.tss);
    cr_assert_eq((low & 0xffff) | (low >> 32 & 0xf0000), machine.tss_bytes - 1);
    cr_assert_eq(low >> 40 & 0xff, 0x8b); /* present, DPL 0, busy TSS */
}

Test(machine_tss, opens_the_hypercall_port_and_no_other)
{
    struct image image = small_image();
    uint16_t offset;

    build(&image, 1 * MIB);
    const uint8_t *tss = system_bytes(machine.tss, machine.tss_bytes);
    memcpy(&offset, tss + 102, sizeof(offset));
    cr_assert_eq(offset, TSS_PORTS);
    /* Ports past the limit are closed; a byte of ones has to end the map. */
    cr_assert_eq(tss[machine.tss_bytes - 1], 0xff);
    for (unsigned port = 0; port < 8 * (machine.tss_bytes - offset); port++) {
        bool closed = tss[offset + port / 8] >> port % 8 & 1;

        cr_assert_eq(closed, port != MF_HYPERCALL_PORT, "port %#x", port);
    }
}

Test(machine_tss, has_a_page_of_stack_for_each_kind_of_fault)
{
    struct image image = small_image();

    build(&image, 1 * MIB);
    const uint8_t *tss = system_bytes(machine.tss, machine.tss_bytes);
    for (unsigned i = 0; i < 7; i++) {
        uint64_t top;

        memcpy(&top, tss + 36 + 8 * i, sizeof(top));
        cr_assert_eq(top, i < MF_FAULT_STACK_COUNT
                              ? MF_FAULT_STACKS + (i + 1) * PAGE_BYTES
                              : 0);
    }
}

Test(machine_idt, has_trap_gates_to_ring_3_for_the_vectors_asked_for)
{
    struct image image = small_image();

    image.fault_entry = 0x12341100; /* more than 16 bits */
    build(&image, 1 * MIB);
    cr_assert_eq(machine.idt_bytes, MF_FAULT_VECTORS * sizeof(struct gate));
    for (unsigned vector = 0; vector < MF_FAULT_VECTORS; vector++) {
        struct gate gate;
        uint64_t at = machine.idt + vector * sizeof(gate);

        memcpy(&gate, system_bytes(at, sizeof(gate)), sizeof(gate));
        if (!(image.fault_vectors >> vector & 1)) {
            cr_assert_eq(gate.type, 0, "vector %u", vector);
            continue;
        }
        uint64_t handler = gate.offset_low |
                           (uint64_t)gate.offset_middle << 16 |
                           (uint64_t)gate.offset_high << 32;
        cr_assert_eq(handler, image.fault_entry + vector * MF_FAULT_STRIDE);
        cr_assert_eq(gate.selector, MACHINE_USER_CS);
        cr_assert_eq(gate.type, 0xef); /* present, DPL 3, trap gate */
        cr_assert_eq(gate.ist, vector == 8 ? 1 : vector == 14 ? 2 : 3);
        cr_assert_eq(gate.reserved, 0);
    }
}

Test(machine_idt, is_empty_for_an_image_without_handlers)
{
    struct image image = small_image();

    image.fault_vectors = 0;
    build(&image, 1 * MIB);
    const uint8_t *idt = system_bytes(machine.idt, machine.idt_bytes);
    for (unsigned i = 0; i < machine.idt_bytes; i++)
        cr_assert_eq(idt[i], 0);
}

/* ---- What the monitor touches for the guest ----------------------------- */

static int map_for_guest(uint64_t at, uint64_t bytes)
{
    struct gmem narrow = mem;
    void *host;

    machine_guest_memory(&machine, &narrow);
    return gmem_map(&narrow, gpa(at), bytes, &host);
}

Test(machine_guest_memory, ends_where_the_system_pages_and_tables_are)
{
    struct image image = small_image();

    build(&image, 4 * GIB);
    cr_assert_gt(machine.tables.bytes, 0);
    cr_assert_eq(map_for_guest(0, 1), -EFAULT);
    cr_assert_eq(map_for_guest(SYSTEM_PAGE, 8), -EFAULT);
    cr_assert_eq(map_for_guest(machine.page_root, 8), -EFAULT);
    cr_assert_eq(map_for_guest(MF_BOOT_PAGE - 1, 1), -EFAULT);
    cr_assert_eq(map_for_guest(MF_BOOT_PAGE - 1, 2), -EFAULT);
    cr_assert_eq(map_for_guest(MF_BOOT_PAGE, 1), 0);
    cr_assert_eq(map_for_guest(image.end - 1, 1), 0);
    cr_assert_eq(map_for_guest(image.end - 1, 2), -EFAULT);
    cr_assert_eq(map_for_guest(machine.tables.base, 1), -EFAULT);
    cr_assert_eq(map_for_guest(end_of(&machine.tables) - 1, 1), -EFAULT);
    cr_assert_eq(map_for_guest(machine.stack.base, 1), 0);
    cr_assert_eq(map_for_guest(end_of(&machine.ram[0]) - 1, 1), 0);
    cr_assert_eq(map_for_guest(machine.ram[1].base, machine.ram[1].bytes), 0);
}

Test(machine_guest_memory, never_has_a_page_that_the_processor_reads)
{
    struct image image = small_image();

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        build(&image, sizes[i]);
        for (uint64_t at = 0; at < 8 * MIB; at += PAGE_BYTES) {
            struct page_walk walk = page_walk(&mem, machine.page_root, at);

            for (unsigned t = 0; t < walk.depth; t++)
                cr_assert_eq(map_for_guest(walk.tables[t], 8), -EFAULT);
            if (walk.mapped && !walk.user)
                cr_assert_eq(map_for_guest(at, 8), -EFAULT);
        }
    }
}

/* ---- The boot page ------------------------------------------------------ */

static struct mf_boot boot_page(void)
{
    struct mf_boot boot;

    cr_assert_eq(gmem_read(&mem, gpa(MF_BOOT_PAGE), &boot, sizeof(boot)), 0);
    return boot;
}

Test(machine_boot, tells_the_guest_where_everything_is)
{
    struct image image = small_image();
    struct machine_boot from = {
        .clock = {.tsc_khz = 42},
        .xcr0 = 7,
        .hwcap = 8,
        .hwcap2 = 2,
        .seed = {1, 2, 3},
    };

    image.phdr = 0x40040;
    image.phnum = 3;
    build_with(&image, 4 * GIB, &from);
    struct mf_boot boot = boot_page();
    cr_assert_eq(memcmp(&boot.magic, "MAYFLY-1", 8), 0);
    cr_assert_eq(boot.abi_major, MF_ABI_MAJOR);
    cr_assert_eq(boot.abi_minor, MF_ABI_MINOR);
    cr_assert_eq(boot.bytes, sizeof(boot));
    cr_assert_eq(boot.mem_bytes, 4 * GIB);
    cr_assert_eq(memcmp(boot.free, machine.free, sizeof(boot.free)), 0);
    cr_assert_eq(boot.stack_low, machine.stack.base);
    cr_assert_eq(boot.stack_top, end_of(&machine.stack));
    cr_assert_eq(boot.stack_top % 16, 0);
    cr_assert_eq(boot.image.base, image.base);
    cr_assert_eq(boot.image.bytes, image.end - image.base);
    cr_assert_eq(boot.phdr, 0x40040);
    cr_assert_eq(boot.phnum, 3);
    cr_assert_eq(boot.argc, 0);
    cr_assert_eq(boot.envc, 0);
    cr_assert_eq(boot.clock.tsc_khz, 42);
    cr_assert_eq(boot.xcr0, 7);
    cr_assert_eq(boot.hwcap, 8);
    cr_assert_eq(boot.hwcap2, 2);
    cr_assert_eq(memcmp(boot.seed, from.seed, sizeof(boot.seed)), 0);
    cr_assert_eq(boot.events, 0);
    cr_assert_eq(boot.device_bytes, sizeof(struct mf_device));
}

Test(machine_boot, passes_arguments_then_environment)
{
    const char *const args[] = {"a", "", "ccc", NULL};
    const char *const env[] = {"K=V", NULL};
    const char *const options[] = {"o=1", "o=2", NULL};
    struct image image = small_image();
    char strings[19];

    build_with(
        &image, 1 * MIB,
        &(struct machine_boot){.args = args, .env = env, .options = options});
    struct mf_boot boot = boot_page();
    cr_assert_eq(boot.argc, 3);
    cr_assert_eq(boot.envc, 1);
    cr_assert_eq(boot.optc, 2);
    cr_assert_eq(boot.strings_bytes, sizeof(strings));
    cr_assert_eq(gmem_read(&mem, gpa(boot.strings), strings, sizeof(strings)),
                 0);
    cr_assert_eq(memcmp(strings, "a\0\0ccc\0K=V\0o=1\0o=2", sizeof(strings)),
                 0);
}

static int build_with_strings(size_t arg_bytes, size_t env_bytes)
{
    static char arg[MF_STRINGS_BYTES_MAX + 1], env[MF_STRINGS_BYTES_MAX + 1];
    const char *const args[] = {arg, NULL}, *const envs[] = {env, NULL};
    struct machine_boot boot = {.args = args, .env = env_bytes ? envs : NULL};
    struct image image = small_image();

    memset(arg, 'a', arg_bytes - 1);
    memset(env, 'e', env_bytes ? env_bytes - 1 : 0);
    cr_assert_eq(plan(&image, 1 * MIB), 0);
    add_region(&machine.ram[0]);
    return machine_build(&machine, &image, &boot, &mem, error);
}

Test(machine_boot, puts_strings_that_fit_behind_the_boot_page)
{
    const size_t room = MF_PAGE_BYTES - sizeof(struct mf_boot);

    cr_assert_eq(build_with_strings(room, 0), 0);
    cr_assert_eq(boot_page().strings, MF_BOOT_PAGE + sizeof(struct mf_boot));
}

Test(machine_boot, moves_strings_that_do_not_fit_there)
{
    const size_t room = MF_PAGE_BYTES - sizeof(struct mf_boot);

    cr_assert_eq(build_with_strings(room - 5, 6), 0);
    cr_assert_eq(boot_page().strings, MF_STRINGS);
    cr_assert_eq(boot_page().strings_bytes, room + 1);
}

Test(machine_boot, takes_as_many_bytes_of_arguments_as_there_is_room_for)
{
    cr_assert_eq(build_with_strings(MF_STRINGS_BYTES_MAX, 0), 0);
    cr_assert_eq(boot_page().strings_bytes, MF_STRINGS_BYTES_MAX);
}

Test(machine_boot, refuses_one_byte_of_arguments_more)
{
    cr_assert_eq(build_with_strings(MF_STRINGS_BYTES_MAX + 1, 0), -E2BIG);
    cr_assert(strstr(error, "longer than 122880 bytes"));
}

Test(machine_boot, counts_arguments_and_environment_together)
{
    cr_assert_eq(build_with_strings(MF_STRINGS_BYTES_MAX - 10, 10), 0);
}

Test(machine_boot, refuses_an_environment_that_is_one_byte_too_long)
{
    cr_assert_eq(build_with_strings(MF_STRINGS_BYTES_MAX - 10, 11), -E2BIG);
}
