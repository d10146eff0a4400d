/* SPDX-License-Identifier: MIT */
/* Error texts, always terminated. */
#include "vmm/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void write_text(char *error, const char *format, va_list args)
{
    if (error)
        vsnprintf(error, ERROR_BYTES, format, args);
}

int error_set(char *error, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_text(error, format, args);
    va_end(args);
    return code;
}

int error_system(char *error, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    write_text(error, format, args);
    va_end(args);
    if (error) {
        size_t length = strlen(error);

        snprintf(error + length, ERROR_BYTES - length, ": %s", strerror(-code));
    }
    return code;
}
