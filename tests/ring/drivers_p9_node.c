/* SPDX-License-Identifier: MIT */
/* The guest's 9P client as it is: nodes. */
#include "guest_rt/p9_node.c"
