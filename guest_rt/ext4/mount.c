/* SPDX-License-Identifier: MIT */
/* Mounting and unmounting. */
#include <errno.h>
#include <string.h>

#include "guest_rt/ext4/arena.h"
#include "guest_rt/ext4/fs.h"

#define SUPER_BYTES  1024u
#define SUPER_SECTOR (1024u / EXT4_SECTOR_BYTES)

/* Blocks of 1 to 4 KiB. */
#define LOG_BLOCK_MAX 2u

/* The cache holds so many blocks at least. */
#define CACHE_BLOCKS_MIN 512u

/* What is refused altogether, and what is when something is to be written. */
#define UNKNOWN_INCOMPAT                                                       \
    (~(uint32_t)(EXT2_FEATURE_INCOMPAT_FILETYPE |                              \
                 EXT3_FEATURE_INCOMPAT_RECOVER |                               \
                 EXT3_FEATURE_INCOMPAT_EXTENTS | EXT4_FEATURE_INCOMPAT_64BIT | \
                 EXT4_FEATURE_INCOMPAT_FLEX_BG |                               \
                 EXT2_FEATURE_INCOMPAT_META_BG |                               \
                 EXT4_FEATURE_INCOMPAT_LARGEDIR |                              \
                 EXT4_FEATURE_INCOMPAT_CSUM_SEED))
#define KNOWN_READ_ONLY                                                        \
    (EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE | \
     EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_GDT_CSUM |      \
     EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE |   \
     EXT4_FEATURE_RO_COMPAT_METADATA_CSUM)

/* ---- The superblock in its place ---------------------------------------- */

static int move_super(struct ext4_disk *disk, bool write,
                      struct ext2_super_block *super)
{
    struct iovec piece = {super, SUPER_BYTES};
    int error = disk->start(disk, write, SUPER_SECTOR, &piece, 1);
    int outcome = disk->wait(disk);

    return error ? error : outcome;
}

/* Sets or clears the flag that the journal is in use. */
int fs_write_flag(struct ext4_fs *fs, bool in_use)
{
    struct ext2_super_block super;
    int error = move_super(fs->disk, false, &super);

    if (error)
        return error;
    for (int i = 0; i < 2; i++) {
        struct ext2_super_block *each = i ? fs->lib->super : &super;

        if (in_use)
            each->s_feature_incompat |= EXT3_FEATURE_INCOMPAT_RECOVER;
        else
            each->s_feature_incompat &=
                ~(uint32_t)EXT3_FEATURE_INCOMPAT_RECOVER;
    }
    ext2fs_superblock_csum_set(fs->lib, &super);
    fs->cache.written = true;
    error = move_super(fs->disk, true, &super);
    if (!error)
        error = cache_flush(&fs->cache);
    fs->super_changed = in_use;
    return error;
}

/* Block size of an ext4 disk that this can work with; 0: it is none. */
static unsigned find_block_bytes(const struct ext4_disk *disk,
                                 const struct ext2_super_block *super)
{
    unsigned bytes;

    if (super->s_magic != EXT2_SUPER_MAGIC ||
        super->s_log_block_size > LOG_BLOCK_MAX)
        return 0;
    bytes = EXT2_MIN_BLOCK_SIZE << super->s_log_block_size;
    return ext2fs_blocks_count((struct ext2_super_block *)super) <=
                   disk->sectors / (bytes / EXT4_SECTOR_BYTES)
               ? bytes
               : 0;
}

static int check_features(const struct ext4_fs *fs)
{
    const struct ext2_super_block *super = fs->lib->super;

    if ((super->s_feature_incompat & UNKNOWN_INCOMPAT) ||
        (super->s_feature_ro_compat & ~KNOWN_READ_ONLY))
        return -ENOTSUP;
    return fs->read_only || ext2fs_has_feature_journal(fs->lib->super)
               ? 0
               : -ENOTSUP;
}

/* ---- Opening ------------------------------------------------------------ */

static int open_lib(struct ext4_fs *fs)
{
    int flags = EXT2_FLAG_64BITS | (fs->read_only ? 0 : EXT2_FLAG_RW);
    errcode_t error;

    channel_init(fs);
    error = ext2fs_open("disk", flags, 0, 0, &fs->manager, &fs->lib);
    if (error) {
        fs->lib = NULL;
        if (error == EXT2_ET_UNSUPP_FEATURE ||
            error == EXT2_ET_RO_UNSUPP_FEATURE)
            return -ENOTSUP;
        return ext4_errno(error);
    }
    fs->lib->priv_data = fs;
    return check_features(fs);
}

static void close_lib(struct ext4_fs *fs)
{
    if (fs->lib)
        ext2fs_free(fs->lib);
    fs->lib = NULL;
}

/* Adds what follows of the journal's file. Returns 0 or -errno. */
static int add_run(struct journal_run **runs, unsigned *count,
                   const struct map_run *found, uint32_t blocks)
{
    struct journal_run *larger =
        ext4_arena_realloc(*runs, (*count + 1) * sizeof(*larger));

    if (!larger)
        return -ENOMEM;
    larger[(*count)++] =
        (struct journal_run){(uint32_t)found->block, blocks, found->number};
    *runs = larger;
    return 0;
}

