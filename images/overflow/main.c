/* SPDX-License-Identifier: MIT */
/* Overflows its stack. */
#include <stdio.h>

#pragma GCC diagnostic ignored "-Winfinite-recursion"

__attribute__((noinline)) static int descend(int depth)
{
    volatile char frame[512];

    frame[0] = (char)depth;
    return descend(depth + 1) + frame[0];
}

int main(void)
{
    printf("%d\n", descend(0));
    return 0;
}
