/* SPDX-License-Identifier: MIT */
/* A fuzzer's input, taken as a script of numbers. */
#ifndef TESTS_FUZZ_SCRIPT_H
#define TESTS_FUZZ_SCRIPT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct script {
    const uint8_t *next;
    size_t left;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The next `bytes` (at most 8) bytes as a number; 0s after the end. */
static inline uint64_t script_number(struct script *script, size_t bytes)
{
    uint64_t number = 0;

    if (bytes > script->left)
        bytes = script->left;
    if (bytes > 0)
        memcpy(&number, script->next, bytes);
    script->next += bytes;
    script->left -= bytes;
    return number;
}

/* A number below `limit`, from one byte. */
static inline unsigned script_below(struct script *script, unsigned limit)
{
    return (unsigned)script_number(script, 1) % limit;
}

#endif
