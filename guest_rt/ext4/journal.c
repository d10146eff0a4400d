/* SPDX-License-Identifier: MIT */
/* The journal's writer: opening, transactions, checkpoints. */
#include "guest_rt/ext4/journal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "guest_rt/ext4/arena.h"
#include "guest_rt/ext4/crc.h"
#include "guest_rt/ext4/log.h"

/* The smallest journal that is any use: mke2fs makes none below 1024. */
#define LENGTH_MIN 64u

/* ---- Where things are --------------------------------------------------- */

unsigned log_tag_bytes(const struct journal *journal)
{
    if (journal->features & JBD2_INCOMPAT_CSUM_V3)
        return sizeof(struct jbd2_tag3);
    return journal->features & JBD2_INCOMPAT_64BIT
               ? sizeof(struct jbd2_tag)
               : offsetof(struct jbd2_tag, number_high);
}

uint64_t log_find(const struct journal *journal, uint32_t index,
                  uint32_t *in_row)
{
    for (unsigned i = 0; i < journal->run_count; i++) {
        const struct journal_run *run = &journal->runs[i];

        if (index >= run->index && index - run->index < run->count) {
            *in_row = run->count - (index - run->index);
            return run->number + (index - run->index);
        }
    }
    return 0;
}

/* ---- Checksums ---------------------------------------------------------- */

uint32_t log_checksum(const struct journal *journal, const uint8_t *block,
                      unsigned offset)
{
    static const uint8_t zero[4];
    unsigned after = offset + 4;
    uint32_t crc = ext2fs_crc32c_le(journal->seed, block, offset);

    crc = ext2fs_crc32c_le(crc, zero, sizeof(zero));
    return ext2fs_crc32c_le(crc, block + after,
                            journal->cache->block_bytes - after);
}

uint32_t log_data_checksum(const struct journal *journal, uint32_t sequence,
                           const uint8_t *block)
{
    uint32_t big = htobe32(sequence);
    uint32_t crc =
        ext2fs_crc32c_le(journal->seed, (uint8_t *)&big, sizeof(big));

    return ext2fs_crc32c_le(crc, block, journal->cache->block_bytes);
}

static uint32_t super_checksum(const struct journal *journal)
{
    struct jbd2_super super = journal->super;

    super.checksum = 0;
    return ext2fs_crc32c_le(~0u, (uint8_t *)&super, sizeof(super));
}

/* ---- The superblock ----------------------------------------------------- */

int log_write_super(struct journal *journal, uint32_t start)
{
    struct jbd2_super *super = &journal->super;
    uint32_t in_row;
    uint64_t number = log_find(journal, 0, &in_row);
    struct cache *cache = journal->cache;
    struct iovec piece = {super, sizeof(*super)};
    int error, outcome;

    super->start = htobe32(start);
    super->sequence = htobe32(journal->sequence);
    super->head = 0;
    super->incompat = htobe32(journal->features);
    super->checksum_type = log_has_checksums(journal) ? JBD2_CRC32C : 0;
    super->checksum = 0;
    if (log_has_checksums(journal))
        super->checksum = htobe32(super_checksum(journal));
    cache->written = true;
    error = cache->disk->start(
        cache->disk, true, number * (cache->block_bytes / EXT4_SECTOR_BYTES),
        &piece, 1);
    outcome = cache->disk->wait(cache->disk);
    return error ? error : outcome;
}

/* Whether the superblock, just read, makes sense. */
static bool is_sane(const struct journal *journal)
{
    const struct jbd2_super *super = &journal->super;
    uint32_t start = be32toh(super->start);
    uint32_t in_row;

    if (be32toh(super->header.magic) != JBD2_MAGIC ||
        be32toh(super->header.type) != JBD2_SUPER_V2 ||
        be32toh(super->block_bytes) != journal->cache->block_bytes)
        return false;
    if (log_has_checksums(journal) &&
        be32toh(super->checksum) != super_checksum(journal))
        return false;
    if (journal->length < LENGTH_MIN || journal->first < 1 ||
        journal->first >= journal->length - LENGTH_MIN / 2 ||
        (start && (start < journal->first || start >= journal->length)))
        return false;
    for (uint32_t i = 0; i < journal->length; i += in_row)
        if (!log_find(journal, i, &in_row))
            return false;
    return true;
}

