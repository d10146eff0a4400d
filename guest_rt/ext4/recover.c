/* SPDX-License-Identifier: MIT */
/* Replaying the journal. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "guest_rt/ext4/arena.h"
#include "guest_rt/ext4/log.h"

/*
 * The log is what the last writer left, and the disk may be anybody's: every
 * number is checked, and each pass looks at each block once at most.
 */

/* What this understands of others' logs. */
#define UNDERSTOOD \
    (JBD2_INCOMPAT_REVOKE | JBD2_INCOMPAT_64BIT | JBD2_INCOMPAT_CSUM_V3)

/* Blocks that were revoked, by a hash of their numbers; 0 is free. */
struct revocations {
    struct revocation {
        uint64_t number;
        uint32_t sequence;
    } * table;
    unsigned count, mask;
};

struct recovery {
    struct journal *journal;
    uint8_t *block; /* of the log */
    uint8_t *data;  /* a second one */
    uint32_t end;   /* sequence of the first transaction that is not there */
    struct revocations revoked;
};

/* ---- Revocations -------------------------------------------------------- */

static struct revocation *slot_of(const struct revocations *revoked,
                                  uint64_t number)
{
    unsigned at = (unsigned)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 32);

    for (;; at++) {
        struct revocation *slot = &revoked->table[at & revoked->mask];

        if (!slot->number || slot->number == number)
            return slot;
    }
}

static int grow_revoked(struct revocations *revoked)
{
    struct revocations larger = {.mask = revoked->table ? revoked->mask * 2 + 1
                                                        : 255};

    larger.table =
        ext4_arena_alloc_zeroed(larger.mask + 1, sizeof(larger.table[0]));
    if (!larger.table)
        return -ENOMEM;
    for (unsigned i = 0; revoked->table && i <= revoked->mask; i++)
        if (revoked->table[i].number)
            *slot_of(&larger, revoked->table[i].number) = revoked->table[i];
    larger.count = revoked->count;
    ext4_arena_free(revoked->table);
    *revoked = larger;
    return 0;
}

/* Remembers the last transaction that revoked it. */
static int add_revoked(struct revocations *revoked, uint64_t number,
                       uint32_t sequence)
{
    struct revocation *slot;

    if (!number)
        return 0;
    if (!revoked->table || revoked->count > revoked->mask / 2) {
        int error = grow_revoked(revoked);

        if (error)
            return error;
    }
    slot = slot_of(revoked, number);
    if (!slot->number) {
        *slot = (struct revocation){number, sequence};
        revoked->count++;
    } else if ((int32_t)(sequence - slot->sequence) > 0) {
        slot->sequence = sequence;
    }
    return 0;
}

/* Whether what this transaction has of the block must not be written. */
static bool is_revoked(const struct revocations *revoked, uint64_t number,
                       uint32_t sequence)
{
    const struct revocation *slot;

    if (!revoked->table)
        return false;
    slot = slot_of(revoked, number);
    return slot->number && (int32_t)(slot->sequence - sequence) >= 0;
}

/* ---- Reading the log ---------------------------------------------------- */

static int read_block(const struct journal *journal, uint32_t index,
                      uint8_t *block)
{
    struct cache *cache = journal->cache;
    struct iovec piece = {block, cache->block_bytes};
    uint32_t in_row;
    uint64_t number = log_find(journal, index, &in_row);
    int error, outcome;

    if (!number || number >= cache->block_count)
        return -EUCLEAN;
    error = cache->disk->start(
        cache->disk, false, number * (cache->block_bytes / EXT4_SECTOR_BYTES),
        &piece, 1);
    outcome = cache->disk->wait(cache->disk);
    return error ? error : outcome;
}

/* The type of the block if it is the journal's, of this transaction; or 0. */
static uint32_t type_of(const uint8_t *block, uint32_t sequence)
{
    const struct jbd2_header *header = (const void *)block;

    if (be32toh(header->magic) != JBD2_MAGIC ||
        be32toh(header->sequence) != sequence)
        return 0;
    return be32toh(header->type);
}

/* Whether a descriptor's or revoke block's checksum is right, if it has one. */
static bool is_sealed(const struct journal *journal, const uint8_t *block)
{
    unsigned offset = journal->cache->block_bytes - sizeof(struct jbd2_tail);
    const struct jbd2_tail *tail = (const void *)(block + offset);

    return !log_has_checksums(journal) ||
           be32toh(tail->checksum) == log_checksum(journal, block, offset);
}

