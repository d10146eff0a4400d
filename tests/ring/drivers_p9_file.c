/* SPDX-License-Identifier: MIT */
/* The guest's 9P client as it is: open files. */
#include "guest_rt/p9_file.c"
