/* SPDX-License-Identifier: MIT */
/* The ChaCha20 block function (RFC 8439, 2.3). */
#include "guest_rt/chacha.h"

#include <string.h>

static uint32_t rotate(uint32_t value, int bits)
{
    return value << bits | value >> (32 - bits);
}

static void quarter_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
    *a += *b;
    *d = rotate(*d ^ *a, 16);
    *c += *d;
    *b = rotate(*b ^ *c, 12);
    *a += *b;
    *d = rotate(*d ^ *a, 8);
    *c += *d;
    *b = rotate(*b ^ *c, 7);
}

static void double_round(uint32_t x[16])
{
    for (int i = 0; i < 4; i++)
        quarter_round(&x[i], &x[4 + i], &x[8 + i], &x[12 + i]);
    for (int i = 0; i < 4; i++)
        quarter_round(&x[i], &x[4 + (i + 1) % 4], &x[8 + (i + 2) % 4],
                      &x[12 + (i + 3) % 4]);
}

void chacha_block(const uint8_t key[CHACHA_KEY_BYTES], uint32_t counter,
                  const uint8_t nonce[CHACHA_NONCE_BYTES],
                  uint8_t out[CHACHA_BLOCK_BYTES])
{
    /* "expand 32-byte k", then key, counter and nonce; x86 is little-endian */
    uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    uint32_t x[16];

    memcpy(&start[4], key, CHACHA_KEY_BYTES);
    start[12] = counter;
    memcpy(&start[13], nonce, CHACHA_NONCE_BYTES);

    memcpy(x, start, sizeof(x));
    for (int i = 0; i < 10; i++)
        double_round(x);
    for (int i = 0; i < 16; i++)
        x[i] += start[i];
    memcpy(out, x, CHACHA_BLOCK_BYTES);
}
