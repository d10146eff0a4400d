/* SPDX-License-Identifier: MIT */
/* Takes memory and gives it back, for a look at what the host has of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 *   release [MIB [ROUNDS [leave]]]
 *
 * ROUNDS (1) times: takes MIB (8) mebibytes, writes to all of it, says "taken",
 * waits for a byte on standard input or its end, gives it back, says "given
 * back", and waits once more. At the end the memory has to read as zero when it
 * is taken anew: the exit status is 1 if not.
 */

static void say(const char *what)
{
    printf("%s\n", what);
    fflush(stdout);
    getchar();
}

static int is_zero(const unsigned char *memory, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (memory[i])
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    size_t bytes = (argc > 1 ? strtoul(argv[1], NULL, 0) : 8) << 20;
    unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
    unsigned char *memory;
    int clean;

    for (unsigned long i = 0; i < rounds; i++) {
        memory = malloc(bytes);
        if (!memory)
            return 2;
        memset(memory, 0xaa, bytes);
        /* What is written must stay written: the compiler sees no reader. */
        __asm__ volatile("" : : "r"(memory) : "memory");
        say("taken");
        free(memory);
        say("given back");
    }
    if (argc > 3)
        return 0;
    memory = calloc(1, bytes);
    if (!memory)
        return 2;
    clean = is_zero(memory, bytes);
    puts(clean ? "zeroes" : "not zeroes");
    return !clean;
}
