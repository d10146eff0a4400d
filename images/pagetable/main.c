/* SPDX-License-Identifier: MIT */
/* Looks for a way to read or write its GDT, IDT, TSS or page tables. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <mayfly/note.h>

/*
 * This image handles #GP and #PF itself: probe_load and probe_store return
 * whether an address could be read or written. The handler runs in ring 3 on
 * its fault stack; it moves the interrupted program to probe_fault.
 */
bool probe_load(uint64_t address, uint64_t *value);
bool probe_store(uint64_t address, uint64_t value);
extern const char probe_stubs[];

#define FAULT_GP 13
#define FAULT_PF 14

__asm__(".text\n"
        ".globl probe_load, probe_store, probe_stubs\n"
        "probe_load:\n"
        "    mov (%rdi), %rax\n"
        "    mov %rax, (%rsi)\n"
        "    mov $1, %eax\n"
        "    ret\n"
        "probe_store:\n"
        "    mov %rsi, (%rdi)\n"
        "    mov $1, %eax\n"
        "    ret\n"
        "probe_fault:\n"
        "    xor %eax, %eax\n"
        "    ret\n"
        "probe_recover:\n"
        "    add $8, %rsp\n" /* the error code */
        "    lea probe_fault(%rip), %rax\n"
        "    mov %rax, (%rsp)\n"
        "    iretq\n"
        "    .balign 16\n"
        "probe_stubs:\n"
        "    .rept 32\n"
        "    jmp probe_recover\n"
        "    .balign 16\n"
        "    .endr\n");

MF_NOTE(1u << FAULT_GP | 1u << FAULT_PF, probe_stubs);

#define BOOT ((const struct mf_boot *)MF_BOOT_PAGE)

static int breaches;

static uint64_t memory_end(void)
{
    uint64_t low = MF_RAM_LOW_END;

    return BOOT->mem_bytes <= low ? BOOT->mem_bytes
                                  : MF_RAM_HIGH_BASE + BOOT->mem_bytes - low;
}

/* Part of the address space, as far as an image can know it. */
static const char *name_of(uint64_t page)
{
    if (page < 0x1000)
        return "null page";
    if (page < MF_BOOT_PAGE)
        return "system pages";
    if (page < MF_IMAGE_BASE)
        return "boot area";
    if (page - BOOT->image.base < BOOT->image.bytes)
        return "image";
    if (page - BOOT->stack_low < BOOT->stack_top - BOOT->stack_low)
        return "stack";
    for (int i = 0; i < 2; i++)
        if (page - BOOT->free[i].base < BOOT->free[i].bytes)
            return "free memory";
    return "rest";
}

/*
 * Looks at what a readable page holds. Descriptors and page-table entries that
 * lead back into RAM and are marked present look like little else; a page of
 * nothing but such entries and zeros is one that should not be seen.
 */
static bool looks_like_table(uint64_t page)
{
    unsigned entries = 0, others = 0;

    for (unsigned i = 0; i < 512; i++) {
        uint64_t word;

        if (!probe_load(page + 8 * i, &word))
            return false;
        if (!word)
            continue;
        if ((word & 1) && (word & 0x20) &&
            (word & 0x000ffffffffff000) < memory_end() &&
            !(word & 0x7ff0000000000000))
            entries++;
        else
            others++;
    }
    return entries >= 4 && !others;
}

static void scan_range(uint64_t from, uint64_t to)
{
    uint64_t start = from;
    const char *state = NULL, *name = NULL;

    for (uint64_t page = from; page <= to; page += 4096) {
        const char *now = NULL, *part = NULL;
        uint64_t word;

        if (page < to) {
            bool readable = probe_load(page, &word);
            bool writable =
                readable ? probe_store(page, word) : probe_store(page, 0);

            part = name_of(page);
            now = writable ? "read-write" : readable ? "read-only" : "closed";
            if (page < MF_BOOT_PAGE && (readable || writable)) {
                printf("BREACH: %#llx can be %s\n", (unsigned long long)page,
                       writable ? "written" : "read");
                breaches++;
            }
            if (readable && looks_like_table(page)) {
                printf("BREACH: %#llx (%s) looks like a page table\n",
                       (unsigned long long)page, part);
                breaches++;
            }
        }
        if (now != state || part != name) {
            if (state)
                printf("%#12llx %#12llx %-10s %s\n", (unsigned long long)start,
                       (unsigned long long)page, state, name);
            start = page;
            state = now;
            name = part;
        }
    }
}

int main(void)
{
    uint64_t end = memory_end(), word;

    if (end <= MF_RAM_LOW_END) {
        scan_range(0, end);
    } else {
        scan_range(0, MF_RAM_LOW_END);
        scan_range(MF_RAM_HIGH_BASE, end);
    }
    /* Past the end there is nothing, nor where the APIC would be. */
    if (probe_load(end, &word) || probe_load(0xfee00000, &word) ||
        probe_store(end, 0) || probe_store(0xfee00000, 0)) {
        printf("BREACH: there is something outside of RAM\n");
        breaches++;
    }
    printf("%s\n", breaches ? "the guest can reach its tables" : "all closed");
    return breaches != 0;
}
