/* SPDX-License-Identifier: MIT */
/* Short ways to do what programs do with files, for tests. */
#ifndef TESTS_EXT4_FILES_H
#define TESTS_EXT4_FILES_H

#include "tests/ext4/fake_disk.h"

struct ext4_fs *files_mount(struct fake_disk *disk);

/* The root, with a reference. */
struct ext4_inode *files_root(struct ext4_fs *fs);

/* The file of this name in a directory, or NULL; with a reference. */
struct ext4_inode *files_find(struct ext4_inode *directory, const char *name);

/* Makes one, or finds it. */
struct ext4_inode *files_open(struct ext4_inode *directory, const char *name);

/* Writes bytes of a pattern that their place and `seed` give. */
void files_fill(struct ext4_inode *inode, uint64_t offset, size_t bytes,
                unsigned seed);

/* Whether that is what is there. */
bool files_match(struct ext4_inode *inode, uint64_t offset, size_t bytes,
                 unsigned seed);

/* Removes a name; nothing if it is not there. */
void files_remove(struct ext4_inode *directory, const char *name);

/* Renames within a directory, over what is there. */
void files_rename(struct ext4_inode *directory, const char *name,
                  const char *new_name);

#endif