int journal_open(struct journal *journal, struct cache *cache,
                 struct journal_run *runs, unsigned run_count)
{
    struct jbd2_super *super = &journal->super;
    struct iovec piece = {super, sizeof(*super)};
    uint32_t in_row;
    uint64_t number;
    int error;

    *journal =
        (struct journal){.cache = cache, .runs = runs, .run_count = run_count};
    number = log_find(journal, 0, &in_row);
    if (!number || number >= cache->block_count)
        return -EUCLEAN;
    error = cache->disk->start(
        cache->disk, false, number * (cache->block_bytes / EXT4_SECTOR_BYTES),
        &piece, 1);
    if (!error)
        error = cache->disk->wait(cache->disk);
    if (error)
        return error;
    journal->length = be32toh(super->length);
    journal->first = be32toh(super->first);
    journal->sequence = be32toh(super->sequence);
    journal->features = be32toh(super->incompat);
    journal->seed = ext2fs_crc32c_le(~0u, super->uuid, sizeof(super->uuid));
    return is_sane(journal) ? 0 : -EUCLEAN;
}

void journal_close(struct journal *journal)
{
    ext4_arena_free(journal->runs);
    ext4_arena_free(journal->revoked);
    *journal = (struct journal){0};
}

bool journal_needs_recovery(const struct journal *journal)
{
    return journal->super.start;
}

void journal_prepare(struct journal *journal, bool wide, bool checksums)
{
    journal->features = JBD2_INCOMPAT_REVOKE |
                        (wide ? JBD2_INCOMPAT_64BIT : 0) |
                        (checksums ? JBD2_INCOMPAT_CSUM_V3 : 0);
    journal->super.compat = 0;
    journal->head = journal->first;
    if (!journal->sequence)
        journal->sequence = 1;
}

int journal_start(struct journal *journal)
{
    int error = log_write_super(journal, journal->head);

    if (!error)
        error = cache_flush(journal->cache);
    if (!error)
        journal->started = true;
    return error;
}

/* ---- Transactions ------------------------------------------------------- */

static uint32_t log_blocks(const struct journal *journal)
{
    return journal->length - journal->first;
}

unsigned journal_room(const struct journal *journal)
{
    return log_blocks(journal) / 4;
}

bool journal_is_full(const struct journal *journal)
{
    return journal->used > log_blocks(journal) / 2;
}

