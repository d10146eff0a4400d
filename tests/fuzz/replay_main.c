/* SPDX-License-Identifier: MIT */
/* Runs a fuzzer without libFuzzer: replays files, or makes up inputs. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/script.h"

#define INPUT_BYTES_MAX (1u << 20)

static uint8_t input[INPUT_BYTES_MAX];

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t bytes;

    if (!file) {
        perror(path);
        return 1;
    }
    bytes = fread(input, 1, sizeof(input), file);
    fclose(file);
    LLVMFuzzerTestOneInput(input, bytes);
    printf("%s: %zu bytes, passed\n", path, bytes);
    return 0;
}

/* Input number n is always the same one: a failure can be repeated. */
static void run_random(unsigned long number)
{
    uint64_t state = number;
    size_t bytes = 16 + number % 2048;

    for (size_t i = 0; i < bytes; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
        input[i] = (uint8_t)(state >> 56);
    }
    LLVMFuzzerTestOneInput(input, bytes);
}

int main(int argc, char **argv)
{
    unsigned long runs = 100000;
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= replay_file(argv[i]);
    if (argc == 1) {
        for (unsigned long i = 0; i < runs; i++)
            run_random(i);
        printf("%lu random inputs passed\n", runs);
    }
    return failed;
}
