/* SPDX-License-Identifier: MIT */
/* What libext2fs calls, and an image does without. */
#ifndef GUEST_RT_EXT4_STAND_IN_H
#define GUEST_RT_EXT4_STAND_IN_H

/*
 * Not its declarations: none of these is reached. File systems with inline
 * data, multiple mount protection, case folding or shared blocks are refused at
 * mount; bitmaps are arrays of bits, never trees; its list of bad blocks is not
 * read.
 */
extern const unsigned char ext2fs_blkmap64_rbtree[256];

void *ext2fs_hashmap_create(void);
void ext2fs_hashmap_free(void);
unsigned ext2fs_djb2_hash(void);
const void *ext2fs_load_nls_table(void);
long ext2fs_mmp_start(void);
long ext2fs_mmp_stop(void);
long ext2fs_inline_data_init(void);
long ext2fs_inline_data_set(void);
long ext2fs_inline_data_expand(void);
long ext2fs_inline_data_ea_remove(void);
int ext2fs_inline_data_dir_iterate(void);
long ext2fs_read_bb_inode(void);
long ext2fs_get_num_dirs(void);

#endif
