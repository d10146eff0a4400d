/* SPDX-License-Identifier: MIT */
/* Numbers with units, and the rate limits that --disk and --net take. */
#include "vmm/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool cli_parse_number(const char *text, unsigned step, uint64_t *number)
{
    static const char units[] = "KMG";
    const char *unit;
    uint64_t scale = 1;
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end) {
        unit = strchr(units, *end >= 'a' ? *end - 32 : *end);
        if (!unit || !*unit || end[1])
            return false;
        for (long i = unit - units; i >= 0; i--)
            scale *= step;
    }
    if (errno || value == 0 || value > UINT64_MAX / scale)
        return false;
    *number = value * scale;
    return true;
}

/* The value of NAME=VALUE, or NULL if that is not the name. */
static const char *value_of(const char *word, const char *name)
{
    size_t length = strlen(name);

    return strncmp(word, name, length) == 0 && word[length] == '='
               ? word + length + 1
               : NULL;
}

int cli_parse_rate(const char *option, const char *ops_name, const char *word,
                   struct mayfly_rate *rate)
{
    const char *name = ops_name, *value = value_of(word, name);
    uint64_t *limit = &rate->ops_per_s;

    if (!value) {
        name = "bps";
        value = value_of(word, name);
        limit = &rate->bytes_per_s;
    }
    if (!value)
        return CLI_OTHER;
    if (*limit)
        return cli_misuse(NULL, "%s takes %s= once", option, name);
    if (!cli_parse_number(value, 1000, limit))
        return cli_misuse(NULL,
                          "%s takes %s= of a number a second, such as 500 or "
                          "10M, not '%s'",
                          option, name, value);
    return CLI_OK;
}
