/* SPDX-License-Identifier: MIT */
/* The journal as it is on the disk: what Linux and e2fsck understand. */
#ifndef GUEST_RT_EXT4_JBD2_H
#define GUEST_RT_EXT4_JBD2_H

/*
 * As documented with the kernel (Documentation/filesystems/ext4, "Journal
 * (jbd2)"). All numbers are big-endian.
 */

#include <stdint.h>

#define JBD2_MAGIC 0xc03b3998u

enum {
    JBD2_DESCRIPTOR = 1, /* names the blocks that follow it */
    JBD2_COMMIT = 2,
    JBD2_SUPER_V2 = 4,
    JBD2_REVOKE = 5,
};

struct jbd2_header {
    uint32_t magic;
    uint32_t type;
    uint32_t sequence;
};

#define JBD2_INCOMPAT_REVOKE       1u
#define JBD2_INCOMPAT_64BIT        2u
#define JBD2_INCOMPAT_ASYNC_COMMIT 4u
#define JBD2_INCOMPAT_CSUM_V2      8u
#define JBD2_INCOMPAT_CSUM_V3      16u
#define JBD2_INCOMPAT_FAST_COMMIT  32u

struct jbd2_super {
    struct jbd2_header header;
    uint32_t block_bytes;
    uint32_t length; /* blocks of the journal, this one among them */
    uint32_t first;  /* block of the log */
    uint32_t sequence;
    uint32_t start; /* block with the first transaction; 0: it is empty */
    uint32_t error;
    uint32_t compat, incompat, read_only_compat;
    uint8_t uuid[16];
    uint32_t users;
    uint32_t copy_of_super;
    uint32_t transaction_max, transaction_data_max;
    uint8_t checksum_type; /* 4: crc32c */
    uint8_t padding[3];
    uint32_t fast_commit_blocks;
    uint32_t head;
    uint32_t more_padding[40];
    uint32_t checksum;
    uint8_t user_ids[16 * 48];
};

_Static_assert(sizeof(struct jbd2_super) == 1024, "journal superblock");

#define JBD2_CRC32C 4

/* A tag of a descriptor: which block this is. */
enum {
    JBD2_TAG_ESCAPED = 1, /* the block began with the magic number */
    JBD2_TAG_SAME_UUID = 2,
    JBD2_TAG_LAST = 8,
};

/* With JBD2_INCOMPAT_CSUM_V3. */
struct jbd2_tag3 {
    uint32_t number;
    uint32_t flags;
    uint32_t number_high;
    uint32_t checksum;
};

/* Without checksums; number_high is there with JBD2_INCOMPAT_64BIT only. */
struct jbd2_tag {
    uint32_t number;
    uint16_t checksum;
    uint16_t flags;
    uint32_t number_high;
};

#define JBD2_UUID_BYTES 16u

/* At the end of a descriptor or revoke block, with checksums. */
struct jbd2_tail {
    uint32_t checksum;
};

struct jbd2_revoke {
    struct jbd2_header header;
    uint32_t bytes; /* used, this structure among them */
};

struct jbd2_commit {
    struct jbd2_header header;
    uint8_t checksum_type, checksum_bytes;
    uint8_t padding[2];
    uint32_t checksum[8];
    uint64_t seconds;
    uint32_t nanoseconds;
};

#endif
