/* SPDX-License-Identifier: MIT */
/* After a crash at any moment the disk is whole, and keeps what was synced. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/ext4/files.h"

/*
 * A program appends to a log and replaces a file by renaming, both with
 * fsync, while directories come and go: their blocks are then used for data,
 * which is what revoke records are for.
 */

/* With sanitizers there are fewer crashes: they take long. */
#ifdef __SANITIZE_ADDRESS__
#define STEP(count) (6 * (count))
#else
#define STEP(count) (count)
#endif

#define ROUNDS       24
#define RECORD_BYTES 700u
#define STATE_BYTES  5000u
#define REUSE_BYTES  60000u

/* What had been synced when so many operations of the disk's log were done. */
struct promise {
    size_t operations;
    uint64_t log_bytes;
    unsigned state; /* seed of the file's content; 0: it need not be there */
    unsigned reuse; /* likewise */
};

struct history {
    struct promise promises[ROUNDS * 4];
    unsigned count;
};

static void promise(struct history *history, const struct fake_disk *disk,
                    struct promise made)
{
    made.operations = disk->count;
    history->promises[history->count++] = made;
}

/* Directories with names enough for several blocks, then none of them. */
static void churn(struct ext4_inode *root, unsigned round)
{
    struct ext4_inode *directory, *file;
    char name[64];

    if (round % 2 == 0) {
        cr_assert_eq(ext4_mkdir(root, "churn", 0755, &directory), 0);
        for (int i = 0; i < 40; i++) {
            snprintf(name, sizeof(name), "%02d-a-name-that-takes-room-%d", i,
                     i);
            file = files_open(directory, name);
            if (i % 8 == 0)
                files_fill(file, 3000, 3000, round);
            ext4_put(file);
        }
        ext4_put(directory);
        return;
    }
    directory = files_find(root, "churn");
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "%02d-a-name-that-takes-room-%d", i, i);
        files_remove(directory, name);
    }
    ext4_put(directory);
    files_remove(root, "churn");
}

static void run_round(struct fake_disk *disk, struct ext4_inode *root,
                      struct history *history, struct promise *now,
                      unsigned round)
{
    struct ext4_inode *log = files_open(root, "log");
    struct ext4_inode *file;

    files_fill(log, ext4_size(log), RECORD_BYTES, 7);
    cr_assert_eq(ext4_fsync(log, round % 3 == 0), 0);
    now->log_bytes = ext4_size(log);
    promise(history, disk, *now);
    ext4_put(log);

    churn(root, round);

    file = files_open(root, "state.new");
    files_fill(file, 0, STATE_BYTES, round + 1);
    cr_assert_eq(ext4_fsync(file, false), 0);
    files_rename(root, "state.new", "state");
    cr_assert_eq(ext4_fsync(root, false), 0);
    now->state = round + 1;
    promise(history, disk, *now);
    ext4_put(file);

    /* While it is replaced there is no promise about it. */
    now->reuse = 0;
    promise(history, disk, *now);
    file = files_open(root, "reuse");
    cr_assert_eq(ext4_truncate(file, round % 5 * 1000), 0);
    files_fill(file, 0, REUSE_BYTES, round + 1);
    cr_assert_eq(ext4_fsync(file, true), 0);
    now->reuse = round + 1;
    promise(history, disk, *now);
    ext4_put(file);
}

static struct ext4_fs *reading;
static unsigned reads;

static bool count_name(void *context, const char *name, size_t length,
                       uint32_t number, unsigned type, uint64_t next)
{
    (void)name;
    (void)length;
    (void)number;
    (void)type;
    (void)next;
    ++*(unsigned *)context;
    return true;
}

/* While the disk is flushed others read what is there. */
static void read_meanwhile(struct fake_disk *disk)
{
    struct ext4_inode *root = files_root(reading);
    struct ext4_inode *log = files_find(root, "log");
    uint64_t position = 0;
    unsigned names = 0;

    (void)disk;
    cr_assert_eq(ext4_read_dir(root, &position, count_name, &names), 0);
    cr_assert(names >= 3);
    if (log) {
        cr_assert(!ext4_size(log) || files_match(log, 0, ext4_size(log), 7));
        ext4_put(log);
        reads++;
    }
    ext4_put(root);
}

static void run_program(struct fake_disk *disk, struct history *history)
{
    struct ext4_fs *fs = files_mount(disk);
    struct ext4_inode *root = files_root(fs), *open_file;
    struct promise now = {0};

    reading = fs;
    disk->meanwhile = read_meanwhile;
    open_file = files_open(root, "unlinked");
    files_fill(open_file, 0, 20000, 3);
    files_remove(root, "unlinked");
    for (unsigned round = 0; round < ROUNDS; round++)
        run_round(disk, root, history, &now, round);
    cr_assert(reads > ROUNDS, "nobody read while the disk was flushed");
    disk->meanwhile = NULL;
    ext4_put(open_file);
    ext4_put(root);
    cr_assert_eq(ext4_unmount(fs), 0);
}

/* The last promise made before so many operations. */
static struct promise promised(const struct history *history, size_t count)
{
    struct promise last = {0};

    for (unsigned i = 0; i < history->count; i++)
        if (history->promises[i].operations <= count)
            last = history->promises[i];
    return last;
}

