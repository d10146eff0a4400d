/* SPDX-License-Identifier: MIT */
/* What C++ destructors are registered with: the one object there is. */

extern void *const __dso_handle;

__attribute__((visibility("hidden"))) void *const __dso_handle = 0;
