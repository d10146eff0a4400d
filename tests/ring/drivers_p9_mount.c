/* SPDX-License-Identifier: MIT */
/* The guest's 9P client as it is: mounting. */
#include "guest_rt/p9_mount.c"
