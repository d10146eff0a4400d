/* SPDX-License-Identifier: MIT */
/* libext2fs's names of integers, which its configure would write. */
#ifndef _EXT2_TYPES_H
#define _EXT2_TYPES_H

#include <stdint.h>
#include <linux/types.h>

#define __force

#endif
