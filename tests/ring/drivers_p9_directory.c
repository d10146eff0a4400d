/* SPDX-License-Identifier: MIT */
/* The guest's 9P client as it is: directories. */
#include "guest_rt/p9_directory.c"
