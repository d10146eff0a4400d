/* SPDX-License-Identifier: MIT */
/* Prints 32 random bytes. */
#include <stdio.h>
#include <sys/random.h>

int main(void)
{
    unsigned char bytes[32];

    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
        perror("getrandom");
        return 1;
    }
    for (size_t i = 0; i < sizeof(bytes); i++)
        printf("%02x", bytes[i]);
    printf("\n");
    return 0;
}
