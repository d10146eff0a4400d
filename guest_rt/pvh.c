/* SPDX-License-Identifier: MIT */
/* The machine around an image that another than Mayfly has started. */
#include "guest_rt/pvh.h"

#include <elf.h>
#include <mayfly/note.h>

#include "guest_rt/asm.h"

/* By mayfly.ld: what is where, and how far the image lies from it at first. */
extern const char __ehdr_start[], pvh_begin[], pvh_finish[], pvh_offset[];
extern const struct mf_note_elf __mayfly_note;

/* ---- What the loader hands over -------------------------------------- */

/* Xen's public/arch-x86/hvm/start_info.h, version 1. */
#define START_INFO_MAGIC 0x336ec578u
#define MEMORY_RAM       1u

struct start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t command_line;
    uint64_t rsdp;
    uint64_t memory_map;
    uint32_t memory_map_entries;
    uint32_t reserved;
};

struct memory_map_entry {
    uint64_t address;
    uint64_t bytes;
    uint32_t type;
    uint32_t reserved;
};

#define LINE_BYTES 4096u

static char line[LINE_BYTES];

/* Out of the way of the image, which is about to come down on it. */
static void keep_command_line(const struct start_info *info)
{
    const char *from = (const char *)info->command_line;

    for (unsigned i = 0; from && i < LINE_BYTES - 1 && from[i]; i++)
        line[i] = from[i];
}

/* The end of the RAM that this code is in. */
static uint64_t find_memory_end(const struct start_info *info)
{
    const struct memory_map_entry *map =
        (const struct memory_map_entry *)info->memory_map;
    uint64_t here = (uint64_t)pvh_begin;

    for (uint32_t i = 0; i < info->memory_map_entries; i++) {
        uint64_t end = map[i].address + map[i].bytes;

        if (map[i].type == MEMORY_RAM && map[i].address <= here && here < end)
            return end < MF_RAM_LOW_END ? end : MF_RAM_LOW_END;
    }
    pvh_end("no memory map", 125);
}

/* ---- The image ------------------------------------------------------- */

static const Elf64_Phdr *program_headers(void)
{
    const Elf64_Ehdr *elf = (const Elf64_Ehdr *)__ehdr_start;

    return (const Elf64_Phdr *)(__ehdr_start + elf->e_phoff);
}

static unsigned program_header_count(void)
{
    return ((const Elf64_Ehdr *)__ehdr_start)->e_phnum;
}

/* This code's own segment stays where it is. */
static int is_image(const Elf64_Phdr *ph)
{
    return ph->p_type == PT_LOAD && ph->p_vaddr < (uint64_t)pvh_begin;
}

/*
 * Moves the image down to its addresses, lowest first, so that what has been
 * moved never hides what has not. Returns its end.
 */
static uint64_t move_image(void)
{
    uint64_t end = MF_IMAGE_BASE;

    /* What firmware has left below, and the page with the headers. */
    pvh_zero((void *)MF_BOOT_PAGE, MF_IMAGE_BASE - MF_BOOT_PAGE);
    pvh_copy((void *)__ehdr_start, __ehdr_start + (uint64_t)pvh_offset,
             MF_PAGE_BYTES);
    for (unsigned i = 0; i < program_header_count(); i++) {
        const Elf64_Phdr *ph = &program_headers()[i];
        char *to = (char *)ph->p_vaddr;

        if (!is_image(ph))
            continue;
        end = pvh_round_up(ph->p_vaddr + ph->p_memsz, MF_PAGE_BYTES);
        pvh_copy(to, to + (uint64_t)pvh_offset, ph->p_filesz);
        pvh_zero(to + ph->p_filesz, end - ph->p_vaddr - ph->p_filesz);
    }
    return end;
}

/* As vmm/machine.c chooses it. */
static uint64_t stack_bytes(uint64_t mem_bytes)
{
    uint64_t bytes = mem_bytes / 16 & -MF_PAGE_BYTES;

    for (unsigned i = 0; i < program_header_count(); i++)
        if (program_headers()[i].p_type == PT_GNU_STACK &&
            program_headers()[i].p_memsz)
            return pvh_round_up(program_headers()[i].p_memsz, MF_PAGE_BYTES);
    return bytes < 0x10000 ? 0x10000 : bytes > 0x800000 ? 0x800000 : bytes;
}

