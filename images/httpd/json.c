/* SPDX-License-Identifier: MIT */
/* JSON: a writer of strings, and a checker that walks over a text once */
#include "json.h"

#include <string.h>

enum { DEPTH_MAX = 32 };

/*
 * The length of the UTF-8 sequence at `at` (RFC 3629: shortest form, no
 * surrogates, up to U+10FFFF), or 0 if it is none.
 */
static size_t utf8_length(const unsigned char *at, const unsigned char *end)
{
    size_t length = *at < 0x80   ? 1
                    : *at < 0xc2 ? 0
                    : *at < 0xe0 ? 2
                    : *at < 0xf0 ? 3
                    : *at < 0xf5 ? 4
                                 : 0;

    if (length > (size_t)(end - at))
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) ||
        (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f))
        return 0;
    return length;
}

void json_string(struct buffer *out, const char *bytes, size_t length)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + length;

    buffer_add(out, "\"", 1);
    while (at < end) {
        size_t step = utf8_length(at, end);

        if (step == 0) {
            buffer_add(out, "\\ufffd", 6);
            step = 1;
        } else if (*at < ' ' || *at == 127) {
            buffer_print(out, "\\u%04x", *at);
        } else {
            if (*at == '"' || *at == '\\')
                buffer_add(out, "\\", 1);
            buffer_add(out, at, step);
        }
        at += step;
    }
    buffer_add(out, "\"", 1);
}

struct walk {
    const unsigned char *at, *end;
    unsigned depth;
};

static bool walk_value(struct walk *walk);

static void walk_space(struct walk *walk)
{
    while (walk->at < walk->end && *walk->at && strchr(" \t\r\n", *walk->at))
        walk->at++;
}

/* Steps over one byte, if it is that one. */
static bool walk_byte(struct walk *walk, char byte)
{
    if (walk->at == walk->end || *walk->at != (unsigned char)byte)
        return false;
    walk->at++;
    return true;
}

static bool walk_word(struct walk *walk, const char *word)
{
    while (*word)
        if (!walk_byte(walk, *word++))
            return false;
    return true;
}

static bool walk_digits(struct walk *walk)
{
    const unsigned char *start = walk->at;

    while (walk->at < walk->end && *walk->at >= '0' && *walk->at <= '9')
        walk->at++;
    return walk->at > start;
}

static bool walk_number(struct walk *walk)
{
    walk_byte(walk, '-');
    if (!walk_byte(walk, '0') && !walk_digits(walk))
        return false;
    if (walk_byte(walk, '.') && !walk_digits(walk))
        return false;
    if (walk_byte(walk, 'e') || walk_byte(walk, 'E')) {
        if (!walk_byte(walk, '-'))
            walk_byte(walk, '+');
        return walk_digits(walk);
    }
    return true;
}

static bool walk_escape(struct walk *walk)
{
    static const char hex[] = "0123456789abcdefABCDEF";

    if (!walk_byte(walk, 'u')) {
        if (walk->at == walk->end || !*walk->at ||
            !strchr("\"\\/bfnrt", *walk->at))
            return false;
        walk->at++;
        return true;
    }
    for (unsigned i = 0; i < 4; i++, walk->at++)
        if (walk->at == walk->end || !*walk->at || !strchr(hex, *walk->at))
            return false;
    return true;
}

static bool walk_string(struct walk *walk)
{
    size_t step;

    if (!walk_byte(walk, '"'))
        return false;
    while (!walk_byte(walk, '"')) {
        if (walk_byte(walk, '\\')) {
            if (!walk_escape(walk))
                return false;
            continue;
        }
        if (walk->at == walk->end || *walk->at < ' ')
            return false;
        step = utf8_length(walk->at, walk->end);
        if (step == 0)
            return false;
        walk->at += step;
    }
    return true;
}

/* What is between the brackets: members of an object, or elements. */
static bool walk_list(struct walk *walk, bool object, char close)
{
    if (++walk->depth > DEPTH_MAX)
        return false;
    walk->at++;
    walk_space(walk);
    if (!walk_byte(walk, close)) {
        do {
            walk_space(walk);
            if (object && !walk_string(walk))
                return false;
            walk_space(walk);
            if ((object && !walk_byte(walk, ':')) || !walk_value(walk))
                return false;
        } while (walk_byte(walk, ','));
        if (!walk_byte(walk, close))
            return false;
    }
    walk->depth--;
    return true;
}

/* A value with the space around it. */
static bool walk_value(struct walk *walk)
{
    bool good = false;

    walk_space(walk);
    if (walk->at < walk->end) {
        switch (*walk->at) {
        case '{':
            good = walk_list(walk, true, '}');
            break;
        case '[':
            good = walk_list(walk, false, ']');
            break;
        case '"':
            good = walk_string(walk);
            break;
        case 't':
            good = walk_word(walk, "true");
            break;
        case 'f':
            good = walk_word(walk, "false");
            break;
        case 'n':
            good = walk_word(walk, "null");
            break;
        default:
            good = walk_number(walk);
        }
    }
    walk_space(walk);
    return good;
}

bool json_valid(const char *bytes, size_t length)
{
    const unsigned char *at = (const unsigned char *)bytes;
    struct walk walk = {at, at + length, 0};

    return walk_value(&walk) && walk.at == walk.end;
}
