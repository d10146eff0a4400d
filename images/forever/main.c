/* SPDX-License-Identifier: MIT */
/* Prints a line and sleeps for ever. */
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    printf("waiting\n");
    fflush(stdout);
    for (;;)
        pause();
}