/* ---- Page tables (Intel SDM volume 3, 4.5) --------------------------- */

#define PTE_PRESENT  0x001ull
#define PTE_WRITE    0x002ull
#define PTE_USER     0x004ull
#define PTE_UNCACHED 0x010ull
#define PTE_LARGE    0x080ull
#define PTE_NX       (1ull << 63)
#define PTE_ADDRESS  0xfffff000ull /* nothing here is above 4 GiB */
#define LARGE_BYTES  0x200000ull

#define DATA (PTE_PRESENT | PTE_USER | PTE_WRITE | PTE_NX)

static uint64_t *root;
static uint64_t tables_next, tables_end;

static uint64_t take_table(void)
{
    uint64_t at = tables_next;

    if (at == tables_end)
        pvh_end("too large an image", 125);
    tables_next += MF_PAGE_BYTES;
    pvh_zero((void *)at, MF_PAGE_BYTES);
    return at;
}

static uint64_t *next_table(uint64_t *entry)
{
    if (!*entry)
        *entry = take_table() | PTE_PRESENT | PTE_USER | PTE_WRITE;
    return (uint64_t *)(*entry & PTE_ADDRESS);
}

/* Maps pages one to one, in large ones where a range has them whole. */
static void map(uint64_t from, uint64_t to, uint64_t flags)
{
    while (from < to) {
        uint64_t *directories = next_table(&root[from >> 39 & 511]);
        uint64_t *directory = next_table(&directories[from >> 30 & 511]);
        uint64_t *entry = &directory[from >> 21 & 511];

        if (!*entry && !(from & (LARGE_BYTES - 1)) &&
            to - from >= LARGE_BYTES) {
            *entry = from | flags | PTE_LARGE;
            from += LARGE_BYTES;
            continue;
        }
        next_table(entry)[from >> 12 & 511] = from | flags;
        from += MF_PAGE_BYTES;
    }
}

static void map_image(void)
{
    for (unsigned i = 0; i < program_header_count(); i++) {
        const Elf64_Phdr *ph = &program_headers()[i];

        if (is_image(ph))
            map(ph->p_vaddr & -MF_PAGE_BYTES,
                pvh_round_up(ph->p_vaddr + ph->p_memsz, MF_PAGE_BYTES),
                PTE_PRESENT | PTE_USER | (ph->p_flags & PF_X ? 0 : PTE_NX) |
                    (ph->p_flags & PF_W ? PTE_WRITE : 0));
    }
}

static void map_memory(struct mf_boot *boot)
{
    root = (uint64_t *)take_table();
    if (__mayfly_note.note.flags & MF_NOTE_PAGING) {
        boot->page_root = (uint64_t)root;
        map(boot->mem_bytes, tables_end, DATA);
    }
    map(MF_BOOT_PAGE, MF_IMAGE_BASE, DATA);
    map_image();
    map((uint64_t)pvh_begin, (uint64_t)pvh_finish, PTE_PRESENT | PTE_WRITE);
    map(boot->stack_low, boot->mem_bytes, DATA);
    for (uint32_t i = 0; i < boot->device_count; i++) {
        uint64_t at = boot->devices[i].registers & -MF_PAGE_BYTES;

        map(at, at + MF_PAGE_BYTES, DATA | PTE_UNCACHED);
    }
}

/* ---- Descriptor tables (Intel SDM volume 3, 6.14, 7.7) --------------- */

#define GATE_INTERRUPT      0x8eull /* present, for the processor alone */
#define GATE_INTERRUPT_DPL3 0xeeull
#define GATE_TRAP_DPL3      0xefull
#define TSS_AVAILABLE       0x89ull

#define VECTOR_BP 3
#define VECTOR_UD 6
#define VECTOR_DF 8
#define VECTOR_GP 13
#define VECTOR_PF 14

#define TRAP_STACK                                             \
    4 /* of the interrupt stack table, behind the fault stacks \
       */

/* No bitmap of ports follows: ring 3 has none. */
static struct {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_bitmap;
} __attribute__((packed)) tss = {.io_bitmap = sizeof(tss)};

uint64_t pvh_idt[ASM_FAULT_VECTORS][2];

