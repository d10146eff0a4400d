/* SPDX-License-Identifier: MIT */
/* Files do what files in memory would. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/ext4/files.h"

#define FILE_BYTES 400000u
#define STEPS      3000u

/* The same file in memory. */
struct model {
    uint8_t bytes[FILE_BYTES];
    uint64_t size;
};

static void write_both(struct ext4_inode *file, struct model *model,
                       uint64_t offset, size_t bytes, unsigned value)
{
    struct iovec iov = {model->bytes + offset, bytes};

    memset(model->bytes + offset, (int)value, bytes);
    cr_assert_eq(ext4_write(file, &iov, 1, &offset, false), (long)bytes);
    if (offset + bytes > model->size)
        model->size = offset + bytes;
}

static void resize_both(struct ext4_inode *file, struct model *model,
                        uint64_t size)
{
    const struct ext4_change change = {.size = &size};

    cr_assert_eq(ext4_set(file, &change), 0);
    memset(model->bytes + size, 0, FILE_BYTES - size);
    model->size = size;
}

static void allocate_both(struct ext4_inode *file, struct model *model,
                          uint64_t offset, uint64_t bytes, unsigned kind)
{
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
                                FALLOC_FL_ZERO_RANGE};
    int mode = modes[kind % 4];

    cr_assert_eq(ext4_fallocate(file, mode, offset, bytes), 0);
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        memset(model->bytes + offset, 0, bytes);
    if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + bytes > model->size)
        model->size = offset + bytes;
}

static void compare(struct ext4_inode *file, const struct model *model,
                    unsigned step)
{
    static uint8_t found[FILE_BYTES];
    struct iovec iov = {found, sizeof(found)};

    cr_assert_eq(ext4_size(file), model->size, "step %u", step);
    cr_assert_eq(ext4_read(file, &iov, 1, 0), (long)model->size);
    cr_assert(!memcmp(found, model->bytes, model->size), "step %u", step);
}

static void run_steps(struct ext4_fs *fs, struct ext4_inode *file,
                      struct model *model, unsigned seed)
{
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t at = (unsigned)rand_r(&seed) % (FILE_BYTES - 20000);
        unsigned what = (unsigned)rand_r(&seed) % 16;
        size_t bytes = 1 + (unsigned)rand_r(&seed) % (what < 2 ? 20000 : 900);

        if (what < 9)
            write_both(file, model, at, bytes, step);
        else if (what < 11)
            resize_both(file, model, at);
        else if (what < 14)
            allocate_both(file, model, at, bytes * 5, step);
        else if (what == 14)
            cr_assert_eq(ext4_fsync(file, step % 2), 0);
        else
            cr_assert_eq(ext4_sync(fs), 0);
        if (step % 20 == 0)
            compare(file, model, step);
    }
    compare(file, model, STEPS);
}

static void compare_with_memory(const char *options)
{
    static struct model model;
    struct ext4_inode *root, *file;
    struct fake_disk disk;
    struct ext4_fs *fs;

    fake_make(&disk, 16, options, NULL);
    fs = files_mount(&disk);
    root = files_root(fs);
    file = files_open(root, "file");
    run_steps(fs, file, &model, 7);
    ext4_put(file);
    ext4_put(root);
    cr_assert_eq(ext4_unmount(fs), 0);
    cr_assert_eq(fake_check(&disk, "-fn"), 0);
    fs = files_mount(&disk);
    root = files_root(fs);
    file = files_find(root, "file");
    compare(file, &model, 0);
    files_remove(root, "file");
    ext4_put(file);
    ext4_put(root);
    cr_assert_eq(ext4_unmount(fs), 0);
    cr_assert_eq(fake_check(&disk, "-fn"), 0);
    fake_free(&disk);
}

Test(ext4_files, are_as_in_memory_with_small_blocks, .timeout = 120)
{
    compare_with_memory("-b 1024 -J size=1");
}

Test(ext4_files, are_as_in_memory_with_large_blocks, .timeout = 120)
{
    compare_with_memory("-b 4096 -J size=4");
}

/* A full disk says so, and what is removed can be used again at once. */
Test(ext4_files, fill_the_disk_and_make_room_again, .timeout = 120)
{
    static char buffer[65536];
    struct iovec iov = {buffer, sizeof(buffer)};
    struct ext4_inode *root, *file, *made;
    struct fake_disk disk;
    struct ext4_fs *fs;
    uint64_t offset = 0;
    long written;

    fake_make(&disk, 6, "-b 1024 -J size=1", NULL);
    fs = files_mount(&disk);
    root = files_root(fs);
    for (int round = 0; round < 4; round++) {
        file = files_open(root, "file");
        for (offset = 0;
             (written = ext4_write(file, &iov, 1, &offset, false)) > 0;)
            offset += (uint64_t)written;
        cr_assert_eq(written, -ENOSPC);
        cr_assert_gt(offset, 3u << 20);
        cr_assert_eq(ext4_create(root, "more", S_IFREG | 0644, 0, &made),
                     -ENOSPC);
        files_remove(root, "file");
        ext4_put(file);
    }
    ext4_put(root);
    cr_assert_eq(ext4_unmount(fs), 0);
    cr_assert_eq(fake_check(&disk, "-fn"), 0);
    fake_free(&disk);
}

/* What mke2fs puts there, an indexed directory of e2fsck's among it. */
Test(ext4_files, directories_with_an_index_are_kept, .timeout = 120)
{
    struct ext4_inode *root, *directory;
    struct fake_disk disk;
    struct ext4_fs *fs;
    char name[64];

    fake_make(&disk, 8, "-b 1024 -J size=1", NULL);
    for (int round = 0; round < 3; round++) {
        fs = files_mount(&disk);
        root = files_root(fs);
        directory = files_find(root, "directory");
        if (!directory)
            cr_assert_eq(ext4_mkdir(root, "directory", 0755, &directory), 0);
        for (int i = 0; i < 300; i++) {
            snprintf(name, sizeof(name), "round-%d-name-%d-of-many", round, i);
            ext4_put(files_open(directory, name));
            if (round && i % 3 == 0) {
                snprintf(name, sizeof(name), "round-%d-name-%d-of-many",
                         round - 1, i);
                files_remove(directory, name);
            }
        }
        ext4_put(directory);
        ext4_put(root);
        cr_assert_eq(ext4_unmount(fs), 0);
        cr_assert_eq(fake_check(&disk, "-fn"), 0);
        cr_assert_leq(fake_check(&disk, "-fyD"), 1);
    }
    fake_free(&disk);
}

Test(ext4_files, gives_no_name_to_a_file_that_lost_its_last, .timeout = 60)
{
    struct fake_disk disk;
    struct ext4_inode *root, *file;
    struct ext4_fs *fs;

    fake_make(&disk, 4, "-b 1024", NULL);
    fs = files_mount(&disk);
    root = files_root(fs);
    file = files_open(root, "a");
    files_remove(root, "a");
    cr_assert_eq(ext4_link(root, "b", file, false), -ENOENT);
    ext4_put(file);
    cr_assert_eq(ext4_create(root, NULL, S_IFREG | 0644, 0, &file), 0);
    cr_assert_eq(ext4_link(root, "b", file, true), 0);
    ext4_put(file);
    ext4_put(root);
    cr_assert_eq(ext4_unmount(fs), 0);
    cr_assert_eq(fake_check(&disk, "-fn"), 0);
    fake_free(&disk);
}
