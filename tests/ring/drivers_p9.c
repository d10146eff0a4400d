/* SPDX-License-Identifier: MIT */
/* The guest's 9P client as it is: messages. */
#include "guest_rt/p9.c"
