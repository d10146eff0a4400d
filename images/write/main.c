/* SPDX-License-Identifier: MIT */
/* Writes a checkable pattern: a counter in every 8 bytes. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WORDS 8192

static uint64_t buffer[WORDS];

static int write_all(const char *from, size_t bytes)
{
    while (bytes) {
        ssize_t done = write(STDOUT_FILENO, from, bytes);

        if (done < 0)
            return -1;
        from += done;
        bytes -= (size_t)done;
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    uint64_t rounds = mib * (1 << 20) / sizeof(buffer), counter = 0;

    for (uint64_t i = 0; i < rounds; i++) {
        for (int word = 0; word < WORDS; word++)
            buffer[word] = counter++;
        if (write_all((const char *)buffer, sizeof(buffer))) {
            perror("write");
            return 1;
        }
    }
    return 0;
}
