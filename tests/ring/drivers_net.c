/* SPDX-License-Identifier: MIT */
/* The guest's drivers as they are, compiled for the host: network cards. */
#include "guest_rt/net.c"
#include "guest_rt/net_send.c"
#include "guest_rt/net_setup.c"

void mf_random_fill(void *buffer, size_t bytes)
{
    memset(buffer, 0xff, bytes);
}
