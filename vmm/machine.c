/* SPDX-License-Identifier: MIT */
/* Building the machine: descriptor tables, page tables, boot page. */
#include "vmm/machine.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/paging.h"
#include "vmm/stubs.h"

/* ---- Layout ---------------------------------------------------------- */

#define SYSTEM_PAGE 0x1000ull /* GDT, TSS and IDT */
#define TABLES_LOW  0x2000ull /* page tables, up to ... */

#define GUARD_BYTES     PAGE_BYTES
#define STACK_BYTES_MIN (64ull << 10)
#define STACK_BYTES_MAX (8ull << 20)
#define FREE_BYTES_MIN  (64ull << 10)

/* Ranges that are mapped beside the image's segments: see map_memory. */
#define FIXED_RANGES 5

/* For images that edit their tables two more: the tables. */
#define TABLE_RANGES 2

/* Registers lie in a GiB without RAM: a page directory and a table more. */
#define REGISTER_TABLES 2

_Static_assert(MF_REGISTERS / LARGE_PAGE_BYTES ==
                   (MF_REGISTERS + MF_DEVICES_MAX * MF_REGISTERS_BYTES - 1) /
                       LARGE_PAGE_BYTES,
               "one table");

static uint64_t spare_tables_bytes(const struct image *image,
                                   uint64_t mem_bytes, unsigned register_blocks)
{
    unsigned tables = paging_tables_max(FIXED_RANGES + image->segment_count +
                                            (image->paging ? TABLE_RANGES : 0),
                                        mem_bytes) +
                      (register_blocks ? REGISTER_TABLES : 0);
    uint64_t bytes = PAGE_BYTES * tables;
    uint64_t low = MACHINE_RETURN_PAGE - TABLES_LOW;

    return bytes > low ? bytes - low : 0;
}

/* The stack if there is room: a sixteenth of the memory, within bounds. */
static uint64_t stack_bytes_wanted(const struct image *image,
                                   uint64_t mem_bytes)
{
    if (image->stack_bytes)
        return image->stack_bytes;
    return max_u64(
        STACK_BYTES_MIN,
        min_u64(STACK_BYTES_MAX, round_down(mem_bytes / 16, PAGE_BYTES)));
}

static uint64_t stack_bytes_min(const struct image *image)
{
    return image->stack_bytes ? image->stack_bytes : STACK_BYTES_MIN;
}

/* What must fit in beside stack and tables. */
static uint64_t fixed_bytes(const struct image *image)
{
    return image->end + GUARD_BYTES + FREE_BYTES_MIN;
}

uint64_t machine_mem_bytes_min(const struct image *image,
                               unsigned register_blocks)
{
    uint64_t bytes = fixed_bytes(image) + stack_bytes_min(image);
    uint64_t min = bytes + spare_tables_bytes(image, bytes, register_blocks);

    /* The tables may push it over the line where one more is needed. */
    return bytes + spare_tables_bytes(image, min, register_blocks);
}

int machine_plan(struct machine *machine, const struct image *image,
                 uint64_t mem_bytes, unsigned register_blocks, char *error)
{
    uint64_t min = machine_mem_bytes_min(image, register_blocks);

    bug_on(register_blocks > MF_DEVICES_MAX);
    if (mem_bytes > MF_MEM_BYTES_MAX)
        return error_set(error, -EINVAL,
                         "%llu MiB of memory asked for, at most %llu possible",
                         (unsigned long long)(mem_bytes >> 20),
                         (unsigned long long)(MF_MEM_BYTES_MAX >> 20));
    memset(machine, 0, sizeof(*machine));
    mem_bytes = round_up(mem_bytes, PAGE_BYTES);
    machine->mem_bytes = mem_bytes;
    machine->ram[0].bytes = min_u64(mem_bytes, MF_RAM_LOW_END);
    machine->ram[1].base = MF_RAM_HIGH_BASE;
    machine->ram[1].bytes = mem_bytes - machine->ram[0].bytes;
    machine->register_blocks = register_blocks;

    machine->tables.base = image->end;
    machine->tables.bytes =
        spare_tables_bytes(image, mem_bytes, register_blocks);
    machine->stack.base =
        machine->tables.base + machine->tables.bytes + GUARD_BYTES;
    uint64_t taken = fixed_bytes(image) + machine->tables.bytes;
    if (taken + stack_bytes_min(image) > machine->ram[0].bytes)
        return error_set(
            error, -ENOMEM,
            "does not fit into %llu KiB of memory; it needs %llu KiB",
            (unsigned long long)(mem_bytes >> 10),
            (unsigned long long)(round_up(min, 1024) >> 10));
    machine->stack.bytes = min_u64(stack_bytes_wanted(image, mem_bytes),
                                   machine->ram[0].bytes - taken);
    uint64_t top = machine->stack.base + machine->stack.bytes;
    machine->free[0].base = top;
    machine->free[0].bytes = machine->ram[0].bytes - top;
    machine->free[1] = machine->ram[1];
    return 0;
}

