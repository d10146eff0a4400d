/* SPDX-License-Identifier: MIT */
/* What the journal's writer and its recovery share. */
#ifndef GUEST_RT_EXT4_LOG_H
#define GUEST_RT_EXT4_LOG_H

#include <endian.h>

#include "guest_rt/ext4/journal.h"

/* Whether blocks of the log have checksums. */
static inline bool log_has_checksums(const struct journal *journal)
{
    return journal->features & JBD2_INCOMPAT_CSUM_V3;
}

/* Bytes of a tag. */
unsigned log_tag_bytes(const struct journal *journal);

/* The block of the disk at this index of the journal; 0: it has none. */
uint64_t log_find(const struct journal *journal, uint32_t index,
                  uint32_t *in_row);

/* The index that follows this one in the log. */
static inline uint32_t log_next(const struct journal *journal, uint32_t index)
{
    return index + 1 == journal->length ? journal->first : index + 1;
}

/* The checksum of a block that has its own at `offset`. */
uint32_t log_checksum(const struct journal *journal, const uint8_t *block,
                      unsigned offset);

/* The checksum of a logged block, as it is in the log. */
uint32_t log_data_checksum(const struct journal *journal, uint32_t sequence,
                           const uint8_t *block);

/* Writes the journal's superblock, with this start, and waits. */
int log_write_super(struct journal *journal, uint32_t start);

#endif
