/* SPDX-License-Identifier: MIT */
/* What the monitor was told for the runtime: mount points, addresses, ... */
#ifndef GUEST_RT_OPTION_H
#define GUEST_RT_OPTION_H

/*
 * Strings "key=value" that follow the environment in the boot page
 * (mf_boot.optc of them), and before these, in a VM that goes on from a
 * snapshot, what that VM was told. README.md lists the keys. They are read
 * where they lie, and change in no other way.
 */

/*
 * Returns the value of the `index`th option of that key, counted from 0, or
 * NULL if there are not as many.
 */
const char *option_get(const char *key, unsigned index);

#endif
