/* SPDX-License-Identifier: MIT */
/* Faults as signals. */
#define _GNU_SOURCE
#include "check.h"

#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>

/* ---- What a handler is told --------------------------------------------- */

static void check_addresses(void)
{
    char *at = map_pages(4, PROT_READ | PROT_WRITE);

    CHECK("a null pointer", FAULTS(peek((void *)8)) && seen_signal == SIGSEGV &&
                                seen_address == (void *)8);
    CHECK("is not mapped", seen_code == SEGV_MAPERR);
    mprotect(at + PAGE, PAGE, PROT_READ);
    mprotect(at + 2 * PAGE, PAGE, PROT_NONE);
    CHECK("a read-only page can be read", can_read(at + PAGE + 5));
    CHECK("and not written", FAULTS(poke(at + PAGE + 5, 1)) &&
                                 seen_address == at + PAGE + 5 &&
                                 seen_code == SEGV_ACCERR);
    CHECK("a page without rights", FAULTS(peek(at + 2 * PAGE + 7)) &&
                                       seen_address == at + 2 * PAGE + 7 &&
                                       seen_code == SEGV_ACCERR);
    CHECK("its neighbours", can_write(at) && can_write(at + 3 * PAGE));
    munmap(at, 4 * PAGE);
    CHECK("unmapped memory", FAULTS(peek(at + 1)) && seen_address == at + 1 &&
                                 seen_code == SEGV_MAPERR);
}

static unsigned stack_segment(void)
{
    unsigned selector;

    __asm__ volatile("mov %%ss, %0" : "=r"(selector));
    return selector;
}

static void check_other_exceptions(void)
{
    const unsigned segment = stack_segment();

    CHECK("a division by zero",
          FAULTS(__asm__ volatile("xor %%eax, %%eax; idiv %%eax"
                                  :
                                  :
                                  : "rax", "rdx")) &&
              seen_signal == SIGFPE && seen_code == FPE_INTDIV);
    /* A later fault could not be returned from. */
    CHECK("leaves the segment of stacks as it was", stack_segment() == segment);
    CHECK("an illegal instruction",
          FAULTS(__asm__ volatile("ud2")) && seen_signal == SIGILL);
    CHECK("a breakpoint",
          FAULTS(__asm__ volatile("int3")) && seen_signal == SIGTRAP);
    CHECK("a privileged instruction",
          FAULTS(__asm__ volatile("hlt")) && seen_signal == SIGSEGV);
}

/* ---- Repairing ---------------------------------------------------------- */

static volatile unsigned repaired;

static void repair(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    repaired++;
    /* Vector and x87 registers belong to the interrupted code. */
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0; movaps %%xmm0, %%xmm7; fldpi"
                     :
                     :
                     : "xmm0", "xmm7");
    mprotect((void *)((uintptr_t)info->si_addr & -PAGE), PAGE,
             PROT_READ | PROT_WRITE);
}

static struct sigaction set_handler(void (*handler)(int, siginfo_t *, void *),
                                    int flags)
{
    struct sigaction action = {.sa_sigaction = handler,
                               .sa_flags = SA_SIGINFO | flags},
                     old;

    sigaction(SIGSEGV, &action, &old);
    return old;
}

/* Faults with every register in use; returns whether all are as they were. */
static bool registers_survive(char *at)
{
    uint64_t words[2] = {0x0123456789abcdef, 0xfedcba9876543210}, after[2];
    uint64_t sum;

    __asm__ volatile("movups %2, %%xmm7\n"
                     "mov $1, %%eax; mov $2, %%ecx; mov $3, %%edx\n"
                     "mov $4, %%esi; mov $5, %%r8d; mov $6, %%r9d\n"
                     "mov $7, %%r10d; mov $8, %%r11d; mov $9, %%r12d\n"
                     "mov $10, %%r13d; mov $11, %%r14d; mov $12, %%r15d\n"
                     "stc\n"
                     "movb $1, (%%rdi)\n"
                     "adc $100, %%eax\n"
                     "add %%ecx, %%eax; add %%edx, %%eax; add %%esi, %%eax\n"
                     "add %%r8d, %%eax; add %%r9d, %%eax; add %%r10d, %%eax\n"
                     "add %%r11d, %%eax; add %%r12d, %%eax\n"
                     "add %%r13d, %%eax; add %%r14d, %%eax\n"
                     "add %%r15d, %%eax\n"
                     "movups %%xmm7, %1\n"
                     : "=&a"(sum), "=m"(after)
                     : "m"(words), "D"(at)
                     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12",
                       "r13", "r14", "r15", "xmm7", "memory", "cc");
    return sum == 78 + 101 && after[0] == words[0] && after[1] == words[1];
}

static void check_repairs(void)
{
    const unsigned count = 64;
    char *at = map_pages(count, PROT_READ | PROT_WRITE);
    struct sigaction old = set_handler(repair, 0);
    unsigned wrong = 0;

    mprotect(at, count * PAGE, PROT_NONE);
    repaired = 0;
    for (unsigned i = 0; i < count; i++)
        wrong += !registers_survive(at + i * PAGE);
    CHECK("every fault is repaired once", repaired == count);
    CHECK("all registers survive it", wrong == 0);
    sigaction(SIGSEGV, &old, NULL);
    munmap(at, count * PAGE);
}

