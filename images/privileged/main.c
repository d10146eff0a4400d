/* SPDX-License-Identifier: MIT */
/* Executes the privileged instruction that its argument names. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define CASE(name, text) \
    {                    \
        name, run_##text \
    }

#define INSTRUCTION(name, ...)         \
    static void run_##name(void)       \
    {                                  \
        __asm__ volatile(__VA_ARGS__); \
    }

static const uint64_t table_register[2] = {0xfff, 0};

INSTRUCTION(cli, "cli")
INSTRUCTION(sti, "sti")
INSTRUCTION(hlt, "hlt")
INSTRUCTION(read_cr0, "mov %%cr0, %%rax" : : : "rax")
INSTRUCTION(write_cr0, "mov %0, %%cr0" : : "r"(0x80000011L))
INSTRUCTION(write_cr3, "mov %0, %%cr3" : : "r"(0L))
INSTRUCTION(write_cr4, "mov %0, %%cr4" : : "r"(0L))
INSTRUCTION(write_dr7, "mov %0, %%dr7" : : "r"(0x400L))
INSTRUCTION(rdmsr, "rdmsr" : : "c"(0xc0000080) : "rax", "rdx")
INSTRUCTION(wrmsr, "wrmsr" : : "c"(0xc0000080), "a"(0x501), "d"(0))
INSTRUCTION(lgdt, "lgdt %0" : : "m"(table_register))
INSTRUCTION(lidt, "lidt %0" : : "m"(table_register))
INSTRUCTION(ltr, "ltr %w0" : : "r"(0x40))
INSTRUCTION(invlpg, "invlpg (%0)" : : "r"(0x40000L) : "memory")
INSTRUCTION(wbinvd, "wbinvd")
INSTRUCTION(swapgs, "swapgs")
INSTRUCTION(syscall, "syscall" : : "a"(39) : "rcx", "r11", "memory")
INSTRUCTION(sysenter, "sysenter")
INSTRUCTION(int80, "int $0x80" : : "a"(20) : "memory")
INSTRUCTION(sysret, "sysretq" : : "c"(0x40000L))
/* A far return to the kernel's code segment. */
INSTRUCTION(ring0, "push %0; push $1f; lretq; 1:" : : "r"(0x10L))

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    CASE("cli", cli),
    CASE("sti", sti),
    CASE("hlt", hlt),
    CASE("read-cr0", read_cr0),
    CASE("write-cr0", write_cr0),
    CASE("write-cr3", write_cr3),
    CASE("write-cr4", write_cr4),
    CASE("write-dr7", write_dr7),
    CASE("rdmsr", rdmsr),
    CASE("wrmsr", wrmsr),
    CASE("lgdt", lgdt),
    CASE("lidt", lidt),
    CASE("ltr", ltr),
    CASE("invlpg", invlpg),
    CASE("wbinvd", wbinvd),
    CASE("swapgs", swapgs),
    CASE("syscall", syscall),
    CASE("sysenter", sysenter),
    CASE("int80", int80),
    CASE("sysret", sysret),
    CASE("ring0", ring0),
};

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : "cli";

    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (!strcmp(cases[i].name, wanted)) {
            cases[i].run();
            printf("%s had no effect\n", wanted);
            return 1;
        }
    fprintf(stderr, "privileged: one of:");
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        fprintf(stderr, " %s", cases[i].name);
    fprintf(stderr, "\n");
    return 2;
}