static void set_gate(unsigned vector, uint64_t handler, uint64_t selector,
                     uint64_t stack, uint64_t kind)
{
    pvh_idt[vector][0] = (handler & 0xffff) | selector << 16 | stack << 32 |
                         kind << 40 | (handler >> 16 & 0xffff) << 48;
    pvh_idt[vector][1] = handler >> 32;
}

/* What the stubs' iretq pops: the image's handler, in ring 3. */
uint64_t pvh_stub_frames[3][5];

static void set_stub(unsigned number, unsigned vector, const char *stub,
                     unsigned stack, unsigned pushed)
{
    const struct mf_note note = __mayfly_note.note;
    uint64_t *frame = pvh_stub_frames[number];

    if (!(note.fault_vectors >> vector & 1))
        return;
    frame[0] = note.fault_entry + vector * MF_FAULT_STRIDE;
    frame[1] = ASM_PVH_USER_CS;
    frame[2] = 0x202;
    frame[3] = tss.ist[stack - 1] - 8 * pushed;
    frame[4] = ASM_PVH_USER_DS;
    set_gate(vector, (uint64_t)stub, ASM_PVH_KERNEL_CS, stack,
             GATE_INTERRUPT_DPL3);
}

/* Exceptions by way of ring 0, for images that ask (abi.h). */
static void set_stubs(void)
{
    const uint64_t flags = __mayfly_note.note.flags;

    if (flags & MF_NOTE_FAULT_ADDRESS)
        set_stub(0, VECTOR_PF, pvh_fault_stub, 2, 6);
    if (flags & MF_NOTE_PAGING) {
        set_stub(1, VECTOR_BP, pvh_flush_page_stub, 3, 5);
        set_stub(2, VECTOR_UD, pvh_flush_all_stub, 3, 5);
    }
}

static void build_tables(void)
{
    const struct mf_note note = __mayfly_note.note;
    uint64_t at = (uint64_t)&tss;

    for (unsigned i = 0; i < MF_FAULT_STACK_COUNT; i++)
        tss.ist[i] = MF_FAULT_STACKS + (i + 1) * MF_PAGE_BYTES;
    tss.ist[TRAP_STACK - 1] = (uint64_t)pvh_trap_stack_end;
    pvh_gdt[ASM_PVH_TSS / 8] = (sizeof(tss) - 1) | (at & 0xffffff) << 16 |
                               TSS_AVAILABLE << 40 | (at >> 24 & 0xff) << 56;
    pvh_gdt[ASM_PVH_TSS / 8 + 1] = at >> 32;

    for (unsigned i = 0; i < MF_FAULT_VECTORS; i++)
        if (note.fault_vectors >> i & 1)
            set_gate(i, note.fault_entry + i * MF_FAULT_STRIDE, ASM_PVH_USER_CS,
                     i == VECTOR_DF   ? 1
                     : i == VECTOR_PF ? 2
                                      : 3,
                     GATE_TRAP_DPL3);
    set_gate(VECTOR_GP, (uint64_t)pvh_trap_entry, ASM_PVH_KERNEL_CS, TRAP_STACK,
             GATE_INTERRUPT);
    set_stubs();
}

/* ---- The processor --------------------------------------------------- */

#define CR4_FSGSBASE     (1u << 16)
#define CR4_OSXSAVE      (1u << 18)
#define XCR0_X87_SSE_AVX 7u

#define HWCAP2_FSGSBASE 2u

struct cpuid {
    uint32_t a, b, c, d;
};

static struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid out;

    __asm__("cpuid"
            : "=a"(out.a), "=b"(out.b), "=c"(out.c), "=d"(out.d)
            : "a"(leaf), "c"(subleaf));
    return out;
}

/* Switches on what Mayfly's guests have, and says so. */
static void prepare_processor(struct mf_boot *boot)
{
    struct cpuid basic = cpuid(1, 0);
    uint64_t cr4;

    if (!(cpuid(7, 0).b & 1))
        pvh_end("the processor has no FSGSBASE", 125);
    __asm__("mov %%cr4, %0" : "=r"(cr4));
    cr4 |= CR4_FSGSBASE;
    if (basic.c >> 26 & 1)
        cr4 |= CR4_OSXSAVE;
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
    if (cr4 & CR4_OSXSAVE) {
        boot->xcr0 = cpuid(13, 0).a & XCR0_X87_SSE_AVX;
        __asm__ volatile("xsetbv"
                         :
                         : "a"((uint32_t)boot->xcr0), "d"(0), "c"(0));
    }
    boot->hwcap = basic.d;
    boot->hwcap2 = HWCAP2_FSGSBASE;
}

