/* SPDX-License-Identifier: MIT */
/* The guest's drivers as they are, compiled for the host. */
#include "guest_rt/ring.c"
#include "guest_rt/console.c"
#include "guest_rt/disk.c"
