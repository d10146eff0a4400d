/* SPDX-License-Identifier: MIT */
/* Short ways to do what programs do with files. */
#include "tests/ext4/files.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct ext4_fs *files_mount(struct fake_disk *disk)
{
    struct ext4_fs *fs = NULL;
    int error = ext4_mount(&disk->disk, false, 1 << 20, &fs);

    cr_assert_eq(error, 0, "mount: %s", strerror(-error));
    return fs;
}

struct ext4_inode *files_root(struct ext4_fs *fs)
{
    struct ext4_inode *root = NULL;

    cr_assert_eq(ext4_get(fs, EXT4_ROOT, &root), 0);
    return root;
}

struct ext4_inode *files_find(struct ext4_inode *directory, const char *name)
{
    struct ext4_inode *inode = NULL;
    int error = ext4_lookup(directory, name, &inode);

    cr_assert(error == 0 || error == -ENOENT, "%s: %s", name, strerror(-error));
    return error ? NULL : inode;
}

struct ext4_inode *files_open(struct ext4_inode *directory, const char *name)
{
    struct ext4_inode *inode = files_find(directory, name);
    int error;

    if (inode)
        return inode;
    error = ext4_create(directory, name, S_IFREG | 0644, 0, &inode);
    cr_assert_eq(error, 0, "%s: %s", name, strerror(-error));
    return inode;
}

static void make_pattern(uint8_t *buffer, uint64_t offset, size_t bytes,
                         unsigned seed)
{
    for (size_t i = 0; i < bytes; i++)
        buffer[i] =
            (uint8_t)((offset + i) * 31 + (offset + i) / 251 + seed * 97 + 1);
}

void files_fill(struct ext4_inode *inode, uint64_t offset, size_t bytes,
                unsigned seed)
{
    uint8_t *buffer = malloc(bytes);
    struct iovec iov = {buffer, bytes};
    long written;

    make_pattern(buffer, offset, bytes, seed);
    written = ext4_write(inode, &iov, 1, &offset, false);
    cr_assert_eq(written, (long)bytes, "wrote %ld of %zu", written, bytes);
    free(buffer);
}

bool files_match(struct ext4_inode *inode, uint64_t offset, size_t bytes,
                 unsigned seed)
{
    uint8_t *wanted = malloc(bytes), *found = calloc(1, bytes);
    struct iovec iov = {found, bytes};
    bool same;

    make_pattern(wanted, offset, bytes, seed);
    same = ext4_read(inode, &iov, 1, offset) == (long)bytes &&
           memcmp(wanted, found, bytes) == 0;
    free(wanted);
    free(found);
    return same;
}

void files_remove(struct ext4_inode *directory, const char *name)
{
    struct ext4_inode *inode = files_find(directory, name);
    int error;

    if (!inode)
        return;
    error = S_ISDIR(ext4_mode(inode)) ? ext4_rmdir(directory, name, inode)
                                      : ext4_unlink(directory, name, inode);
    cr_assert_eq(error, 0, "%s: %s", name, strerror(-error));
    ext4_put(inode);
}

void files_rename(struct ext4_inode *directory, const char *name,
                  const char *new_name)
{
    struct ext4_inode *inode = files_find(directory, name);
    struct ext4_inode *replaced = files_find(directory, new_name);

    cr_assert_not_null(inode);
    cr_assert_eq(ext4_rename(directory, name, inode, directory, new_name,
                             replaced, false),
                 0);
    ext4_put(inode);
    if (replaced)
        ext4_put(replaced);
}
