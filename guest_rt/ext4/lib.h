/* SPDX-License-Identifier: MIT */
/* libext2fs's headers, and its errors as Linux's. */
#ifndef GUEST_RT_EXT4_LIB_H
#define GUEST_RT_EXT4_LIB_H

/* Their code would not pass this project's warnings. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wundef"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "guest_rt/ext4/lib/config.h"

#include <ext2fs/ext2fs.h>
#pragma GCC diagnostic pop

/* What libext2fs returned as 0 or -errno; what it makes of a bad disk is
 * -EUCLEAN. */
int ext4_errno(errcode_t error);

#endif
