/* SPDX-License-Identifier: MIT */
/* Checksums of ext4. */
#ifndef GUEST_RT_EXT4_CRC_H
#define GUEST_RT_EXT4_CRC_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C of the bytes, continuing from `crc`; no inversions. */
uint32_t ext2fs_crc32c_le(uint32_t crc, unsigned char const *bytes,
                          size_t count);

/* CRC-16 (polynomial 0x8005, reflected), likewise. */
uint16_t ext2fs_crc16(uint16_t crc, const void *bytes, unsigned int count);

#endif
