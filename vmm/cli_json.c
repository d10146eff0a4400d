/* SPDX-License-Identifier: MIT */
/* Bytes of others in JSON strings. */
#include "vmm/cli.h"

size_t cli_escape_json(unsigned char byte, char *to)
{
    static const char digits[] = "0123456789abcdef";

    if (byte == '"' || byte == '\\') {
        to[0] = '\\';
        to[1] = (char)byte;
        return 2;
    }
    if (byte >= 0x20 && byte < 0x7f) {
        to[0] = (char)byte;
        return 1;
    }
    to[0] = '\\';
    to[1] = 'u';
    to[2] = to[3] = '0';
    to[4] = digits[byte >> 4];
    to[5] = digits[byte & 15];
    return CLI_ESCAPED_BYTES;
}
