/* SPDX-License-Identifier: MIT */
/* Computes, is interrupted by its timer, and checks what that did to it. */
#include <mayfly/upcall.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TIMER   (UINT64_C(1) << MF_EVENT_TIMER)
#define STEP_NS 2000000u

static volatile unsigned upcalls, wanted;
static volatile uint32_t done;

static struct mf_boot *boot(void)
{
    return (struct mf_boot *)MF_BOOT_PAGE;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int fail(const char *what)
{
    printf("failed: %s\n", what);
    return 1;
}

/* Uses floating point, so that it spoils what is not saved. */
static void on_timer(uint64_t events)
{
    volatile double spoiled = (double)events;

    spoiled = spoiled * 3 + 1;
    if (++upcalls < wanted)
        mf_upcall_set_timer(now_ns() + STEP_NS);
    else
        done = 1;
}

/*
 * Fills registers, vector registers and the red zone, spins until `done`, and
 * returns how many of them have changed.
 */
static uint64_t spin_and_check(void)
{
    uint64_t wrong = 0;

    __asm__ volatile("mov $0x1111111111111111, %%r8\n\t"
                     "mov $0x2222222222222222, %%r9\n\t"
                     "mov $0x3333333333333333, %%r12\n\t"
                     "mov $0x4444444444444444, %%r15\n\t"
                     "mov $0x5555555555555555, %%rdi\n\t"
                     "movq %%r8, %%xmm0\n\t"
                     "movq %%r9, %%xmm7\n\t"
                     "movq %%r12, %%xmm15\n\t"
                     "mov %%r15, -8(%%rsp)\n\t"
                     "mov %%rdi, -128(%%rsp)\n\t"
                     "1: cmpl $0, %[done]\n\t"
                     "je 1b\n\t"
                     "movq %%xmm0, %%rax\n\t"
                     "cmp %%r8, %%rax\n\t"
                     "setne %b[wrong]\n\t"
                     "movq %%xmm7, %%rax\n\t"
                     "cmp %%r9, %%rax\n\t"
                     "setne %%al\n\t"
                     "or %%al, %b[wrong]\n\t"
                     "movq %%xmm15, %%rax\n\t"
                     "cmp %%r12, %%rax\n\t"
                     "setne %%al\n\t"
                     "or %%al, %b[wrong]\n\t"
                     "cmp %%r15, -8(%%rsp)\n\t"
                     "setne %%al\n\t"
                     "or %%al, %b[wrong]\n\t"
                     "cmp %%rdi, -128(%%rsp)\n\t"
                     "setne %%al\n\t"
                     "or %%al, %b[wrong]\n\t"
                     "mov $0x1111111111111111, %%rax\n\t"
                     "cmp %%rax, %%r8\n\t"
                     "setne %%al\n\t"
                     "or %%al, %b[wrong]\n\t"
                     "mov $0x4444444444444444, %%rax\n\t"
                     "cmp %%rax, %%r15\n\t"
                     "setne %%al\n\t"
                     "or %%al, %b[wrong]"
                     : [wrong] "+b"(wrong)
                     : [done] "m"(done)
                     : "rax", "rdi", "r8", "r9", "r12", "r15", "xmm0", "xmm7",
                       "xmm15", "cc", "memory");
    return wrong;
}

/* As many upcalls as wanted interrupt a loop, which does not notice. */
static int run_timer(unsigned count)
{
    wanted = count;
    mf_upcall_arm(on_timer, TIMER);
    mf_upcall_set_timer(now_ns() + STEP_NS);
    if (spin_and_check())
        return fail("a register or the red zone has changed");
    if (upcalls != count)
        return fail("too many upcalls");
    printf("%u upcalls\n", upcalls);
    return 0;
}

/* The event comes while masked, and is found by unmasking. */
static int run_masked(void)
{
    bool masked = mf_upcall_mask();

    wanted = 1;
    mf_upcall_arm(on_timer, TIMER);
    mf_upcall_set_timer(now_ns() + STEP_NS);
    while (!(__atomic_load_n(&boot()->events, __ATOMIC_ACQUIRE) & TIMER))
        continue;
    if (upcalls != 0)
        return fail("an upcall although masked");
    mf_upcall_restore(masked);
    if (upcalls != 1)
        return fail("unmasking did not find the event");
    puts("held back and found");
    return 0;
}

/* A sleeping program is woken by its timer and finds the event by itself. */
static int run_waiting(void)
{
    struct timespec nap = {.tv_sec = 0, .tv_nsec = 20000000};

    wanted = 1;
    mf_upcall_arm(on_timer, TIMER);
    mf_upcall_set_timer(now_ns() + STEP_NS);
    nanosleep(&nap, NULL);
    mf_upcall_restore(mf_upcall_mask());
    if (upcalls != 1)
        return fail("the event was lost in a wait");
    puts("found after the wait");
    return 0;
}

/* A timer is set, and no upcall is wanted for it. */
static int run_unasked(void)
{
    uint64_t end = now_ns() + 20 * STEP_NS;

    mf_upcall_set_timer(now_ns() + STEP_NS);
    while (now_ns() < end)
        continue;
    puts("the timer has passed");
    return 0;
}

/* Hostile: raises its event again, unmasks, and never returns. */
static void on_storm(uint64_t events)
{
    upcalls++;
    if (upcalls >= wanted)
        exit(0);
    __atomic_fetch_or(&boot()->events, events, __ATOMIC_RELAXED);
    __atomic_store_n(&boot()->upcall_masked, 0, __ATOMIC_RELAXED);
    for (;;)
        continue;
}

static _Noreturn void run_storm(void)
{
    wanted = 20;
    mf_upcall_arm(on_storm, TIMER);
    mf_upcall_set_timer(1);
    for (;;)
        continue;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "timer";

    if (strcmp(mode, "timer") == 0)
        return run_timer(argc > 2 ? (unsigned)atoi(argv[2]) : 20);
    if (strcmp(mode, "masked") == 0)
        return run_masked();
    if (strcmp(mode, "waiting") == 0)
        return run_waiting();
    if (strcmp(mode, "unasked") == 0)
        return run_unasked();
    if (strcmp(mode, "storm") == 0)
        run_storm();
    return fail("timer, masked, waiting, unasked or storm?");
}
