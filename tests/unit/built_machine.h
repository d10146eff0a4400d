/* SPDX-License-Identifier: MIT */
/* A machine to look at: one small image, any size of memory. */
#ifndef TESTS_UNIT_BUILT_MACHINE_H
#define TESTS_UNIT_BUILT_MACHINE_H

#include <criterion/criterion.h>
#include <sys/mman.h>

#include "vmm/base/error.h"
#include "vmm/machine.h"
#include "vmm/paging.h"

#define SYSTEM_PAGE 0x1000u
#define MIB         (1ull << 20)

static struct machine machine;
static struct gmem mem;
static char error[ERROR_BYTES];

/* Code, read-only data and data, a page each, with a hole before the data. */
static inline struct image small_image(void)
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

static inline void add_region(const struct mf_range *range)
{
    if (range->bytes == 0)
        return;
    void *host = mmap(NULL, range->bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    cr_assert_neq(host, MAP_FAILED);
    gmem_add(&mem, range->base, range->bytes, host);
}

/* Builds the planned machine around an image. */
static inline void build_planned(const struct image *image,
                                 const struct machine_boot *boot)
{
    mem.count = 0;
    add_region(&machine.ram[0]);
    add_region(&machine.ram[1]);
    cr_assert_eq(machine_build(&machine, image, boot, &mem, error), 0);
}

/* Plans and builds a machine of this size around an image. */
static inline void build_with(const struct image *image, uint64_t mem_bytes,
                              const struct machine_boot *boot)
{
    cr_assert_eq(machine_plan(&machine, image, mem_bytes, 0, error), 0, "%s",
                 error);
    build_planned(image, boot);
}

/* The same with so many devices' registers. */
static inline void build_registers(const struct image *image,
                                   uint64_t mem_bytes, unsigned blocks)
{
    cr_assert_eq(machine_plan(&machine, image, mem_bytes, blocks, error), 0,
                 "%s", error);
    build_planned(image, &(struct machine_boot){0});
}

static inline void build(const struct image *image, uint64_t mem_bytes)
{
    build_with(image, mem_bytes, &(struct machine_boot){0});
}

static inline int plan(const struct image *image, uint64_t mem_bytes)
{
    return machine_plan(&machine, image, mem_bytes, 0, error);
}

static inline uint64_t end_of(const struct mf_range *range)
{
    return range->base + range->bytes;
}

/* Sizes of memory on both sides of every boundary of the layout. */
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

#endif
