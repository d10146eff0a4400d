/* SPDX-License-Identifier: MIT */
/* Reads the entropy device and says whether that looks random. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <mayfly/entropy.h>

/*
 *   entropy [BYTES]       64 bytes by default: a verdict that is always the
 * same entropy hex BYTES     prints the bytes
 *
 * The exit status is 1 without a device, or when the bytes are not random.
 */

#define BYTES_MAX 65536

static unsigned char first[BYTES_MAX], second[BYTES_MAX];

/* Whether some byte differs from the first one. */
static int has_two_values(const unsigned char *bytes, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (bytes[i] != bytes[0])
            return 1;
    return 0;
}

static int read_both(size_t count)
{
    long got = mf_entropy_read(first, count);

    if (got == (long)count)
        got = mf_entropy_read(second, count);
    if (got == (long)count)
        return 0;
    printf("entropy: %s\n", strerror((int)-got));
    return 1;
}

static int judge(size_t count)
{
    if (read_both(count))
        return 1;
    if (!has_two_values(first, count)) {
        printf("entropy: %zu bytes, all equal\n", count);
        return 1;
    }
    if (memcmp(first, second, count) == 0) {
        printf("entropy: %zu bytes, twice the same\n", count);
        return 1;
    }
    printf("entropy: %zu bytes, not all equal\n", count);
    return 0;
}

static int print_hex(size_t count)
{
    if (read_both(count))
        return 1;
    for (size_t i = 0; i < count; i++)
        printf("%02x", first[i]);
    printf("\n");
    return 0;
}

int main(int argc, char **argv)
{
    int hex = argc > 1 && strcmp(argv[1], "hex") == 0;
    size_t count = argc > 1 + hex ? strtoul(argv[1 + hex], NULL, 0) : 64;

    if (count < 16 || count > BYTES_MAX) {
        fprintf(stderr, "entropy: from 16 to %d bytes\n", BYTES_MAX);
        return 2;
    }
    return hex ? print_hex(count) : judge(count);
}
