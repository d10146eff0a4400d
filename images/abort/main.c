/* SPDX-License-Identifier: MIT */
/* Calls abort() a few frames deep. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void give_up(const char *why)
{
    printf("giving up: %s\n", why);
    fflush(stdout);
    abort();
}

__attribute__((noinline)) static int work(int step)
{
    if (step == 3)
        give_up("step 3");
    return step + 1;
}

int main(void)
{
    int step = 0;

    while (step < 10)
        step = work(step);
    return 0;
}
