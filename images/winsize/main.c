/* SPDX-License-Identifier: MIT */
/* Says how large the terminal is, once at first and again for each line read.
 */
#include <stdio.h>
#include <sys/ioctl.h>

int main(void)
{
    struct winsize size;
    char line[80];

    do {
        if (ioctl(0, TIOCGWINSZ, &size))
            puts("no terminal");
        else
            printf("%u rows, %u columns\n", size.ws_row, size.ws_col);
        fflush(stdout);
    } while (fgets(line, sizeof(line), stdin));
    return 0;
}