/*
 * From the processor's generator where it has one. Otherwise the numbers are
 * only different each time: this is no machine for secrets.
 */
static void fill_seed(struct mf_boot *boot)
{
    uint64_t word = 0;

    for (unsigned i = 0; i < sizeof(boot->seed); i += sizeof(word)) {
        if (cpuid(1, 0).c >> 30 & 1)
            __asm__ volatile("rdrand %0" : "=r"(word) : : "cc");
        else
            word = (word ^ __builtin_ia32_rdtsc()) * 0x9e3779b97f4a7c15;
        pvh_copy(boot->seed + i, &word, sizeof(word));
    }
}

/* ---- In order -------------------------------------------------------- */

/*
 * The guest's memory is zero, as fresh memory is, but for what firmware has
 * used: it works in the lowest and highest megabytes. Clearing all would touch
 * all of a large machine.
 */
#define FIRMWARE_BYTES (16ull << 20)

static void clear_memory(uint64_t from, uint64_t to)
{
    uint64_t low_end = from + FIRMWARE_BYTES;
    uint64_t high = to > FIRMWARE_BYTES ? to - FIRMWARE_BYTES : 0;

    if (low_end >= high)
        low_end = high = to;
    pvh_zero((void *)from, low_end - from);
    pvh_zero((void *)high, to - high);
}

static void lay_out(struct mf_boot *boot, uint64_t image_end)
{
    uint64_t after = (uint64_t)pvh_finish + MF_PAGE_BYTES; /* a guard */
    uint64_t bytes = stack_bytes(boot->mem_bytes);

    if (after + bytes + LARGE_BYTES > boot->mem_bytes)
        pvh_end("too little memory", 125);
    boot->stack_low = after;
    boot->stack_top = after + bytes;
    boot->free[0].base = boot->stack_top;
    boot->free[0].bytes = boot->mem_bytes - boot->stack_top;
    boot->image.base = MF_IMAGE_BASE;
    boot->image.bytes = image_end - MF_IMAGE_BASE;
    boot->phdr = (uint64_t)program_headers();
    boot->phnum = program_header_count();
    clear_memory(boot->stack_low, boot->mem_bytes);
}

_Noreturn void pvh_start(uint64_t at)
{
    const struct start_info *info = (const struct start_info *)at;
    struct mf_boot *boot = (struct mf_boot *)MF_BOOT_PAGE;

    if (info->magic != START_INFO_MAGIC || info->version < 1)
        pvh_end("not a PVH boot", 125);
    keep_command_line(info);
    tables_end = find_memory_end(info) & -LARGE_BYTES;
    tables_next = tables_end - LARGE_BYTES;

    /* From here on nothing of the loader's is there any more. */
    uint64_t image_end = move_image();
    boot->magic = MF_BOOT_MAGIC;
    boot->abi_major = MF_ABI_MAJOR;
    boot->abi_minor = MF_ABI_MINOR;
    boot->bytes = sizeof(*boot);
    boot->mem_bytes = tables_next;
    lay_out(boot, image_end);
    prepare_processor(boot);
    fill_seed(boot);
    pvh_read_command_line(line, boot);
    pvh_start_clock(&boot->clock);
    build_tables();
    map_memory(boot);
    pvh_enter(((const Elf64_Ehdr *)__ehdr_start)->e_entry, boot->stack_top,
              (uint64_t)root);
}

#define BOOT(field) (MF_BOOT_PAGE + offsetof(struct mf_boot, field))

_Static_assert(ASM_BOOT_PAGE == MF_BOOT_PAGE, "asm.h");
_Static_assert(ASM_BOOT_FAULT_ADDRESS == BOOT(fault_address), "asm.h");
_Static_assert(ASM_BOOT_FAULT_RAX == BOOT(fault_rax), "asm.h");
_Static_assert(ASM_BOOT_FLUSH_RAX == BOOT(flush_rax), "asm.h");
