/* SPDX-License-Identifier: MIT */
/* Greets. */
#include <stdio.h>

int main(void)
{
    printf("Hello from a Mayfly VM.\n");
    return 0;
}
