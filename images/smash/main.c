/* SPDX-License-Identifier: MIT */
/* Overwrites its stack frame's canary. */
#include <stddef.h>
#include <stdio.h>

__attribute__((noinline)) static void fill(volatile char *buffer, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buffer[i] = 'x';
}

__attribute__((noinline)) static void smash(size_t bytes)
{
    char buffer[16];

    fill(buffer, bytes);
}

int main(void)
{
    smash(32);
    printf("the stack protector did not notice\n");
    return 0;
}
