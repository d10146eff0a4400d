/* SPDX-License-Identifier: MIT */
/* Messages of 9P clients, as a script says. */
#ifndef TESTS_FUZZ_P9_CLIENT_H
#define TESTS_FUZZ_P9_CLIENT_H

/*
 * Mostly whole ones, with few fids, short names and sensible flags, so that
 * they meet; and some of every other kind.
 */
#include <mayfly/p9.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "tests/fuzz/script.h"
#include "vmm/base/util.h"

/* The longest that make_message() makes. */
#define MESSAGE_BYTES_MAX 0x20000u

static uint8_t *next_field;

static void put_number(uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++, value >>= 8)
        *next_field++ = (uint8_t)value;
}

static void put_any_string(struct script *script)
{
    static const char *const names[] = {
        "a",
        "b",
        "c",
        ".",
        "..",
        "",
        "/",
        "a/b",
        "name",
        "a name that is longer than those, and not by little: far longer",
    };
    unsigned choice = script_below(script, ARRAY_SIZE(names) + 3);
    size_t bytes = 0;

    if (choice < ARRAY_SIZE(names))
        bytes = strlen(names[choice]);
    else if (choice == ARRAY_SIZE(names))
        bytes = script_number(script, 2) % 300;
    else if (choice == ARRAY_SIZE(names) + 1)
        bytes = script_number(script, 2) % 5000;
    put_number(bytes, 2);
    if (choice < ARRAY_SIZE(names))
        memcpy(next_field, names[choice], bytes);
    else
        memset(next_field, 'n', bytes);
    if (bytes > 0 && script_below(script, 64) == 0)
        next_field[bytes / 2] = '\0';
    next_field += bytes;
}

static void put_fid(struct script *script)
{
    put_number(script_below(script, 32) == 0 ? script_number(script, 4)
                                             : script_below(script, 6),
               4);
}

/* f: fid, s: string, w: names to walk, m: open flags or mode, digits: bytes */
static const struct {
    uint8_t type;
    const char *fields;
} kinds[] = {
    {P9_STATFS, "f"},
    {P9_LOPEN, "fm"},
    {P9_LCREATE, "fsmm4"},
    {P9_SYMLINK, "fss4"},
    {P9_MKNOD, "fsm444"},
    {P9_RENAME, "ffs"},
    {P9_READLINK, "f"},
    {P9_GETATTR, "f8"},
    {P9_SETATTR, "fmm44888"
                 "88"},
    {P9_READDIR, "f82"},
    {P9_FSYNC, "f4"},
    {P9_LOCK, "f14884s"},
    {P9_GETLOCK, "f1884s"},
    {P9_LINK, "ffs"},
    {P9_MKDIR, "fsm4"},
    {P9_RENAMEAT, "fsfs"},
    {P9_UNLINKAT, "fsm"},
    {P9_VERSION, "4s"},
    {P9_ATTACH, "f4ss4"},
    {P9_FLUSH, "2"},
    {P9_WALK, "ffw"},
    {P9_READ, "f82"},
    {P9_WRITE, "f82"},
    {P9_CLUNK, "f"},
    {P9_REMOVE, "f"},
    {P9_WALK, "ffw"},
    {P9_WALK, "ffw"},
    {P9_LOPEN, "fm"},
    {P9_XATTRWALK, "ffs"},
    {P9_AUTH, "fss"},
};

static void put_names(struct script *script)
{
    unsigned count = script_below(script, 5);

    if (script_below(script, 32) == 0)
        count = script_below(script, 20);
    put_number(count, 2);
    for (unsigned i = 0; i < count; i++)
        put_any_string(script);
}

static void put_fields(struct script *script, const char *fields)
{
    static const unsigned flags[] = {
        0,      1,      2,      0x41,  0x242, 0x400,       0x10000,
        0x81a4, 0x11a4, 0x21b6, 06755, 0x180, P9_SET_SIZE, 0x1ff};

    for (; *fields; fields++) {
        if (*fields == 'f')
            put_fid(script);
        else if (*fields == 's')
            put_any_string(script);
        else if (*fields == 'w')
            put_names(script);
        else if (*fields == 'm')
            put_number(flags[script_below(script, ARRAY_SIZE(flags))], 4);
        else
            put_number(script_number(script, 2) % 8192,
                       *fields == '2' && fields[1] ? 4
                                                   : (unsigned)(*fields - '0'));
    }
}

static void put_version(void)
{
    put_number(0x10000, 4);
    put_number(8, 2);
    memcpy(next_field, P9_VERSION_NAME, 8);
    next_field += 8;
}

/* Writes a message at `start`. Returns its bytes. */
static uint32_t make_message(struct script *script, uint8_t *start)
{
    static const uint8_t zeroes[4];
    unsigned kind = script_below(script, ARRAY_SIZE(kinds) + 2);

    next_field = start;
    put_number(0, 4);
    if (kind >= ARRAY_SIZE(kinds)) {
        put_number(P9_VERSION, 1);
        put_number(script_number(script, 1), 2);
        put_version();
    } else {
        put_number(kinds[kind].type, 1);
        put_number(script_number(script, 1), 2);
        put_fields(script, kinds[kind].fields);
    }
    if (start[4] == P9_READ || start[4] == P9_READDIR || start[4] == P9_WRITE)
        put_number(0, 2); /* counts are of four bytes, and not large */
    if (start[4] == P9_WRITE) {
        uint32_t data = (uint32_t)script_number(script, 2) % 3000;

        memset(next_field, 'w', data);
        next_field += data;
    }
    uint32_t bytes = (uint32_t)(next_field - start);
    if (script_below(script, 32) == 0)
        bytes = (uint32_t)script_number(script, 2) % (bytes + 1);
    uint32_t size = bytes;
    if (script_below(script, 64) == 0)
        size = (uint32_t)script_number(script, 4);
    memcpy(start, &size, 4);
    if (bytes < 4)
        memcpy(start, zeroes, 4 - bytes);
    return bytes;
}

#endif