static bool is_committed(const struct journal *journal, const uint8_t *block)
{
    const struct jbd2_commit *commit = (const void *)block;

    return !log_has_checksums(journal) ||
           be32toh(commit->checksum[0]) ==
               log_checksum(journal, block,
                            offsetof(struct jbd2_commit, checksum));
}

/* A tag, in whichever form it is. */
struct tag {
    uint64_t number;
    uint32_t flags, checksum;
};

/* Takes the tag at `*offset` and moves on. Returns whether there is one. */
static bool take_tag(const struct journal *journal, const uint8_t *block,
                     unsigned *offset, struct tag *tag)
{
    unsigned bytes = log_tag_bytes(journal);
    unsigned end =
        journal->cache->block_bytes - (log_has_checksums(journal) ? 4u : 0u);
    bool v3 = journal->features & JBD2_INCOMPAT_CSUM_V3;

    if (*offset + bytes > end)
        return false;
    if (v3) {
        struct jbd2_tag3 raw;

        memcpy(&raw, block + *offset, bytes);
        *tag = (struct tag){(uint64_t)be32toh(raw.number_high) << 32 |
                                be32toh(raw.number),
                            be32toh(raw.flags), be32toh(raw.checksum)};
    } else {
        struct jbd2_tag raw = {0};

        memcpy(&raw, block + *offset, bytes);
        *tag = (struct tag){(uint64_t)be32toh(raw.number_high) << 32 |
                                be32toh(raw.number),
                            be16toh(raw.flags), be16toh(raw.checksum)};
    }
    if (!(journal->features & JBD2_INCOMPAT_64BIT))
        tag->number &= UINT32_MAX;
    *offset += bytes;
    if (!(tag->flags & JBD2_TAG_SAME_UUID))
        *offset += JBD2_UUID_BYTES;
    return true;
}

/* Blocks that a descriptor announces. */
static uint32_t count_tags(const struct journal *journal, const uint8_t *block)
{
    unsigned offset = sizeof(struct jbd2_header);
    uint32_t count = 0;
    struct tag tag;

    while (take_tag(journal, block, &offset, &tag)) {
        count++;
        if (tag.flags & JBD2_TAG_LAST)
            break;
    }
    return count;
}

/* ---- Passes ------------------------------------------------------------- */

typedef int (*visit_fn)(struct recovery *recovery, uint32_t type,
                        uint32_t sequence, uint32_t index);

static uint32_t skip(const struct journal *journal, uint32_t index,
                     uint32_t count)
{
    while (count-- > 0)
        index = log_next(journal, index);
    return index;
}

/*
 * Goes through the log while transactions follow each other, up to the one
 * numbered recovery->end if `limited`, and calls `visit` for each block of the
 * journal's own. Returns 0, or what stopped it.
 */
static int walk(struct recovery *recovery, bool limited, visit_fn visit)
{
    struct journal *journal = recovery->journal;
    uint32_t sequence = be32toh(journal->super.sequence);
    uint32_t index = be32toh(journal->super.start);
    uint32_t left = journal->length - journal->first;

    while (left > 0 && (!limited || sequence != recovery->end)) {
        uint32_t type, blocks = 1;
        int error = read_block(journal, index, recovery->block);

        if (error)
            return error;
        type = type_of(recovery->block, sequence);
        if (type == JBD2_DESCRIPTOR && is_sealed(journal, recovery->block))
            blocks += count_tags(journal, recovery->block);
        else if (type != JBD2_COMMIT && type != JBD2_REVOKE)
            break;
        if (blocks > left)
            break;
        error = visit(recovery, type, sequence, index);
        if (error)
            return error == 1 ? 0 : error;
        if (type == JBD2_COMMIT)
            sequence++;
        index = skip(journal, index, blocks);
        left -= blocks;
    }
    return 0;
}

/* The first pass: where the last whole transaction ends. */
static int visit_scan(struct recovery *recovery, uint32_t type,
                      uint32_t sequence, uint32_t index)
{
    (void)index;
    if (type != JBD2_COMMIT)
        return 0;
    if (!is_committed(recovery->journal, recovery->block))
        return 1;
    recovery->end = sequence + 1;
    return 0;
}

