/* SPDX-License-Identifier: MIT */
/* The machine: its layout, its tables, and every page's rights. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/page_walk.h"
#include "vmm/base/error.h"
#include "vmm/machine.h"

#define SYSTEM_PAGE 0x1000u
#define MIB         (1ull << 20)
#define TSS_PORTS   104 /* where the I/O bitmap starts */

static struct machine machine;
static struct gmem mem;
static char error[ERROR_BYTES];

/* Code, read-only data and data, a page each, with a hole before the data. */
static struct image small_image(void)
{
    return (struct image){
        .entry = 0x41010,
        .base = 0x40000,
        .end = 0x45000,
        .fault_entry = 0x41100,
        .fault_vectors = 1u << 0 | 1u << 8 | 1u << 14 | 1u << 31,
        .segment_count = 3,
        .segments =
            {
                {.address = 0x40000, .bytes = 0x1000},
                {.address = 0x41000, .bytes = 0xfff, .execute = true},
                {.address = 0x43010, .bytes = 0x1ff0, .write = true},
            },
    };
}

static void add_region(const struct mf_range *range)
{
    if (range->bytes == 0)
        return;
    void *host = mmap(NULL, range->bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    cr_assert_neq(host, MAP_FAILED);
    mem.regions[mem.count++] =
        (struct gmem_region){range->base, range->bytes, host};
}

/* Plans and builds a machine of this size around an image. */
static void build_with(const struct image *image, uint64_t mem_bytes,
                       const struct machine_boot *boot)
{
    cr_assert_eq(machine_plan(&machine, image, mem_bytes, error), 0, "%s",
                 error);
    mem.count = 0;
    add_region(&machine.ram[0]);
    add_region(&machine.ram[1]);
    cr_assert_eq(machine_build(&machine, image, boot, &mem, error), 0);
}

static void build(const struct image *image, uint64_t mem_bytes)
{
    build_with(image, mem_bytes, &(struct machine_boot){0});
}

static int plan(const struct image *image, uint64_t mem_bytes)
{
    return machine_plan(&machine, image, mem_bytes, error);
}

static uint64_t end_of(const struct mf_range *range)
{
    return range->base + range->bytes;
}

static const uint64_t sizes[] = {
    1 * MIB,
    1 * MIB + PAGE_BYTES,
    2 * MIB,
    3 * MIB - 1,
    64 * MIB,
    GIB - PAGE_BYTES,
    GIB + PAGE_BYTES,
    3 * GIB - PAGE_BYTES,
    3 * GIB,
    3 * GIB + 1,
    4 * GIB,
    5 * GIB + 3 * MIB + PAGE_BYTES,
    16 * GIB - 1 * MIB,
    16 * GIB,
};

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
                                      .stack_bytes = stacks[s],
                                      .segment_count = count};
                uint64_t min = machine_mem_bytes_min(&image);

                cr_assert_eq(plan(&image, min), 0,
                             "end %#lx, stack %#lx, %u segments: %s", ends[e],
                             stacks[s], count, error);
                cr_assert_eq(plan(&image, min - PAGE_BYTES), -ENOMEM,
                             "end %#lx, stack %#lx, %u segments: min - 1 page",
                             ends[e], stacks[s], count);
            }
}

