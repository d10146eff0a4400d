/* SPDX-License-Identifier: MIT */
/* The guest's 9P client as it is: directories, and places in files. */
#include "guest_rt/p9_directory.c"
#include "guest_rt/file_position.c"
