/* SPDX-License-Identifier: MIT */
/* Copies so many bytes of standard input to standard output, and then stops. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char buffer[4096];

/* Unlike cat it needs no end of the input, of which not every machine tells. */
int main(int argc, char **argv)
{
    size_t left = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;

    while (left > 0) {
        size_t part = left < sizeof(buffer) ? left : sizeof(buffer);
        ssize_t bytes = read(STDIN_FILENO, buffer, part);

        if (bytes <= 0) {
            fputs("echo: the input ends too early\n", stderr);
            return 1;
        }
        if (fwrite(buffer, 1, (size_t)bytes, stdout) != (size_t)bytes ||
            fflush(stdout))
            return 1;
        left -= (size_t)bytes;
    }
    return 0;
}