static void check_content(struct fake_disk *disk, const struct promise *kept,
                          size_t at)
{
    struct ext4_fs *fs = files_mount(disk);
    struct ext4_inode *root = files_root(fs);
    struct ext4_inode *log = files_find(root, "log");
    struct ext4_inode *state = files_find(root, "state");
    struct ext4_inode *reuse = files_find(root, "reuse");

    if (kept->log_bytes)
        cr_assert(log && ext4_size(log) >= kept->log_bytes, "at %zu", at);
    if (log)
        cr_assert(!ext4_size(log) || files_match(log, 0, ext4_size(log), 7),
                  "log at %zu", at);
    if (kept->state)
        cr_assert(state && ext4_size(state) == STATE_BYTES &&
                      (files_match(state, 0, STATE_BYTES, kept->state) ||
                       files_match(state, 0, STATE_BYTES, kept->state + 1)),
                  "state at %zu", at);
    if (kept->reuse)
        cr_assert(reuse && files_match(reuse, 0, REUSE_BYTES, kept->reuse),
                  "reuse at %zu", at);
    cr_assert_null(files_find(root, "unlinked"));
    if (log)
        ext4_put(log);
    if (state)
        ext4_put(state);
    if (reuse)
        ext4_put(reuse);
    ext4_put(root);
    cr_assert_eq(ext4_unmount(fs), 0);
}

static void check_crash(const struct fake_disk *disk,
                        const struct history *history, size_t at, unsigned seed)
{
    struct promise kept = promised(history, at);
    struct fake_disk crashed;
    int status;

    /* This file system's own recovery, and what e2fsck thinks of it. */
    fake_crash(disk, at, seed, &crashed);
    check_content(&crashed, &kept, at);
    status = fake_check(&crashed, "-fn");
    cr_assert_eq(status, 0, "e2fsck: %d after recovery at %zu, seed %u", status,
                 at, seed);
    fake_free(&crashed);

    /* e2fsck's recovery: it finds nothing else to repair. */
    if (at % 4 && seed)
        return;
    fake_crash(disk, at, seed, &crashed);
    status = fake_check(&crashed, "-p");
    cr_assert(status == 0 || status == 1, "e2fsck -p: %d at %zu, seed %u",
              status, at, seed);
    status = fake_check(&crashed, "-fn");
    cr_assert_eq(status, 0, "e2fsck: %d after its own recovery at %zu", status,
                 at);
    check_content(&crashed, &kept, at);
    fake_free(&crashed);
}

static void crash_everywhere(unsigned mib, const char *options, size_t step)
{
    static struct history history;
    struct fake_disk disk;

    fake_make(&disk, mib, options, NULL);
    fake_record(&disk);
    run_program(&disk, &history);
    cr_assert_eq(fake_check(&disk, "-fn"), 0);
    cr_assert(disk.count > 500, "only %zu operations", disk.count);
    for (size_t at = 0; at <= disk.count; at += step) {
        unsigned turn = (unsigned)(at / step);

        check_crash(&disk, &history, at, turn % 3 ? turn : 0);
    }
    fake_free(&disk);
}

/* 1 KiB blocks: many more operations, and blocks that begin anywhere. */
Test(ext4_crash, keeps_promises_with_small_blocks, .timeout = 300)
{
    crash_everywhere(6, "-b 1024 -J size=1", STEP(5));
}

Test(ext4_crash, keeps_promises_with_large_blocks, .timeout = 300)
{
    crash_everywhere(12, "-b 4096 -J size=4", STEP(5));
}

Test(ext4_crash, keeps_promises_without_checksums, .timeout = 300)
{
    crash_everywhere(6, "-b 1024 -J size=1 -O ^metadata_csum,^64bit", STEP(9));
}

/* ---- Flushes ------------------------------------------------------------- */

/* Writes one block in its place and syncs it. Returns the flushes. */
static unsigned sync_again(struct fake_disk *disk, struct ext4_inode *file,
                           bool data_only)
{
    size_t before = disk->count;
    unsigned flushes = 0;

    files_fill(file, 4096, 4096, (unsigned)before);
    cr_assert_eq(ext4_fsync(file, data_only), 0);
    for (size_t i = before; i < disk->count; i++)
        flushes += !disk->log[i].bytes;
    return flushes;
}

/*
 * A commit takes two: its commit block says that all before it is on the disk.
 * Data alone takes one, and so does fsync if the file's times are what they
 * were.
 */
Test(ext4_crash, flushes_as_often_as_promises_take, .timeout = 60)
{
    struct ext4_inode *root, *file;
    struct fake_disk disk;
    struct ext4_fs *fs;

    fake_make(&disk, 12, "-b 4096 -J size=4", NULL);
    fake_record(&disk);
    fs = files_mount(&disk);
    root = files_root(fs);
    file = files_open(root, "file");
    files_fill(file, 0, 16384, 1);
    cr_assert_eq(ext4_fsync(file, false), 0);

    cr_expect_eq(sync_again(&disk, file, false), 1);
    fake_seconds++;
    cr_expect_eq(sync_again(&disk, file, true), 1);
    cr_expect_eq(sync_again(&disk, file, false), 2);
    cr_expect_eq(sync_again(&disk, file, false), 1);
    files_fill(file, 16384, 4096, 1);
    cr_expect_eq(sync_again(&disk, file, true), 2);
    cr_expect_eq(sync_again(&disk, file, true), 1);
    files_rename(root, "file", "other");
    cr_expect_eq(sync_again(&disk, file, false), 2);

    ext4_put(file);
    ext4_put(root);
    cr_assert_eq(ext4_unmount(fs), 0);
    fake_free(&disk);
}
