/* SPDX-License-Identifier: MIT */
/* Checks x87, SSE and AVX arithmetic, also across a hypercall. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

typedef double vector4 __attribute__((vector_size(32)));

static int failures;

static void check(const char *what, bool right)
{
    printf("%-4s %s\n", right ? "ok" : "BAD", what);
    failures += !right;
}

/* Goes to the monitor and comes back. */
static void leave_and_return(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static bool close_to(double a, double b)
{
    return fabs(a - b) < 1e-12;
}

static void check_x87(void)
{
    volatile long double third = 1.0L / 3, sum = 0;

    for (int i = 0; i < 3; i++)
        sum += third;
    check("x87 long double", sum == 1.0L && third != (double)third);
    /* Held in a register across the exit. */
    long double root = sqrtl(2.0L);
    __asm__ volatile("" : "+t"(root));
    leave_and_return();
    check("x87 across an exit", fabsl(root * root - 2) < 1e-18L);
}

static void check_sse(void)
{
    volatile double angle = 0.5, root;

    check("SSE2 and libm",
          close_to(sin(angle) * sin(angle) + cos(angle) * cos(angle), 1));
    root = sqrt(angle + 1.5);
    leave_and_return();
    check("SSE2 across an exit", close_to(root * root, 2));
    check("infinity and NaN", isinf(angle / (angle - 0.5)) && isnan(NAN));
}

#ifdef __mayfly__
#include <mayfly/abi.h>

static bool has_avx(void)
{
    const struct mf_boot *boot = (const struct mf_boot *)MF_BOOT_PAGE;

    /* XCR0: SSE and AVX state */
    return (boot->xcr0 & 6) == 6;
}
#else
static bool has_avx(void)
{
    return __builtin_cpu_supports("avx");
}
#endif

__attribute__((target("avx"), noinline)) static void check_avx(void)
{
    volatile vector4 in = {1, 2, 3, 4};
    vector4 a = in, b = a * a + a;

    check("AVX", b[0] == 2 && b[1] == 6 && b[2] == 12 && b[3] == 20);
    /* Exit with all of ymm7 in use; out preserves it. */
    __asm__ volatile("vmovapd %0, %%ymm7" : : "m"(b) : "xmm7");
#ifdef __mayfly__
    __asm__ volatile("out %%al, %1"
                     :
                     : "a"(MF_HC_KICK), "N"(MF_HYPERCALL_PORT), "D"(0L), "S"(0L)
                     : "memory");
#endif
    __asm__ volatile("vmovapd %%ymm7, %0" : "=m"(a) : : "xmm7");
    check("AVX across an exit", a[0] == 2 && a[3] == 20);
}

int main(void)
{
    check_x87();
    check_sse();
    if (has_avx())
        check_avx();
    else
        printf("none AVX\n");
    return failures != 0;
}
