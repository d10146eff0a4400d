/* SPDX-License-Identifier: MIT */
/* What the host offers for confining a process. */
#ifndef VMM_CONFINE_H
#define VMM_CONFINE_H

/* Landlock's ABI version, or a negative errno if it cannot be used. */
int confine_landlock_abi(void);

#endif
