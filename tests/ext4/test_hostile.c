/* SPDX-License-Identifier: MIT */
/* Damaged disks and disks that fail: errors, and nothing worse. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/ext4/files.h"

#define DAMAGES 300

static void make_tree(struct fake_disk *disk)
{
    struct ext4_fs *fs = files_mount(disk);
    struct ext4_inode *root = files_root(fs), *directory, *file;
    char name[64];

    cr_assert_eq(ext4_mkdir(root, "directory", 0755, &directory), 0);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "file-%d-with-some-name", i);
        file = files_open(directory, name);
        files_fill(file, (uint64_t)i * 4096, 100, 1);
        ext4_put(file);
    }
    file = files_open(root, "large");
    for (int i = 0; i < 40; i++)
        files_fill(file, (uint64_t)i * 9000, 1000, 2);
    ext4_put(file);
    ext4_put(directory);
    ext4_put(root);
    cr_assert_eq(ext4_unmount(fs), 0);
}

static bool count_name(void *context, const char *name, size_t length,
                       uint32_t number, unsigned type, uint64_t next)
{
    (void)name;
    (void)length;
    (void)number;
    (void)type;
    (void)next;
    return ++*(unsigned *)context < 10000;
}

/* Does this and that; whatever comes of it is fine, if it comes to an end. */
static void use(struct ext4_fs *fs)
{
    static char buffer[100000];
    struct iovec iov = {buffer, sizeof(buffer)};
    struct ext4_inode *root, *inode;
    uint64_t position = 0;
    unsigned names = 0;

    if (ext4_get(fs, EXT4_ROOT, &root))
        return;
    ext4_read_dir(root, &position, count_name, &names);
    if (!ext4_lookup(root, "large", &inode)) {
        position = 5000;
        ext4_read(inode, &iov, 1, 0);
        ext4_write(inode, &iov, 1, &position, false);
        ext4_truncate(inode, 3000);
        ext4_unlink(root, "large", inode);
        ext4_put(inode);
    }
    if (!ext4_lookup(root, "directory", &inode)) {
        struct ext4_inode *made;

        position = 0;
        ext4_read_dir(inode, &position, count_name, &names);
        if (S_ISDIR(ext4_mode(inode)) &&
            !ext4_create(inode, "new", S_IFREG | 0644, 0, &made)) {
            position = 0;
            ext4_write(made, &iov, 1, &position, false);
            ext4_fsync(made, false);
            ext4_put(made);
        }
        ext4_put(inode);
    }
    ext4_put(root);
}

static void copy_disk(const struct fake_disk *from, struct fake_disk *to)
{
    *to = *from;
    to->image = malloc(from->bytes);
    cr_assert_not_null(to->image);
    memcpy(to->image, from->image, from->bytes);
}

/*
 * Bytes change where the metadata is: the first groups' descriptors, bitmaps,
 * inodes, and blocks of directories and extents. Checksums are off, so that
 * damage is met by the code behind them.
 */
Test(ext4_hostile, damage_gives_errors_and_comes_to_an_end, .timeout = 200)
{
    struct fake_disk whole, damaged;
    unsigned seed = 1;

    fake_make(&whole, 4, "-b 1024 -J size=1 -O ^metadata_csum,^64bit", NULL);
    make_tree(&whole);
    for (unsigned i = 0; i < DAMAGES; i++) {
        struct ext4_fs *fs;
        unsigned count = 1 + i % 40;

        copy_disk(&whole, &damaged);
        while (count-- > 0) {
            size_t range = i % 3 == 0 ? 8192 : i % 3 == 1 ? 400000 : 2000000;
            size_t at = 1024 + (size_t)rand_r(&seed) % range;

            damaged.image[at] = (uint8_t)rand_r(&seed);
        }
        if (!ext4_mount(&damaged.disk, false, 1 << 20, &fs)) {
            use(fs);
            ext4_unmount(fs);
        }
        cr_assert(!damaged.locked[EXT4_CHANGES] &&
                  !damaged.locked[EXT4_BLOCKS]);
        free(damaged.image);
    }
    free(whole.image);
}

/* After an error of the disk nothing is promised, and nothing is lost. */
Test(ext4_hostile, a_disk_that_fails_keeps_the_last_transaction, .timeout = 200)
{
    struct fake_disk whole, failing;

    fake_make(&whole, 6, "-b 1024 -J size=1", NULL);
    make_tree(&whole);
    for (long writes = 0; writes < 60; writes++) {
        struct ext4_inode *root, *file;
        struct ext4_fs *fs;

        copy_disk(&whole, &failing);
        fs = files_mount(&failing);
        failing.fail_after = writes;
        use(fs);
        root = files_root(fs);
        if (!ext4_create(root, "late", S_IFREG | 0644, 0, &file))
            ext4_put(file);
        if (ext4_sync(fs))
            cr_assert_eq(ext4_create(root, "later", S_IFREG | 0644, 0, &file),
                         -EROFS);
        ext4_put(root);
        ext4_unmount(fs);
        failing.fail_after = -1;
        fs = files_mount(&failing);
        cr_assert_eq(ext4_unmount(fs), 0);
        cr_assert_eq(fake_check(&failing, "-fn"), 0, "after %ld", writes);
        free(failing.image);
    }
    free(whole.image);
}

Test(ext4_hostile, what_is_not_ext4_is_refused)
{
    struct fake_disk disk;
    struct ext4_fs *fs;

    fake_make(&disk, 4, "", NULL);
    memset(disk.image, 0, 4096);
    cr_assert_eq(ext4_mount(&disk.disk, false, 1 << 20, &fs), -ENODEV);
    fake_free(&disk);
    fake_make(&disk, 4, "-O ^has_journal", NULL);
    cr_assert_eq(ext4_mount(&disk.disk, false, 1 << 20, &fs), -ENOTSUP);
    fake_free(&disk);
}
