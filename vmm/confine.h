/* SPDX-License-Identifier: MIT */
/* Confining the process: whether it can be, and has been. */
#ifndef VMM_CONFINE_H
#define VMM_CONFINE_H

#include <stdbool.h>

/* Whether mayfly_confine() was called: what needs more is deadly from then on.
 */
bool confine_is_done(void);

/* Landlock's ABI version, or a negative errno if it cannot be used. */
int confine_landlock_abi(void);

#endif
