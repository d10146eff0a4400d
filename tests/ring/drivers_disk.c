/* SPDX-License-Identifier: MIT */
/* The guest's drivers as they are: waiting, disks, entropy, reports. */
#include "guest_rt/poll.c"
#include "guest_rt/disk.c"
#include "guest_rt/disk_call.c"
#include "guest_rt/entropy.c"
#include "guest_rt/region.c"
#include "guest_rt/report.c"