/* Finds where the journal's file is. */
static int find_journal(struct ext4_fs *fs, struct journal_run **runs,
                        unsigned *count)
{
    struct ext4_inode file = {.fs = fs,
                              .number = fs->lib->super->s_journal_inum};
    int error = file.number ? inode_load(&file) : -ENOTSUP;
    uint64_t blocks, at = 0;
    struct map_run run;

    *runs = NULL;
    *count = 0;
    blocks = error ? 0 : inode_size(&file) / fs->block_bytes;
    if (!error && blocks >= UINT32_MAX)
        error = -EUCLEAN;
    while (!error && at < blocks) {
        error = map_find(&file, at, &run);
        if (!error && (!run.number || run.unwritten))
            error = -EUCLEAN;
        if (error)
            break;
        if (run.count > blocks - at)
            run.count = blocks - at;
        error = add_run(runs, count, &run, (uint32_t)run.count);
        at += run.count;
    }
    return error;
}

static int open_journal(struct ext4_fs *fs)
{
    struct journal_run *runs;
    unsigned count;
    int error = find_journal(fs, &runs, &count);

    if (error) {
        ext4_arena_free(runs);
        return error;
    }
    return journal_open(&fs->journal, &fs->cache, runs, count);
}

/* Replays the journal if it has to be; the superblock may be another then. */
static int recover(struct ext4_fs *fs)
{
    bool in_use = ext2fs_has_feature_journal_needs_recovery(fs->lib->super);
    int error;

    if (!journal_needs_recovery(&fs->journal)) {
        fs->started = false;
        return in_use && !fs->read_only ? fs_write_flag(fs, false) : 0;
    }
    if (fs->disk->read_only)
        return -EROFS;
    error = journal_recover(&fs->journal);
    close_lib(fs);
    if (!error)
        error = open_lib(fs);
    if (error)
        return error;
    journal_close(&fs->journal);
    error = open_journal(fs);
    return error ? error : fs_write_flag(fs, false);
}

/* What only those need that write. */
static int open_for_writing(struct ext4_fs *fs)
{
    int error = ext4_errno(ext2fs_read_bitmaps(fs->lib));

    if (!error)
        error = space_init(fs);
    fs->super_changed = false;
    if (!error)
        error = inode_clean_orphans(fs);
    return error;
}

static int open_all(struct ext4_fs *fs)
{
    int error = open_lib(fs);

    if (!error && ext2fs_has_feature_journal(fs->lib->super)) {
        error = open_journal(fs);
        if (!error)
            error = recover(fs);
    }
    if (!error && !fs->read_only)
        error = open_for_writing(fs);
    return error;
}

static void free_all(struct ext4_fs *fs)
{
    space_fini(fs);
    journal_close(&fs->journal);
    close_lib(fs);
    cache_fini(&fs->cache);
    ext4_arena_free(fs);
}

static int create(struct ext4_disk *disk, size_t cache_bytes,
                  struct ext4_fs **created)
{
    struct ext2_super_block super;
    int error = move_super(disk, false, &super);
    unsigned bytes = error ? 0 : find_block_bytes(disk, &super);
    size_t blocks = bytes ? cache_bytes / bytes : 0;
    struct ext4_fs *fs;

    if (!bytes)
        return error ? error : -ENODEV;
    fs = ext4_arena_alloc_zeroed(1, sizeof(*fs));
    if (!fs)
        return -ENOMEM;
    if (blocks < CACHE_BLOCKS_MIN)
        blocks = CACHE_BLOCKS_MIN;
    fs->disk = disk;
    fs->block_bytes = bytes;
    fs->transaction = 1;
    error = cache_init(&fs->cache, disk, bytes, (unsigned)blocks);
    if (error)
        free_all(fs);
    else
        *created = fs;
    return error;
}

static void say_why(int error)
{
    switch (error) {
    case -ENODEV:
        ext4_say("there is no ext4 file system on the disk "
                 "(make one with: mke2fs -t ext4 FILE)");
        break;
    case -ENOTSUP:
        ext4_say("the file system has no journal, or features that are not "
                 "known here (dumpe2fs -h FILE lists them)");
        break;
    case -EROFS:
        ext4_say("the journal has to be replayed, and the disk is read-only "
                 "(run: e2fsck FILE)");
        break;
    case -EUCLEAN:
        ext4_say("the file system is damaged (run: e2fsck FILE)");
        break;
    default:
        ext4_say("the file system cannot be read");
    }
}

int ext4_mount(struct ext4_disk *disk, bool read_only, size_t cache_bytes,
               struct ext4_fs **mounted)
{
    struct ext4_fs *fs = NULL;
    int error;

    fs_lock(disk);
    error = create(disk, cache_bytes, &fs);
    if (!error) {
        fs->read_only = read_only || disk->read_only;
        error = open_all(fs);
        if (error)
            free_all(fs);
        else
            fs->cache.shared = true;
    }
    fs_unlock(disk);
    if (error)
        say_why(error);
    else
        *mounted = fs;
    return error;
}

/* ---- The end ------------------------------------------------------------ */

/* Nobody uses these any more, or the program ends. */
static void put_inodes(struct ext4_fs *fs)
{
    for (unsigned i = 0; i < INODE_BUCKETS; i++)
        while (fs->inodes[i]) {
            fs->inodes[i]->references = 1;
            inode_put(fs->inodes[i]);
        }
}

int ext4_unmount(struct ext4_fs *fs)
{
    struct ext4_disk *disk = fs->disk;
    int error;

    fs_lock(disk);
    fs->cache.shared = false;
    put_inodes(fs);
    error = fs_commit(fs);
    if (!error && fs->started) {
        error = journal_checkpoint(&fs->journal, true);
        if (!error)
            error = fs_write_flag(fs, false);
    }
    free_all(fs);
    fs_unlock(disk);
    return error;
}
