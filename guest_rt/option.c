/* SPDX-License-Identifier: MIT */
/* What the monitor was told for the runtime: mount points, addresses, ... */
#include "option.h"

#include <string.h>

#include "hypercall.h"

/* The next option of that key, of `count` strings, `*index` of them further. */
static const char *find(const char *string, uint32_t count, const char *key,
                        unsigned *index)
{
    size_t length = strlen(key);

    for (; count > 0; count--) {
        if (strncmp(string, key, length) == 0 && string[length] == '=' &&
            (*index)-- == 0)
            return string + length + 1;
        string += strlen(string) + 1;
    }
    return NULL;
}

const char *option_get(const char *key, unsigned index)
{
    const struct mf_boot *boot = mf_boot_page();
    const char *string = (const char *)boot->strings;
    const char *value =
        find((const char *)boot->clone_strings, boot->clone_optc, key, &index);

    if (value)
        return value;
    for (uint32_t i = 0; i < boot->argc + boot->envc; i++)
        string += strlen(string) + 1;
    return find(string, boot->optc, key, &index);
}
