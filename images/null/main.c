/* SPDX-License-Identifier: MIT */
/* Reads, writes or calls the null pointer. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "read";
    volatile int *volatile pointer = NULL;
    void (*volatile function)(void) = NULL;

    if (!strcmp(how, "write"))
        *pointer = 1;
    else if (!strcmp(how, "call"))
        function();
    else
        printf("%d\n", *pointer);
    return 0;
}