void machine_guest_memory(const struct machine *machine, struct gmem *mem)
{
    uint64_t tables_end = machine->tables.base + machine->tables.bytes;
    int error = gmem_exclude(mem, 0, MF_BOOT_PAGE);

    if (!error)
        error = gmem_exclude(mem, machine->tables.base, tables_end);
    bug_on(error); /* two RAM regions, one of them cut in two at most */
}

bool machine_is_guard(const struct machine *machine, uint64_t address)
{
    return address < machine->stack.base &&
           machine->stack.base - address <= GUARD_BYTES;
}

/* ---- Descriptor tables (Intel SDM volume 3, 3.5, 6.14, 7.7) ----------- */

#define GDT_KERNEL_CODE 0x00af9b000000ffffull /* flat, DPL 0, 64-bit code */
#define GDT_USER_DATA   0x00cff3000000ffffull /* flat, DPL 3, accessed */
#define GDT_USER_CODE   0x00affb000000ffffull /* the same, 64-bit code */
#define GDT_TSS_BUSY    0x00008b0000000000ull /* 64-bit TSS, in use */

#define GATE_TRAP_DPL3      0xefull /* present, DPL 3, 64-bit trap gate */
#define GATE_INTERRUPT_DPL3 0xeeull /* the same, interrupts off */

#define VECTOR_DF 8
#define VECTOR_PF 14

/* Exceptions with an error code: #DF #TS #NP #SS #GP #PF #AC #CP #VC #SX */
#define ERROR_CODES 0x60227d00u

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_bitmap; /* offset of the bitmap from the TSS's start */
    /* One bit a port, set: forbidden; one more byte of ones ends it. */
    uint8_t ports[MF_HYPERCALL_PORT / 8 + 2];
} __attribute__((packed));

_Static_assert(offsetof(struct tss, ports) == 104, "64-bit TSS");

/* The system page: everything that the processor reads by itself. */
struct system_page {
    uint64_t gdt[MACHINE_TSS / 8 + 2];
    struct tss tss;
    uint64_t idt[MF_FAULT_VECTORS][2] __attribute__((aligned(16)));
    struct stubs stubs; /* in VMs of images that asked for some */
};

_Static_assert(sizeof(struct system_page) <= PAGE_BYTES, "one page");

static void build_gdt(struct system_page *page, uint64_t tss)
{
    page->gdt[MACHINE_USER_DS / 8] = GDT_USER_DATA;
    page->gdt[MACHINE_USER_CS / 8] = GDT_USER_CODE;
    page->gdt[MACHINE_TSS / 8] = GDT_TSS_BUSY | (sizeof(struct tss) - 1) |
                                 (tss & 0xffffff) << 16 |
                                 (tss >> 24 & 0xff) << 56;
    page->gdt[MACHINE_TSS / 8 + 1] = tss >> 32;
}

/* The interrupt-stack-table slot of an exception, counted from 1. */
static unsigned fault_stack(unsigned vector)
{
    return vector == VECTOR_DF ? 1 : vector == VECTOR_PF ? 2 : 3;
}

static void build_tss(struct system_page *page)
{
    for (unsigned i = 0; i < MF_FAULT_STACK_COUNT; i++)
        page->tss.ist[i] = MF_FAULT_STACKS + (i + 1) * PAGE_BYTES;
    page->tss.io_bitmap = offsetof(struct tss, ports);
    memset(page->tss.ports, 0xff, sizeof(page->tss.ports));
    page->tss.ports[MF_HYPERCALL_PORT / 8] &=
        (uint8_t) ~(1u << MF_HYPERCALL_PORT % 8);
}

static void set_gate(uint64_t gate[2], unsigned vector, uint64_t handler,
                     uint64_t selector, uint64_t kind)
{
    gate[0] = (handler & 0xffff) | selector << 16 |
              (uint64_t)fault_stack(vector) << 32 | kind << 40 |
              (handler >> 16 & 0xffff) << 48;
    gate[1] = handler >> 32;
}

/*
 * A trap gate leaves the interrupt flag alone; a handler in ring 3 could not
 * set it again.
 */
