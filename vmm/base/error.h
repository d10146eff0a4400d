/* SPDX-License-Identifier: MIT */
/* Error texts: what was attempted, on what, and why it failed. */
#ifndef VMM_BASE_ERROR_H
#define VMM_BASE_ERROR_H

/*
 * Functions whose failure a person will read about take `char *error`, room
 * for ERROR_BYTES bytes or NULL, beside returning a negative errno.
 */

#include "vmm/base/util.h"

#define ERROR_BYTES 256

/* Writes the text if `error` is not NULL. Returns `code`, a negative errno. */
PRINTF_LIKE(3, 4)
int error_set(char *error, int code, const char *format, ...);

/* As error_set, with ": " and the system's name for `code` after the text. */
PRINTF_LIKE(3, 4)
int error_system(char *error, int code, const char *format, ...);

#endif
