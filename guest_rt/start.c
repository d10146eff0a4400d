/* SPDX-License-Identifier: MIT */
/* From the boot page to main. */
#include <alloca.h>
#include <elf.h>
#include <string.h>

#include "guest_rt/asm.h"
#include "guest_rt/fault.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"

/*
 * This runs before musl has set up a thread pointer: no errno, no stack
 * protector (guest_rt/build-rt turns it off).
 */

/* musl's own start, of which it has no public declaration. */
int __libc_start_main(int (*start)(int, char **, char **), int argc,
                      char **argv, void (*init)(void), void (*fini)(void),
                      void (*ldso)(void));
int main(int argc, char **argv, char **envp);

/* Shells say this of a program that cannot be executed. */
#define EXIT_CANNOT_EXECUTE 126

/* Entries of the auxiliary vector, its end included. */
#define AUX_COUNT 16

struct aux {
    uint64_t type;
    uint64_t value;
};

_Noreturn void mf_exit(int status)
{
    if (mf_before_exit_network)
        mf_before_exit_network();
    if (mf_before_exit_streams)
        mf_before_exit_streams();
    if (mf_before_exit)
        mf_before_exit();
    for (;;)
        mf_hypercall(MF_HC_EXIT, (unsigned)status & 0xff, 0);
}

static uint64_t read_tsc(void)
{
    return __builtin_ia32_rdtsc();
}

static int run_main(int argc, char **argv, char **envp)
{
    mf_boot_page()->stamps[MF_STAMP_MAIN] = read_tsc();
    return main(argc, argv, envp);
}

/* Points count entries at strings that follow each other; returns the next. */
static char *point_at_strings(char **vector, uint32_t count, char *string)
{
    for (uint32_t i = 0; i < count; i++) {
        vector[i] = string;
        string += strlen(string) + 1;
    }
    vector[count] = NULL;
    return string;
}

static void fill_aux(struct aux *aux, const struct mf_boot *boot,
                     const uint8_t *random, const char *name)
{
    const struct aux filled[AUX_COUNT] = {
        {AT_PHDR, boot->phdr},
        {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PHNUM, boot->phnum},
        {AT_PAGESZ, MF_PAGE_BYTES},
        {AT_HWCAP, boot->hwcap},
        {AT_HWCAP2, boot->hwcap2},
        {AT_CLKTCK, 100},
        {AT_UID, 0},
        {AT_EUID, 0},
        {AT_GID, 0},
        {AT_EGID, 0},
        {AT_SECURE, 0},
        {AT_RANDOM, (uint64_t)random},
        {AT_EXECFN, (uint64_t)name},
        {AT_MINSIGSTKSZ, FAULT_HANDLER_BYTES},
        {AT_NULL, 0},
    };

    memcpy(aux, filled, sizeof(filled));
}

_Noreturn void mf_start(const void *page, uint64_t tsc)
{
    struct mf_boot *boot = mf_boot_page();
    uint32_t argc = boot->argc, envc = boot->envc;
    uint8_t random[16];
    size_t pointers = (size_t)argc + 1 + envc + 1;
    char **argv, **envp, *string;

    if (page != boot || boot->magic != MF_BOOT_MAGIC ||
        boot->abi_major != MF_ABI_MAJOR)
        mf_exit(EXIT_CANNOT_EXECUTE);
    boot->stamps[MF_STAMP_START] = tsc;

    /* As Linux lays it out: argv, envp and the auxiliary vector in a row. */
    argv = alloca(pointers * sizeof(*argv) + AUX_COUNT * sizeof(struct aux));
    envp = argv + argc + 1;
    string = point_at_strings(argv, argc, (char *)boot->strings);
    point_at_strings(envp, envc, string);
    mf_random_fill(random, sizeof(random));
    fill_aux((struct aux *)(argv + pointers), boot, random,
             argc ? argv[0] : "");

    __libc_start_main(run_main, (int)argc, argv, NULL, NULL, NULL);
    __builtin_unreachable();
}

_Static_assert(ASM_HYPERCALL_PORT == MF_HYPERCALL_PORT, "asm.h");
_Static_assert(ASM_HC_CRASH == MF_HC_CRASH, "asm.h");
_Static_assert(ASM_CRASH_FAULT == MF_CRASH_FAULT, "asm.h");
_Static_assert(ASM_CRASH_ABORT == MF_CRASH_ABORT, "asm.h");
_Static_assert(ASM_CRASH_BYTES == sizeof(struct mf_crash), "asm.h");
_Static_assert(ASM_CRASH_KIND == offsetof(struct mf_crash, kind), "asm.h");
_Static_assert(ASM_CRASH_VECTOR == offsetof(struct mf_crash, vector), "asm.h");
_Static_assert(ASM_CRASH_ERROR == offsetof(struct mf_crash, error), "asm.h");
_Static_assert(ASM_CRASH_REGS == offsetof(struct mf_crash, regs), "asm.h");
_Static_assert(ASM_CRASH_RIP == offsetof(struct mf_crash, rip), "asm.h");
_Static_assert(ASM_CRASH_RFLAGS == offsetof(struct mf_crash, rflags), "asm.h");
_Static_assert(ASM_CRASH_FAULT == 0 && ASM_CRASH_ABORT == 1, "fault.S");
_Static_assert(ASM_FRAME_BYTES == sizeof(struct fault_frame), "asm.h");
_Static_assert(ASM_FRAME_REG(1) == offsetof(struct fault_frame, regs[1]),
               "asm.h");
_Static_assert(ASM_FRAME_ADDRESS == offsetof(struct fault_frame, address),
               "asm.h");
_Static_assert(ASM_FRAME_VECTOR == offsetof(struct fault_frame, vector),
               "asm.h");
_Static_assert(ASM_FRAME_ERROR == offsetof(struct fault_frame, error), "asm.h");
_Static_assert(ASM_FRAME_RIP == offsetof(struct fault_frame, rip), "asm.h");
_Static_assert(ASM_FRAME_CS == offsetof(struct fault_frame, cs), "asm.h");
_Static_assert(ASM_FRAME_RFLAGS == offsetof(struct fault_frame, rflags),
               "asm.h");
_Static_assert(ASM_FRAME_RSP == offsetof(struct fault_frame, rsp), "asm.h");
_Static_assert(ASM_FRAME_SS == offsetof(struct fault_frame, ss), "asm.h");
_Static_assert(ASM_RAX == MF_RAX && ASM_RBX == MF_RBX && ASM_RCX == MF_RCX &&
                   ASM_RDX == MF_RDX && ASM_RSI == MF_RSI &&
                   ASM_RDI == MF_RDI && ASM_RBP == MF_RBP && ASM_RSP == MF_RSP,
               "asm.h");
_Static_assert(ASM_FAULT_VECTORS == MF_FAULT_VECTORS, "asm.h");
_Static_assert(ASM_FAULT_STRIDE == MF_FAULT_STRIDE, "asm.h");