/* The second one: what was revoked. */
static int visit_revoke(struct recovery *recovery, uint32_t type,
                        uint32_t sequence, uint32_t index)
{
    struct journal *journal = recovery->journal;
    const struct jbd2_revoke *revoke = (const void *)recovery->block;
    unsigned bytes = journal->features & JBD2_INCOMPAT_64BIT ? 8 : 4;
    uint32_t end = be32toh(revoke->bytes);
    int error = 0;

    (void)index;
    if (type != JBD2_REVOKE)
        return 0;
    if (!is_sealed(journal, recovery->block) ||
        end > journal->cache->block_bytes)
        return -EUCLEAN;
    for (uint32_t at = sizeof(*revoke); at + bytes <= end && !error;
         at += bytes) {
        uint64_t wide;
        uint32_t narrow;

        memcpy(&narrow, recovery->block + at, sizeof(narrow));
        memcpy(&wide, recovery->block + at, bytes == 8 ? sizeof(wide) : 0);
        error =
            add_revoked(&recovery->revoked,
                        bytes == 8 ? be64toh(wide) : be32toh(narrow), sequence);
    }
    return error;
}

static bool has_right_checksum(const struct journal *journal,
                               const struct tag *tag, uint32_t sequence,
                               const uint8_t *data)
{
    return !log_has_checksums(journal) ||
           log_data_checksum(journal, sequence, data) == tag->checksum;
}

/* Puts one block of the log, at `index`, where it belongs. */
static int replay_block(struct recovery *recovery, const struct tag *tag,
                        uint32_t sequence, uint32_t index)
{
    struct journal *journal = recovery->journal;
    struct cache *cache = journal->cache;
    struct block *block;
    int error;

    if (is_revoked(&recovery->revoked, tag->number, sequence))
        return 0;
    error = read_block(journal, index, recovery->data);
    if (error)
        return error;
    if (!has_right_checksum(journal, tag, sequence, recovery->data))
        return -EUCLEAN;
    error = cache_make(cache, tag->number, &block);
    if (error)
        return error;
    memcpy(block->data, recovery->data, cache->block_bytes);
    if (tag->flags & JBD2_TAG_ESCAPED) {
        uint32_t magic = htobe32(JBD2_MAGIC);

        memcpy(block->data, &magic, sizeof(magic));
    }
    cache_mark_dirty(cache, block);
    return cache->dirty_count > cache->count_max / 2 ? cache_write_dirty(cache)
                                                     : 0;
}

/* The third one: all that is whole and was not revoked. */
static int visit_replay(struct recovery *recovery, uint32_t type,
                        uint32_t sequence, uint32_t index)
{
    unsigned offset = sizeof(struct jbd2_header);
    struct tag tag;
    int error = 0;

    if (type != JBD2_DESCRIPTOR)
        return 0;
    while (!error &&
           take_tag(recovery->journal, recovery->block, &offset, &tag)) {
        index = log_next(recovery->journal, index);
        error = replay_block(recovery, &tag, sequence, index);
        if (tag.flags & JBD2_TAG_LAST)
            break;
    }
    return error;
}

static int run_passes(struct recovery *recovery)
{
    int error = walk(recovery, false, visit_scan);

    if (!error)
        error = walk(recovery, true, visit_revoke);
    if (!error)
        error = walk(recovery, true, visit_replay);
    if (!error)
        error = cache_write_dirty(recovery->journal->cache);
    return error ? error : cache_flush(recovery->journal->cache);
}

int journal_recover(struct journal *journal)
{
    unsigned bytes = journal->cache->block_bytes;
    struct recovery recovery = {.journal = journal,
                                .end = be32toh(journal->super.sequence)};
    int error = -ENOMEM;

    if (journal->features & ~UNDERSTOOD)
        return -ENOTSUP;
    recovery.block = ext4_arena_alloc(bytes);
    recovery.data = ext4_arena_alloc(bytes);
    if (recovery.block && recovery.data)
        error = run_passes(&recovery);
    ext4_arena_free(recovery.revoked.table);
    ext4_arena_free(recovery.data);
    ext4_arena_free(recovery.block);
    if (error)
        return error;
    /* One more: a torn transaction of that number may be left in the log. */
    journal->sequence = recovery.end + 1;
    error = log_write_super(journal, 0);
    return error ? error : cache_flush(journal->cache);
}
