/* SPDX-License-Identifier: MIT */
/* What libext2fs calls for features that are refused at mount. */
#include "guest_rt/ext4/stand_in.h"

#include <stddef.h>

/* Any error of libext2fs's range; what ext4_errno() makes -EUCLEAN. */
#define NOT_SUPPORTED 2133571404l

const unsigned char ext2fs_blkmap64_rbtree[256];

void *ext2fs_hashmap_create(void)
{
    return NULL;
}

void ext2fs_hashmap_free(void)
{
}

unsigned ext2fs_djb2_hash(void)
{
    return 0;
}

const void *ext2fs_load_nls_table(void)
{
    return NULL;
}

long ext2fs_mmp_start(void)
{
    return NOT_SUPPORTED;
}

long ext2fs_mmp_stop(void)
{
    return 0;
}

long ext2fs_inline_data_init(void)
{
    return NOT_SUPPORTED;
}

long ext2fs_inline_data_set(void)
{
    return NOT_SUPPORTED;
}

long ext2fs_inline_data_expand(void)
{
    return NOT_SUPPORTED;
}

long ext2fs_inline_data_ea_remove(void)
{
    return NOT_SUPPORTED;
}

int ext2fs_inline_data_dir_iterate(void)
{
    return 0;
}

long ext2fs_read_bb_inode(void)
{
    return NOT_SUPPORTED;
}

long ext2fs_get_num_dirs(void)
{
    return NOT_SUPPORTED;
}
