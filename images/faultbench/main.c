/* SPDX-License-Identifier: MIT */
/* What faults and protections cost, as Appel and Li measured them. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/*
 *   faultbench [ROUNDS]
 *
 * After A. Appel and K. Li, Virtual Memory Primitives for User Programs (1991):
 *
 *   trap    a fault whose handler returns with the page accessible
 *   prot1   for one page at a time: protect it, fault, unprotect it in the
 *           handler
 *   protN   protect 100 pages with one call, then fault on each of them and
 *           unprotect it
 *   unprot  the same as protN without the protecting
 *
 * One line each: NAME ns=MEDIAN rounds=ROUNDS, for one page. Also runs as a
 * Linux process.
 */

#define PAGE  4096
#define PAGES 100

static char *memory;
static unsigned long faults;

static unsigned long now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (unsigned long)time.tv_sec * 1000000000 +
           (unsigned long)time.tv_nsec;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    faults++;
    if (mprotect((char *)((unsigned long)info->si_addr & -PAGE), PAGE,
                 PROT_READ | PROT_WRITE))
        _Exit(1);
}

static void touch(int page)
{
    ((volatile char *)memory)[page * PAGE]++;
}

static void protect(int page, int count)
{
    if (mprotect(memory + page * PAGE, (size_t)count * PAGE, PROT_READ))
        _Exit(1);
}

static unsigned long prot_1(void)
{
    unsigned long start = now_ns();

    for (int i = 0; i < PAGES; i++) {
        protect(i, 1);
        touch(i);
    }
    return now_ns() - start;
}

static unsigned long prot_n(void)
{
    unsigned long start = now_ns();

    protect(0, PAGES);
    for (int i = 0; i < PAGES; i++)
        touch(i);
    return now_ns() - start;
}

static unsigned long trap(void)
{
    unsigned long start;

    protect(0, PAGES);
    start = now_ns();
    for (int i = 0; i < PAGES; i++)
        touch(i);
    return now_ns() - start;
}

static unsigned long protect_1(void)
{
    unsigned long start = now_ns(), end;

    for (int i = 0; i < PAGES; i++)
        protect(i, 1);
    end = now_ns();
    mprotect(memory, PAGES * PAGE, PROT_READ | PROT_WRITE);
    return end - start;
}

static unsigned long protect_n(void)
{
    unsigned long start = now_ns(), end;

    protect(0, PAGES);
    end = now_ns();
    mprotect(memory, PAGES * PAGE, PROT_READ | PROT_WRITE);
    return end - start;
}

static int compare(const void *a, const void *b)
{
    unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

    return (x > y) - (x < y);
}

static void measure(const char *name, unsigned long (*run)(void), int rounds)
{
    unsigned long *all = malloc((size_t)rounds * sizeof(*all));

    if (!all)
        _Exit(2);
    for (int i = 0; i < rounds; i++)
        all[i] = run() / PAGES;
    qsort(all, (size_t)rounds, sizeof(*all), compare);
    printf("%-9s ns=%lu rounds=%d\n", name, all[rounds / 2], rounds);
    free(all);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 100;
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO};

    memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (rounds < 1 || memory == MAP_FAILED || sigaction(SIGSEGV, &action, NULL))
        return 2;
    memset(memory, 1, PAGES * PAGE);
    measure("trap", trap, rounds);
    measure("prot1", prot_1, rounds);
    measure("protN", prot_n, rounds);
    measure("protect1", protect_1, rounds);
    measure("protectN", protect_n, rounds);
    printf("faults=%lu\n", faults);
    return faults != 3ul * PAGES * (unsigned long)rounds;
}
