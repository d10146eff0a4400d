/* SPDX-License-Identifier: MIT */
/* A heap that grows, and is used or not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 *   heap [sparse]
 *
 * Takes 16 MiB by blocks of 32 KiB, keeps them, and writes to all of each, or
 * to one byte.
 */

#define BLOCKS      512
#define BLOCK_BYTES (32u << 10)

int main(int argc, char **argv)
{
    size_t written = argc > 1 ? 1 : BLOCK_BYTES;
    static char *blocks[BLOCKS];

    (void)argv;
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        if (!blocks[i])
            return 2;
        memset(blocks[i], i, written);
    }
    for (int i = 0; i < BLOCKS; i++) {
        if (blocks[i][0] != (char)i || blocks[i][written - 1] != (char)i)
            return 1;
        free(blocks[i]);
    }
    puts("done");
    return 0;
}
