/* SPDX-License-Identifier: MIT */
/* Memory and faults as Linux has them; runs as a Linux process, too. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 *   memory [PART...]     faults maps moves files model; all without one
 *   memory wild          a fault with a stack pointer that leads nowhere, and a
 *                        handler: ends the program as if there were none
 *   memory little        a fault with an alternate stack that is too small for
 *                        a frame: ends the program, too
 *
 * The exit status is 0 if every line says ok.
 */

volatile int seen_signal, seen_code;
void *volatile seen_address;
sigjmp_buf fault_jump;

static volatile bool expected;
static int failures;

void check_that(bool holds, const char *name, const char *condition)
{
    if (holds) {
        printf("ok   %s\n", name);
        return;
    }
    printf("FAIL %s: %s\n", name, condition);
    failures++;
}

void fault_expect(bool on)
{
    expected = on;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    seen_signal = number;
    seen_code = info->si_code;
    seen_address = info->si_addr;
    if (expected)
        siglongjmp(fault_jump, 1);
    printf("FAIL: signal %d, code %d, address %p\n", number, info->si_code,
           info->si_addr);
    fflush(stdout);
    _Exit(3);
}

bool can_read(const void *at)
{
    return !FAULTS(peek(at));
}

bool can_write(void *at)
{
    return !FAULTS(poke(at, peek(at)));
}

char *map_pages(size_t count, int rights)
{
    char *at =
        mmap(NULL, count * PAGE, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED) {
        perror("mmap");
        _Exit(4);
    }
    return at;
}

bool is_all(const char *at, size_t bytes, char value)
{
    for (size_t i = 0; i < bytes; i++)
        if (at[i] != value)
            return false;
    return true;
}

static void handle_faults(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        sigaction(numbers[i], &action, NULL);
}

static void run_wild(void)
{
    printf("wild\n");
    fflush(stdout);
    __asm__ volatile("mov $8, %%rsp\n movb $0, 0" : : : "memory");
}

static void on_little(int number)
{
    (void)number;
    printf("FAIL: a handler runs on a stack that is too small\n");
    _Exit(3);
}

static void run_little(void)
{
    static char area[4 * PAGE];
    stack_t stack = {.ss_sp = area + 2 * PAGE, .ss_size = MINSIGSTKSZ};
    struct sigaction action = {.sa_handler = on_little, .sa_flags = SA_ONSTACK};

    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    printf("little\n");
    fflush(stdout);
    poke(NULL, 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } parts[] = {
        {"faults", check_faults}, {"maps", check_maps},
        {"moves", check_moves},   {"files", check_files},
        {"model", check_model},   {"wild", run_wild},
        {"little", run_little},
    };

    /* Printing takes memory the first time, and not in a check's way. */
    printf("memory\n");
    fflush(stdout);
    handle_faults();
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        bool wanted =
            argc < 2 && parts[i].run != run_wild && parts[i].run != run_little;

        for (int a = 1; a < argc; a++)
            wanted |= strcmp(argv[a], parts[i].name) == 0;
        if (wanted)
            parts[i].run();
    }
    return failures != 0;
}
