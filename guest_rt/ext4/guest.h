/* SPDX-License-Identifier: MIT */
/* The VM's disks as the file system wants them. */
#ifndef GUEST_RT_EXT4_GUEST_H
#define GUEST_RT_EXT4_GUEST_H

#include "guest_rt/ext4/disk.h"
#include "guest_rt/sched.h"

/* Opens a disk by its number. It stays. Returns 0 or -errno. */
int guest_disk_open(unsigned index, struct ext4_disk **opened);

/* Whether somebody holds its lock. */
bool guest_disk_is_locked(const struct ext4_disk *disk);

#endif
