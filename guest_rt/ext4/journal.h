/* SPDX-License-Identifier: MIT */
/* The journal: changes of metadata happen as a whole or not at all. */
#ifndef GUEST_RT_EXT4_JOURNAL_H
#define GUEST_RT_EXT4_JOURNAL_H

/*
 * A transaction is all metadata that was changed since the last one. Committing
 * it writes the changed blocks to the log, flushes, writes the commit block and
 * flushes again; then the blocks may go to their places at any time. When the
 * log is half full they all do (journal_checkpoint()), and the log is empty
 * again. A crash in between leaves a log that whoever mounts the disk next
 * replays: journal_recover() here, or Linux, or e2fsck.
 *
 * A block that was logged and is freed may soon hold data, which is not
 * logged. A revoke record in the transaction that frees it keeps recovery from
 * writing the old metadata over that.
 */

#include "guest_rt/ext4/cache.h"
#include "guest_rt/ext4/jbd2.h"

/* Blocks in a row, of the journal and on the disk. */
struct journal_run {
    uint32_t index, count;
    uint64_t number;
};

struct journal {
    struct cache *cache;
    struct journal_run *runs; /* where it is on the disk, by index */
    unsigned run_count;
    uint32_t length, first; /* of the journal; the log is [first, length) */
    uint32_t head, used;    /* where it goes on; how many blocks count */
    uint32_t sequence;      /* of the next transaction */
    uint32_t features;      /* JBD2_INCOMPAT_* */
    uint32_t seed;          /* of checksums */
    bool started;           /* the disk says that the log is in use */
    struct jbd2_super super;
    uint64_t *revoked; /* blocks that the running transaction freed */
    unsigned revoked_count, revoked_max;
};

/*
 * Reads the journal's superblock; the runs, which it takes over, say where it
 * is. Returns 0, -EIO, or -EUCLEAN if that is no journal.
 */
int journal_open(struct journal *journal, struct cache *cache,
                 struct journal_run *runs, unsigned run_count);

void journal_close(struct journal *journal);

/* Whether there are transactions to replay. */
bool journal_needs_recovery(const struct journal *journal);

/*
 * Replays what is in the log, and empties it. Returns 0 or -errno, -ENOTSUP if
 * the log has what only others understand.
 */
int journal_recover(struct journal *journal);

/*
 * Makes an empty log ready for this writer: with 64-bit block numbers and
 * checksums if the file system has them. The disk follows with the first
 * transaction.
 */
void journal_prepare(struct journal *journal, bool wide, bool checksums);

/* Begins to use the log. Before the first transaction. Returns 0 or -errno. */
int journal_start(struct journal *journal);

/* Changed blocks that one transaction may have. */
unsigned journal_room(const struct journal *journal);

/* The block was logged and is freed. Returns 0 or -ENOMEM. */
int journal_revoke(struct journal *journal, uint64_t number);

/*
 * Commits all blocks that are CHANGED. When it returns 0 they are safe, and
 * all data that was written before is.
 */
int journal_commit(struct journal *journal);

/* Whether so much is in the log that it is time for a checkpoint. */
bool journal_is_full(const struct journal *journal);

/*
 * Writes all that is logged in its place, and empties the log. There must be
 * no changed blocks. With `end` the disk is told that the log is not in use.
 */
int journal_checkpoint(struct journal *journal, bool end);

#endif
