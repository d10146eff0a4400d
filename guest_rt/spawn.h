/* SPDX-License-Identifier: MIT */
/* Processes, which there are none of but the one. */
#ifndef GUEST_RT_SPAWN_H
#define GUEST_RT_SPAWN_H

/*
 * Says on standard error that this call is not there, if nothing like that has
 * been said before. Returns -ENOSYS.
 */
long spawn_refuse(const char *call);

#endif