static void build_idt(struct system_page *page, const struct image *image)
{
    for (unsigned vector = 0; vector < MF_FAULT_VECTORS; vector++)
        if (image->fault_vectors & 1u << vector)
            set_gate(page->idt[vector], vector,
                     image->fault_entry + vector * MF_FAULT_STRIDE,
                     MACHINE_USER_CS, GATE_TRAP_DPL3);
}

/*
 * Leads exceptions through ring 0, by interrupt gates: what its stubs do is not
 * interrupted.
 */
static void build_stubs(struct system_page *page, const struct image *image)
{
    const uint64_t at = SYSTEM_PAGE + offsetof(struct system_page, stubs);

    for (unsigned i = 0; i < STUB_COUNT; i++) {
        unsigned vector = stub_vector(i);
        bool wanted =
            i == STUB_FAULT_ADDRESS ? image->fault_address : image->paging;
        unsigned pushed = 8 * (ERROR_CODES >> vector & 1 ? 6 : 5); /* bytes */

        if (!wanted || !(image->fault_vectors & 1u << vector))
            continue;
        page->gdt[MACHINE_KERNEL_CS / 8] = GDT_KERNEL_CODE;
        stub_build(&page->stubs, at, i,
                   image->fault_entry + vector * MF_FAULT_STRIDE,
                   page->tss.ist[fault_stack(vector) - 1] - pushed);
        set_gate(page->idt[vector], vector, stub_entry(at, i),
                 MACHINE_KERNEL_CS, GATE_INTERRUPT_DPL3);
    }
}

static int build_system_page(struct machine *machine, const struct image *image,
                             const struct gmem *mem)
{
    struct system_page page = {0};

    machine->gdt = SYSTEM_PAGE + offsetof(struct system_page, gdt);
    machine->tss = SYSTEM_PAGE + offsetof(struct system_page, tss);
    machine->idt = SYSTEM_PAGE + offsetof(struct system_page, idt);
    machine->gdt_bytes = sizeof(page.gdt);
    machine->tss_bytes = sizeof(page.tss);
    machine->idt_bytes = sizeof(page.idt);
    build_gdt(&page, machine->tss);
    build_tss(&page);
    build_idt(&page, image);
    build_stubs(&page, image);
    return gmem_write(mem, gpa(SYSTEM_PAGE), &page, sizeof(page));
}

/* ---- Page tables ----------------------------------------------------- */

static enum page_access segment_access(const struct image_segment *segment)
{
    if (segment->execute)
        return PAGE_EXECUTE;
    return segment->write ? PAGE_WRITE : PAGE_READ;
}

/* Lets the guest have its tables: only an image that asks for it. */
static int map_tables(struct paging *paging, const struct page_pool *low,
                      const struct mf_range *spare)
{
    int error = paging_map(paging, low->next, low->end, PAGE_WRITE);

    return error ? error
                 : paging_map(paging, spare->base, spare->base + spare->bytes,
                              PAGE_WRITE);
}

static int map_memory(struct machine *machine, const struct image *image,
                      const struct gmem *mem)
{
    struct paging paging;
    struct page_pool low = {TABLES_LOW, MACHINE_RETURN_PAGE};
    struct page_pool spare = {machine->tables.base,
                              machine->tables.base + machine->tables.bytes};
    int error = paging_init(&paging, mem, low, spare);

    if (!error)
        error =
            paging_map(&paging, SYSTEM_PAGE, SYSTEM_PAGE + PAGE_BYTES,
                       image->fault_address || image->paging ? PAGE_SYSTEM_CODE
                                                             : PAGE_SYSTEM);
    if (!error && machine->has_return_page)
        error = paging_map(&paging, MACHINE_RETURN_PAGE, MF_BOOT_PAGE,
                           PAGE_EXECUTE);
    if (!error && image->paging)
        error = map_tables(&paging, &low, &machine->tables);
    if (!error)
        error = paging_map(&paging, MF_BOOT_PAGE, MF_IMAGE_BASE, PAGE_WRITE);
    for (unsigned i = 0; i < image->segment_count && !error; i++) {
        const struct image_segment *segment = &image->segments[i];

        error =
            paging_map(&paging, round_down(segment->address, PAGE_BYTES),
                       round_up(segment->address + segment->bytes, PAGE_BYTES),
                       segment_access(segment));
    }
    if (!error)
        error = paging_map(&paging, machine->stack.base, machine->ram[0].bytes,
                           PAGE_WRITE);
    if (!error)
        error = paging_map(&paging, machine->ram[1].base,
                           machine->ram[1].base + machine->ram[1].bytes,
                           PAGE_WRITE);
    if (!error)
        error = paging_map(&paging, MF_REGISTERS,
                           MF_REGISTERS +
                               machine->register_blocks * MF_REGISTERS_BYTES,
                           PAGE_WRITE);
    machine->page_root = paging.root;
    return error;
}