int journal_revoke(struct journal *journal, uint64_t number)
{
    uint64_t *larger;

    if (journal->revoked_count == journal->revoked_max) {
        unsigned max = journal->revoked_max ? journal->revoked_max * 2 : 64;

        larger = ext4_arena_realloc(journal->revoked, max * sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        journal->revoked = larger;
        journal->revoked_max = max;
    }
    journal->revoked[journal->revoked_count++] = number;
    return 0;
}

/* What a transaction is written from: its blocks in the order of the log. */
struct writing {
    struct journal *journal;
    uint8_t **data; /* each block */
    uint8_t **made; /* those that were made for it */
    unsigned count, made_count, max;
};

/* Appends a zeroed block with a header. Returns NULL if there is no memory. */
static uint8_t *add_made(struct writing *writing, uint32_t type)
{
    struct journal *journal = writing->journal;
    unsigned bytes = journal->cache->block_bytes;
    uint8_t *block = ext4_arena_alloc_zeroed(1, bytes);

    if (!block)
        return NULL;
    *(struct jbd2_header *)(void *)block = (struct jbd2_header){
        htobe32(JBD2_MAGIC), htobe32(type), htobe32(journal->sequence)};
    writing->made[writing->made_count++] = block;
    writing->data[writing->count++] = block;
    return block;
}

/* Bytes at the end of a descriptor or revoke block that hold its checksum. */
static unsigned tail_bytes(const struct journal *journal)
{
    return log_has_checksums(journal) ? sizeof(struct jbd2_tail) : 0;
}

static void seal(const struct journal *journal, uint8_t *block)
{
    unsigned offset = journal->cache->block_bytes - sizeof(struct jbd2_tail);
    struct jbd2_tail *tail = (void *)(block + offset);

    if (log_has_checksums(journal))
        tail->checksum = htobe32(log_checksum(journal, block, offset));
}

static unsigned revokes_per_block(const struct journal *journal)
{
    unsigned bytes = journal->features & JBD2_INCOMPAT_64BIT ? 8 : 4;

    return (journal->cache->block_bytes - tail_bytes(journal) -
            (unsigned)sizeof(struct jbd2_revoke)) /
           bytes;
}

static int add_revokes(struct writing *writing)
{
    struct journal *journal = writing->journal;
    bool wide = journal->features & JBD2_INCOMPAT_64BIT;
    unsigned per_block = revokes_per_block(journal);

    for (unsigned done = 0; done < journal->revoked_count;) {
        uint8_t *block = add_made(writing, JBD2_REVOKE);
        struct jbd2_revoke *revoke = (void *)block;
        uint8_t *at;
        unsigned i;

        if (!block)
            return -ENOMEM;
        at = block + sizeof(*revoke);
        for (i = 0; i < per_block && done < journal->revoked_count; i++) {
            uint64_t number = journal->revoked[done++];

            if (wide)
                *(uint64_t *)(void *)at = htobe64(number);
            else
                *(uint32_t *)(void *)at = htobe32((uint32_t)number);
            at += wide ? 8 : 4;
        }
        revoke->bytes = htobe32((uint32_t)(at - block));
        seal(journal, block);
    }
    return 0;
}

/* Tags that fit in one descriptor. */
static unsigned tags_per_block(const struct journal *journal)
{
    return (journal->cache->block_bytes - tail_bytes(journal) -
            (unsigned)sizeof(struct jbd2_header) - JBD2_UUID_BYTES) /
           log_tag_bytes(journal);
}

/*
 * The data of a block as it is to be in the log: a copy without its first
 * word if that would look like one of the journal's own blocks.
 */
static uint8_t *escape(struct writing *writing, struct block *block,
                       uint32_t *flags)
{
    unsigned bytes = writing->journal->cache->block_bytes;
    uint32_t word;
    uint8_t *copy;

    memcpy(&word, block->data, sizeof(word));
    if (word != htobe32(JBD2_MAGIC))
        return block->data;
    copy = ext4_arena_alloc(bytes);
    if (!copy)
        return NULL;
    memcpy(copy, block->data, bytes);
    memset(copy, 0, sizeof(word));
    writing->made[writing->made_count++] = copy;
    *flags |= JBD2_TAG_ESCAPED;
    return copy;
}

/* Writes a tag. Returns the address after it. */
static uint8_t *put_tag(const struct journal *journal, uint8_t *at,
                        uint64_t number, uint32_t flags, const uint8_t *data)
{
    unsigned bytes = log_tag_bytes(journal);
    uint32_t low = (uint32_t)number, high = (uint32_t)(number >> 32);

    if (journal->features & JBD2_INCOMPAT_CSUM_V3) {
        struct jbd2_tag3 tag = {htobe32(low), htobe32(flags), htobe32(high), 0};

        tag.checksum =
            htobe32(log_data_checksum(journal, journal->sequence, data));
        memcpy(at, &tag, bytes);
    } else {
        struct jbd2_tag tag = {htobe32(low), 0, htobe16((uint16_t)flags),
                               htobe32(high)};

        memcpy(at, &tag, bytes);
    }
    at += bytes;
    if (!(flags & JBD2_TAG_SAME_UUID)) {
        memcpy(at, journal->super.uuid, JBD2_UUID_BYTES);
        at += JBD2_UUID_BYTES;
    }
    return at;
}

/* Adds a descriptor and up to `max` changed blocks from `*link` on. */
static int add_part(struct writing *writing, struct block_link **link,
                    unsigned max)
{
    struct journal *journal = writing->journal;
    struct block_link *end = &journal->cache->changed;
    uint8_t *block = add_made(writing, JBD2_DESCRIPTOR);
    uint8_t *at;

    if (!block)
        return -ENOMEM;
    at = block + sizeof(struct jbd2_header);
    for (unsigned i = 0; i < max && *link != end; i++) {
        struct block *changed = block_of(*link);
        uint32_t flags = i ? JBD2_TAG_SAME_UUID : 0;
        uint8_t *data = escape(writing, changed, &flags);

        if (!data)
            return -ENOMEM;
        *link = (*link)->next;
        if (i + 1 == max || *link == end)
            flags |= JBD2_TAG_LAST;
        writing->data[writing->count++] = data;
        at = put_tag(journal, at, changed->number, flags, data);
    }
    seal(journal, block);
    return 0;
}

static int add_changed(struct writing *writing)
{
    struct cache *cache = writing->journal->cache;
    struct block_link *link = cache->changed.next;
    unsigned max = tags_per_block(writing->journal);
    int error = 0;

    while (link != &cache->changed && !error)
        error = add_part(writing, &link, max);
    return error;
}

static int add_commit(struct writing *writing)
{
    struct journal *journal = writing->journal;
    uint8_t *block = add_made(writing, JBD2_COMMIT);
    struct jbd2_commit *commit = (void *)block;
    struct timespec now = ext4_time();

    if (!block)
        return -ENOMEM;
    commit->seconds = htobe64((uint64_t)now.tv_sec);
    commit->nanoseconds = htobe32((uint32_t)now.tv_nsec);
    if (log_has_checksums(journal))
        commit->checksum[0] = htobe32(log_checksum(
            journal, block, offsetof(struct jbd2_commit, checksum)));
    return 0;
}

/* Writes blocks at the log's head, and waits. */
static int write_log(struct journal *journal, uint8_t **data, unsigned count)
{
    struct cache *cache = journal->cache;
    int error = 0, outcome;

    while (count > 0 && !error) {
        uint32_t in_row;
        uint64_t number = log_find(journal, journal->head, &in_row);
        uint32_t part = journal->length - journal->head;

        part = part < in_row ? part : in_row;
        part = part < count ? part : count;
        error = cache_start_write(cache, number, data, part);
        journal->head += part;
        if (journal->head == journal->length)
            journal->head = journal->first;
        journal->used += part;
        data += part;
        count -= part;
    }
    outcome = cache->disk->wait(cache->disk);
    return error ? error : outcome;
}

/* All but the commit block; a flush; the commit block; a flush. */
static int write_transaction(struct writing *writing)
{
    struct journal *journal = writing->journal;
    unsigned before = writing->count - 1;
    int error = write_log(journal, writing->data, before);

    if (!error)
        error = cache_flush(journal->cache);
    if (!error)
        error = write_log(journal, writing->data + before, 1);
    if (!error)
        error = cache_flush(journal->cache);
    return error;
}

static int make_transaction(struct writing *writing)
{
    int error = add_revokes(writing);

    if (!error)
        error = add_changed(writing);
    return error ? error : add_commit(writing);
}

/* Blocks of the log that the running transaction takes at most. */
static unsigned transaction_blocks(const struct journal *journal)
{
    unsigned changed = journal->cache->changed_count;

    return changed + changed / tags_per_block(journal) + 1 +
           journal->revoked_count / revokes_per_block(journal) + 1 + 1;
}

int journal_commit(struct journal *journal)
{
    struct cache *cache = journal->cache;
    struct writing writing = {.journal = journal,
                              .max = transaction_blocks(journal)};
    int error = -ENOMEM;

    if (writing.max > log_blocks(journal) - 1 - journal->used)
        return -EFBIG;
    writing.data = ext4_arena_alloc(writing.max * sizeof(uint8_t *));
    writing.made = ext4_arena_alloc(2 * writing.max * sizeof(uint8_t *));
    if (writing.data && writing.made)
        error = make_transaction(&writing);
    if (!error)
        error = write_transaction(&writing);
    while (writing.made_count > 0)
        ext4_arena_free(writing.made[--writing.made_count]);
    ext4_arena_free(writing.made);
    ext4_arena_free(writing.data);
    if (error)
        return error;
    journal->sequence++;
    journal->revoked_count = 0;
    while (cache->changed.next != &cache->changed)
        cache_mark_logged(cache, block_of(cache->changed.next));
    return 0;
}

/* ---- Checkpoints -------------------------------------------------------- */

int journal_checkpoint(struct journal *journal, bool end)
{
    struct cache *cache = journal->cache;
    int error = cache_write_logged(cache);

    if (!error)
        error = cache_flush(cache);
    if (!error && journal->started)
        error = log_write_super(journal, end ? 0 : journal->head);
    if (!error)
        error = cache_flush(cache);
    if (error)
        return error;
    journal->used = 0;
    journal->started = journal->started && !end;
    return 0;
}