/* The handler moves the program on, past an instruction of three bytes. */
static void skip(int number, siginfo_t *info, void *context)
{
    ucontext_t *interrupted = context;

    (void)number;
    (void)info;
    interrupted->uc_mcontext.gregs[REG_RIP] += 3;
    interrupted->uc_mcontext.gregs[REG_RAX] = 42;
}

static void check_contexts(void)
{
    struct sigaction old = set_handler(skip, 0);
    long value;

    __asm__ volatile("mov (%1), %0" : "=a"(value) : "D"(0L));
    CHECK("a handler changes registers", value == 42);
    sigaction(SIGSEGV, &old, NULL);
}

/* ---- Stacks ------------------------------------------------------------- */

static char alternate[64 * 1024];

#pragma GCC diagnostic ignored "-Winfinite-recursion"

__attribute__((noinline)) static int descend(int depth)
{
    volatile char frame[512];

    frame[0] = (char)depth;
    return descend(depth + 1) + frame[0];
}

static void jump(int number, siginfo_t *info, void *context)
{
    char here;

    (void)info;
    (void)context;
    seen_signal = &here >= alternate && &here < alternate + sizeof(alternate)
                      ? number
                      : 0;
    siglongjmp(fault_jump, 1);
}

static void check_overflow(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
    struct sigaction old = set_handler(jump, SA_ONSTACK);

    sigaltstack(&stack, NULL);
    CHECK("a stack overflow, on the other stack",
          FAULTS(descend(0)) && seen_signal == SIGSEGV);
    CHECK("and once more", FAULTS(descend(0)) && seen_signal == SIGSEGV);
    sigaction(SIGSEGV, &old, NULL);
}

/* The least stack, as the auxiliary vector tells it, is enough. */
static void check_least(void)
{
    size_t least = getauxval(AT_MINSIGSTKSZ), own = 1024;
    stack_t stack = {.ss_size = (least ? least : MINSIGSTKSZ) + own};
    struct sigaction old = set_handler(jump, SA_ONSTACK);
    stack_t before;

    stack.ss_sp = alternate + sizeof(alternate) - stack.ss_size;
    memset(alternate, 'x', sizeof(alternate));
    sigaltstack(&stack, &before);
    CHECK("a fault with the least stack",
          FAULTS(poke(NULL, 1)) && seen_signal == SIGSEGV);
    CHECK("below which nothing is written",
          is_all(alternate, sizeof(alternate) - stack.ss_size, 'x'));
    sigaltstack(&before, NULL);
    sigaction(SIGSEGV, &old, NULL);
}

/* A handler that faults, in another signal's handler. */
static char *nested_page;

static void nest(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    repaired++;
    poke(nested_page, 1);
}

static void check_nesting(void)
{
    struct sigaction action = {.sa_sigaction = nest, .sa_flags = SA_SIGINFO},
                     old_ill;
    struct sigaction old = set_handler(repair, 0);

    sigaction(SIGTRAP, &action, &old_ill);
    nested_page = map_pages(1, PROT_NONE);
    repaired = 0;
    __asm__ volatile("int3");
    CHECK("a fault in a handler", repaired == 2 && peek(nested_page) == 1);
    sigaction(SIGTRAP, &old_ill, NULL);
    sigaction(SIGSEGV, &old, NULL);
}

/* ---- Code --------------------------------------------------------------- */

static void check_code(void)
{
    static const unsigned char code[] = {0xb8, 42, 0,
                                         0,    0,  0xc3}; /* mov; ret */
    char *at = map_pages(2, PROT_READ | PROT_WRITE);
    int (*call)(void) = (int (*)(void))(uintptr_t)(at + PAGE);

    memcpy(at + PAGE, code, sizeof(code));
    CHECK("data is no code", FAULTS(call()) && seen_signal == SIGSEGV &&
                                 seen_address == at + PAGE);
    CHECK("written code becomes executable",
          mprotect(at + PAGE, PAGE, PROT_READ | PROT_EXEC) == 0 &&
              call() == 42);
    CHECK("and is not writable then", !can_write(at + PAGE));
    mprotect(at + PAGE, PAGE, PROT_READ | PROT_WRITE);
    at[PAGE + 1] = 43;
    CHECK("nor executable while it is", FAULTS(call()));
    mprotect(at + PAGE, PAGE, PROT_READ | PROT_EXEC);
    CHECK("new code runs", call() == 43);
    munmap(at, 2 * PAGE);
}

static char in_image[2 * PAGE] __attribute__((aligned(4096)));

static void check_image(void)
{
    static const char constant[] = "constant";

    CHECK("constants are read-only", !can_write((void *)(uintptr_t)constant));
    CHECK("code is read-only", !can_write((void *)(uintptr_t)check_image));
    mprotect(in_image, PAGE, PROT_READ);
    CHECK("a variable's page",
          !can_write(in_image + 9) && can_write(in_image + PAGE));
    mprotect(in_image, PAGE, PROT_READ | PROT_WRITE);
    CHECK("is writable again", can_write(in_image + 9));
}

void check_faults(void)
{
    check_addresses();
    check_other_exceptions();
    check_repairs();
    check_contexts();
    check_overflow();
    check_least();
    check_nesting();
    check_code();
    check_image();
}
