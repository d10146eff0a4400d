/* SPDX-License-Identifier: MIT */
/* Writes to standard output and standard error in turn, unbuffered. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int turns = argc > 1 ? atoi(argv[1]) : 100;
    char line[32];

    for (int i = 0; i < turns; i++) {
        int bytes = snprintf(line, sizeof(line), "%d\n", i);

        if (write(i % 3 ? STDOUT_FILENO : STDERR_FILENO, line, (size_t)bytes) !=
            bytes)
            return 1;
    }
    return 0;
}