Test(machine_plan, runs_a_small_image_in_1_mib)
{
    struct image image = small_image();

    cr_assert_leq(machine_mem_bytes_min(&image), 1 * MIB);
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

/* ---- Every page's rights ------------------------------------------------ */

struct rights {
    bool mapped, user, write, execute;
};

static bool inside(uint64_t address, uint64_t start, uint64_t end)
{
    return address >= start && address < end;
}

/* What the memory map of the ABI says about an address. */
static struct rights expected(const struct image *image, uint64_t address)
{
    const struct rights closed = {0}, data = {true, true, true, false};

    if (inside(address, SYSTEM_PAGE, SYSTEM_PAGE + PAGE_BYTES))
        return (struct rights){.mapped = true};
    if (inside(address, MF_BOOT_PAGE, MF_STRINGS + MF_STRINGS_BYTES_MAX) ||
        inside(address, machine.stack.base, end_of(&machine.ram[0])) ||
        inside(address, machine.ram[1].base, end_of(&machine.ram[1])))
        return data;
    for (unsigned i = 0; i < image->segment_count; i++) {
        const struct image_segment *s = &image->segments[i];

        if (inside(address, round_down(s->address, PAGE_BYTES),
                   round_up(s->address + s->bytes, PAGE_BYTES)))
            return (struct rights){true, true, s->write, s->execute};
    }
    return closed;
}

static void check_page(const struct image *image, uint64_t address)
{
    struct page_walk walk = page_walk(&mem, machine.page_root, address);
    struct rights want = expected(image, address);

    cr_assert_eq(walk.mapped, want.mapped, "%#lx", address);
    if (!walk.mapped)
        return;
    cr_assert_eq(walk.physical, address);
    cr_assert(walk.marked, "%#lx", address);
    cr_assert_eq(walk.user, want.user, "%#lx", address);
    cr_assert_eq(walk.write, want.write, "%#lx", address);
    cr_assert_eq(walk.execute, want.execute, "%#lx", address);
    /* No table is mapped, whether in use or not. */
    cr_assert_not(
        inside(address, machine.tables.base, end_of(&machine.tables)));
    cr_assert_neq(walk.page_bytes, GIB);
    for (unsigned i = 0; i < walk.depth; i++)
        cr_assert_not(
            page_walk(&mem, machine.page_root, walk.tables[i]).mapped);
}

/* The pages on both sides of an address, and that address's last byte. */
static void check_around(const struct image *image, uint64_t address)
{
    for (int i = -2; i <= 2; i++) {
        uint64_t at = address + (uint64_t)i * PAGE_BYTES;

        if (at < 1ull << 47) {
            check_page(image, at);
            check_page(image, at + PAGE_BYTES - 1);
        }
    }
}

static void check_machine(const struct image *image, uint64_t mem_bytes)
{
    build(image, mem_bytes);
    for (uint64_t at = 0; at < min_u64(16 * MIB, 2 * mem_bytes);
         at += PAGE_BYTES)
        check_page(image, at);
    for (uint64_t at = 0; at < 20 * GIB; at += LARGE_PAGE_BYTES)
        check_page(image, at + at / LARGE_PAGE_BYTES % 512 * PAGE_BYTES);
    for (unsigned i = 0; i < 2; i++) {
        check_around(image, machine.ram[i].base);
        check_around(image, end_of(&machine.ram[i]));
    }
    check_around(image, machine.stack.base);
    check_around(image, end_of(&machine.stack));
    check_around(image, 0xfee00000); /* the APIC */
    check_around(image, 512 * GIB);
    check_around(image, (1ull << 47) - PAGE_BYTES);
}

Test(machine_build, gives_every_page_the_rights_of_the_memory_map,
     .timeout = 120)
{
    struct image image = small_image();

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
        check_machine(&image, sizes[i]);
}

Test(machine_build, has_room_for_the_tables_of_16_scattered_segments,
     .timeout = 120)
{
    static const uint64_t strides[] = {
        PAGE_BYTES,
        LARGE_PAGE_BYTES - PAGE_BYTES,
        3 * MIB,
        150 * MIB,
    };

    for (unsigned i = 0; i < ARRAY_SIZE(strides); i++) {
        struct image image = {.base = MF_IMAGE_BASE,
                              .segment_count = IMAGE_SEGMENTS_MAX};

        for (unsigned s = 0; s < IMAGE_SEGMENTS_MAX; s++)
            image.segments[s] = (struct image_segment){
                .address = MF_IMAGE_BASE + s * strides[i],
                .bytes = strides[i],
                .write = s % 3 == 0,
                .execute = s % 3 == 1,
            };
        image.end = MF_IMAGE_BASE + IMAGE_SEGMENTS_MAX * strides[i];
        check_machine(&image, round_up(image.end + 16 * MIB, PAGE_BYTES));
        check_machine(&image, 16 * GIB);
    }
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
    struct image image = small_image();
    char strings[11];

    build_with(&image, 1 * MIB,
               &(struct machine_boot){.args = args, .env = env});
    struct mf_boot boot = boot_page();
    cr_assert_eq(boot.argc, 3);
    cr_assert_eq(boot.envc, 1);
    cr_assert_eq(boot.strings_bytes, sizeof(strings));
    cr_assert_eq(gmem_read(&mem, gpa(boot.strings), strings, sizeof(strings)),
                 0);
    cr_assert_eq(memcmp(strings, "a\0\0ccc\0K=V", sizeof(strings)), 0);
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
    cr_assert(strstr(error, "longer than 131072 bytes"));
}

Test(machine_boot, counts_arguments_and_environment_together)
{
    cr_assert_eq(build_with_strings(MF_STRINGS_BYTES_MAX - 10, 10), 0);
}

Test(machine_boot, refuses_an_environment_that_is_one_byte_too_long)
{
    cr_assert_eq(build_with_strings(MF_STRINGS_BYTES_MAX - 10, 11), -E2BIG);
}