/* ---- The boot page --------------------------------------------------- */

/*
 * Where the strings go: what is left of the boot page if they fit there, which
 * saves a page, or the pages that the ABI sets aside.
 */
static uint64_t strings_address(const struct machine_boot *from)
{
    const char *const *lists[] = {from->args, from->env, from->options};
    uint64_t room = MF_PAGE_BYTES - sizeof(struct mf_boot);
    uint64_t bytes = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(lists); i++)
        for (const char *const *at = lists[i]; at && *at; at++)
            bytes += strlen(*at) + 1;
    return bytes <= room ? MF_BOOT_PAGE + sizeof(struct mf_boot) : MF_STRINGS;
}

/* Appends the strings of a list. Returns 0 or -E2BIG. */
static int put_strings(const struct gmem *mem, const char *const *strings,
                       struct mf_boot *boot, uint32_t *count)
{
    for (; strings && *strings; strings++, ++*count) {
        size_t bytes = strlen(*strings) + 1;

        if (bytes > MF_STRINGS_BYTES_MAX - boot->strings_bytes)
            return -E2BIG;
        int error = gmem_write(mem, gpa(boot->strings + boot->strings_bytes),
                               *strings, bytes);
        if (error)
            return error;
        boot->strings_bytes += (uint32_t)bytes;
    }
    return 0;
}

static int build_boot_page(const struct machine *machine,
                           const struct image *image,
                           const struct machine_boot *from,
                           const struct gmem *mem, char *error)
{
    struct mf_boot boot = {
        .magic = MF_BOOT_MAGIC,
        .abi_major = MF_ABI_MAJOR,
        .abi_minor = MF_ABI_MINOR,
        .bytes = sizeof(boot),
        .mem_bytes = machine->mem_bytes,
        .free = {machine->free[0], machine->free[1]},
        .stack_low = machine->stack.base,
        .stack_top = machine->stack.base + machine->stack.bytes,
        .image = {image->base, image->end - image->base},
        .phdr = image->phdr,
        .phnum = image->phnum,
        .page_root = image->paging ? machine->page_root : 0,
        .strings = strings_address(from),
        .clock = from->clock,
        .xcr0 = from->xcr0,
        .hwcap = from->hwcap,
        .hwcap2 = from->hwcap2,
        .snapshot = from->snapshot,
        .device_bytes = sizeof(struct mf_device),
    };
    int result = put_strings(mem, from->args, &boot, &boot.argc);

    memcpy(boot.seed, from->seed, sizeof(boot.seed));
    if (!result)
        result = put_strings(mem, from->env, &boot, &boot.envc);
    if (!result)
        result = put_strings(mem, from->options, &boot, &boot.optc);
    if (result == -E2BIG)
        return error_set(error, result,
                         "arguments, environment and options are longer "
                         "than %llu bytes",
                         (unsigned long long)MF_STRINGS_BYTES_MAX);
    if (result)
        return result;
    return gmem_write(mem, gpa(MF_BOOT_PAGE), &boot, sizeof(boot));
}

int machine_build(struct machine *machine, const struct image *image,
                  const struct machine_boot *boot, const struct gmem *mem,
                  char *error)
{
    int result = build_system_page(machine, image, mem);

    if (!result)
        result = map_memory(machine, image, mem);
    /* The plan made room for all of this. */
    bug_on(result == -ENOMEM || result == -EFAULT);
    return result ? result : build_boot_page(machine, image, boot, mem, error);
}

int machine_rebuild(struct machine *machine, const struct image *image,
                    const struct gmem *mem)
{
    int result = build_system_page(machine, image, mem);

    machine->page_root = TABLES_LOW;
    machine->has_return_page = !image->paging;
    if (!result && !image->paging)
        result = map_memory(machine, image, mem);
    bug_on(result == -ENOMEM || result == -EFAULT);
    return result;
}

unsigned machine_own_ranges(const struct machine *machine,
                            const struct image *image,
                            struct mf_range ranges[MACHINE_OWN_RANGES])
{
    if (image->paging) {
        ranges[0] = (struct mf_range){SYSTEM_PAGE, PAGE_BYTES};
        return 1;
    }
    ranges[0] = (struct mf_range){SYSTEM_PAGE, MF_BOOT_PAGE - SYSTEM_PAGE};
    ranges[1] = machine->tables;
    return machine->tables.bytes > 0 ? 2 : 1;
}
