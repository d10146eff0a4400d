/* SPDX-License-Identifier: MIT */
/* Copies standard input to standard output. */
#include <stdio.h>
#include <unistd.h>

static char buffer[65536];

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

int main(void)
{
    for (;;) {
        ssize_t bytes = read(STDIN_FILENO, buffer, sizeof(buffer));

        if (bytes == 0)
            return 0;
        if (bytes < 0) {
            perror("cat: standard input");
            return 1;
        }
        if (write_all(buffer, (size_t)bytes)) {
            perror("cat: standard output");
            return 1;
        }
    }
}
