/* SPDX-License-Identifier: MIT */
/* Checksums of ext4, in place of libext2fs's own. */
#include "guest_rt/ext4/crc.h"

#include <stdbool.h>
#include <string.h>

#include "guest_rt/ext4/disk.h"

#define POLYNOMIAL_32C 0x82f63b78u
#define POLYNOMIAL_16  0xa001u

static uint32_t table_32c[256];
static uint16_t table_16[256];
static bool tables_ready;

static void make_tables(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint32_t wide = i;
        uint32_t narrow = i;

        for (int bit = 0; bit < 8; bit++) {
            wide = wide >> 1 ^ (wide & 1 ? POLYNOMIAL_32C : 0);
            narrow = narrow >> 1 ^ (narrow & 1 ? POLYNOMIAL_16 : 0);
        }
        table_32c[i] = wide;
        table_16[i] = (uint16_t)narrow;
    }
    tables_ready = true;
}

/* With the processor's instruction. */
__attribute__((target("sse4.2"))) static uint32_t
crc32c_fast(uint32_t crc, const unsigned char *bytes, size_t count)
{
    uint64_t wide = crc, word;

    for (; count >= sizeof(word); count -= sizeof(word)) {
        memcpy(&word, bytes, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
        bytes += sizeof(word);
    }
    crc = (uint32_t)wide;
    while (count--)
        crc = __builtin_ia32_crc32qi(crc, *bytes++);
    return crc;
}

uint32_t ext2fs_crc32c_le(uint32_t crc, unsigned char const *bytes,
                          size_t count)
{
    if (ext4_has_sse42())
        return crc32c_fast(crc, bytes, count);
    if (!tables_ready)
        make_tables();
    while (count--)
        crc = crc >> 8 ^ table_32c[(crc ^ *bytes++) & 0xff];
    return crc;
}

uint16_t ext2fs_crc16(uint16_t crc, const void *bytes, unsigned int count)
{
    const unsigned char *at = bytes;

    if (!tables_ready)
        make_tables();
    while (count--)
        crc = (uint16_t)(crc >> 8 ^ table_16[(crc ^ *at++) & 0xff]);
    return crc;
}
