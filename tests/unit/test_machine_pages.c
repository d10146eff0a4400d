/* SPDX-License-Identifier: MIT */
/* The machine's page tables: every page's rights, for many sizes. */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/unit/built_machine.h"
#include "tests/unit/page_walk.h"

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
        return (struct rights){
            .mapped = true, .execute = image->fault_address || image->paging};
    if (image->paging &&
        (inside(address, SYSTEM_PAGE + PAGE_BYTES, MACHINE_RETURN_PAGE) ||
         inside(address, machine.tables.base, end_of(&machine.tables))))
        return data;
    if (inside(address, MF_BOOT_PAGE, MF_IMAGE_BASE) ||
        inside(address, machine.stack.base, end_of(&machine.ram[0])) ||
        inside(address, machine.ram[1].base, end_of(&machine.ram[1])) ||
        inside(address, MF_REGISTERS,
               MF_REGISTERS + machine.register_blocks * MF_REGISTERS_BYTES))
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
    cr_assert_neq(walk.page_bytes, GIB);
    /* No table is mapped, whether in use or not, but for those who edit them.
     */
    cr_assert(image->paging ||
              !inside(address, machine.tables.base, end_of(&machine.tables)));
    for (unsigned i = 0; i < walk.depth; i++)
        cr_assert_eq(page_walk(&mem, machine.page_root, walk.tables[i]).mapped,
                     image->paging);
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

static void check_pages(const struct image *image)
{
    uint64_t mem_bytes = machine.mem_bytes;

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
    check_around(image, MF_REGISTERS);
    check_around(image, MF_REGISTERS + MF_REGISTERS_BYTES);
    check_around(image, MF_REGISTERS + MF_DEVICES_MAX * MF_REGISTERS_BYTES);
    check_around(image, 0xfee00000); /* the APIC */
    check_around(image, 512 * GIB);
    check_around(image, (1ull << 47) - PAGE_BYTES);
}

static void check_machine(const struct image *image, uint64_t mem_bytes)
{
    build(image, mem_bytes);
    check_pages(image);
}

Test(machine_build, gives_every_page_the_rights_of_the_memory_map,
     .timeout = 120)
{
    struct image image = small_image();

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++)
        check_machine(&image, sizes[i]);
}

Test(machine_build, maps_tables_for_an_image_that_edits_them_alone,
     .timeout = 240)
{
    for (unsigned flags = 1; flags < 4; flags++) {
        struct image image = small_image();

        image.fault_address = flags & 1;
        image.paging = flags & 2;
        for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
            check_machine(&image, sizes[i]);
            build_registers(&image, sizes[i], MF_DEVICES_MAX);
            check_pages(&image);
        }
    }
}

Test(machine_build, maps_the_registers_of_as_many_devices_as_planned,
     .timeout = 120)
{
    static const unsigned blocks[] = {1, 2, MF_DEVICES_MAX};
    struct image image = small_image();

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        build_registers(&image, sizes[i], blocks[i % ARRAY_SIZE(blocks)]);
        check_pages(&image);
    }
}

Test(machine_build, has_no_memory_behind_registers)
{
    struct image image = small_image();
    void *host;

    build_registers(&image, 16 * GIB, MF_DEVICES_MAX);
    cr_assert_eq(gmem_map(&mem, gpa(MF_REGISTERS), 1, &host), -EFAULT);
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
        build_registers(&image, 16 * GIB, MF_DEVICES_MAX);
        check_pages(&image);
    }
}
