/* SPDX-License-Identifier: MIT */
/* The ChaCha20 block function (RFC 8439, 2.3). */
#ifndef MAYFLY_CHACHA_H
#define MAYFLY_CHACHA_H

#include <stdint.h>

#define CHACHA_KEY_BYTES   32
#define CHACHA_NONCE_BYTES 12
#define CHACHA_BLOCK_BYTES 64

/*
 * Writes the block of key stream with this number. Pure; out may be any
 * memory, the key's own included. Any thread.
 */
void chacha_block(const uint8_t key[CHACHA_KEY_BYTES], uint32_t counter,
                  const uint8_t nonce[CHACHA_NONCE_BYTES],
                  uint8_t out[CHACHA_BLOCK_BYTES]);

#endif
