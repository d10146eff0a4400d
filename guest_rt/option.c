/* SPDX-License-Identifier: MIT */
/* What the monitor was told for the runtime: mount points, addresses, ... */
#include "option.h"

#include <string.h>

#include "hypercall.h"

const char *option_get(const char *key, unsigned index)
{
    const struct mf_boot *boot = mf_boot_page();
    const char *string = (const char *)boot->strings;
    size_t length = strlen(key);

    for (uint32_t i = 0; i < boot->argc + boot->envc; i++)
        string += strlen(string) + 1;
    for (uint32_t i = 0; i < boot->optc; i++) {
        if (strncmp(string, key, length) == 0 && string[length] == '=' &&
            index-- == 0)
            return string + length + 1;
        string += strlen(string) + 1;
    }
    return NULL;
}
