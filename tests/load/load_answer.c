/* SPDX-License-Identifier: MIT */
/* What is asked of images/function, and whether the answer is right. */
#include "tests/load/load_answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ECHO_BYTES 3000

/* ---- Requests ------------------------------------------------------------ */

void answer_rule_of(const char *path, struct answer_rule *rule)
{
    static const struct {
        const char *path;
        struct answer_rule rule;
    } rules[] = {
        {"/fresh", {.text = "clean\n"}},
        {"/slow", {.text = "slow\n"}},
        {"/random", {.kind = ANSWER_RANDOM}},
        {"/uuid", {.kind = ANSWER_RANDOM}},
        {"/big", {.kind = ANSWER_LETTERS}},
        {"/echo", {.kind = ANSWER_ECHO, .bytes = ECHO_BYTES}},
        {"/time", {.kind = ANSWER_TIME}},
        {"/crash", {.kind = ANSWER_NONE, .expected = LOAD_502}},
        {"/exit", {.kind = ANSWER_NONE, .expected = LOAD_502}},
        {"/exhaust", {.kind = ANSWER_NONE, .expected = LOAD_502}},
        {"/hang", {.kind = ANSWER_NONE, .expected = LOAD_504}},
        {"/half", {.kind = ANSWER_NONE, .expected = LOAD_CLOSED}},
        {"/vanish-silent", {.kind = ANSWER_VANISH, .vanish = VANISH_SILENT}},
        {"/vanish-half", {.kind = ANSWER_VANISH, .vanish = VANISH_HALF}},
        {"/vanish-answer", {.kind = ANSWER_VANISH, .vanish = VANISH_ANSWER}},
        {"/", {.text = "Hello from a function.\n"}},
    };
    const char *query = strchr(path, '?');
    size_t length = query ? (size_t)(query - path) : strlen(path);

    *rule = (struct answer_rule){.kind = ANSWER_NONE, .expected = LOAD_WRONG};
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (strlen(rules[i].path) == length &&
            memcmp(rules[i].path, path, length) == 0)
            *rule = rules[i].rule;
    if (query && (rule->kind == ANSWER_LETTERS || rule->kind == ANSWER_ECHO))
        rule->bytes = strtoull(query + 1, NULL, 10);
}

enum load_outcome load_expected(const char *path)
{
    struct answer_rule rule;

    answer_rule_of(path, &rule);
    return rule.expected;
}

static char echo_byte(uint64_t number, uint64_t at)
{
    return (char)(number * 37 + at * 31 + at / 251);
}

size_t answer_request(const struct answer_rule *rule, const char *path,
                      uint64_t number, bool last, char *to, size_t room)
{
    const char *how = last ? "Connection: close\r\n" : "";
    size_t bytes;

    if (rule->kind == ANSWER_VANISH)
        path = "/big?2000000";
    if (rule->kind != ANSWER_ECHO)
        return (size_t)snprintf(
            to, room, "GET %s HTTP/1.1\r\nHost: function\r\n%s\r\n", path, how);
    bytes = (size_t)snprintf(to, room,
                             "POST %s HTTP/1.1\r\nHost: function\r\n"
                             "Content-Length: %llu\r\n%s\r\n",
                             path, (unsigned long long)rule->bytes, how);
    for (uint64_t i = 0; i < rule->bytes && bytes < room; i++)
        to[bytes++] = echo_byte(number, i);
    return bytes;
}

/* ---- Random numbers ------------------------------------------------------ */

/* Where it is, or where it would be. */
static size_t find(const struct answer_seen *seen, const uint64_t value[2])
{
    size_t at = (size_t)(value[0] ^ value[1]) & (seen->room - 1);

    while ((seen->values[at][0] || seen->values[at][1]) &&
           memcmp(seen->values[at], value, 16) != 0)
        at = (at + 1) & (seen->room - 1);
    return at;
}

static void grow(struct answer_seen *seen)
{
    struct answer_seen more = {.room = seen->room ? 2 * seen->room : 1024};

    more.values = calloc(more.room, sizeof(*more.values));
    if (!more.values)
        abort();
    for (size_t i = 0; i < seen->room; i++)
        memcpy(more.values[find(&more, seen->values[i])], seen->values[i], 16);
    free(seen->values);
    more.count = seen->count;
    *seen = more;
}

/* Whether it is the first time that this one comes. */
static bool is_new(struct answer_seen *seen, const uint64_t value[2])
{
    size_t at;

    if (2 * seen->count >= seen->room)
        grow(seen);
    at = find(seen, value);
    if (seen->values[at][0] || seen->values[at][1])
        return false;
    memcpy(seen->values[at], value, 16);
    seen->count++;
    return true;
}

/* 32 hexadecimal digits, perhaps with dashes, and a newline. */
static bool is_random(const char *text, size_t bytes, struct answer_seen *seen)
{
    static const char hex[] = "0123456789abcdef";
    uint64_t value[2] = {0, 0};
    unsigned digits = 0;

    for (size_t i = 0; i + 1 < bytes; i++) {
        const char *digit = memchr(hex, text[i], 16);

        if (text[i] == '-')
            continue;
        if (!digit || digits == 32)
            return false;
        value[digits / 16] = value[digits / 16] << 4 | (uint64_t)(digit - hex);
        digits++;
    }
    return digits == 32 && (value[0] || value[1]) && is_new(seen, value);
}

/* ---- Answers ------------------------------------------------------------- */

void answer_begin(struct answer *answer, const struct answer_rule *rule,
                  uint64_t number)
{
    memset(answer, 0, offsetof(struct answer, text));
    memset(&answer->got, 0, sizeof(*answer) - offsetof(struct answer, got));
    answer->rule = rule;
    answer->number = number;
}

static const char *field(const char *header, const char *name)
{
    size_t length = strlen(name);

    while ((header = strstr(header, "\r\n"))) {
        header += 2;
        if (strncasecmp(header, name, length) == 0)
            return header + length;
    }
    return NULL;
}

static void parse_header(struct answer *answer)
{
    const char *length = field(answer->text, "Content-Length:");
    const char *how = field(answer->text, "Connection:");

    if (sscanf(answer->text, "HTTP/1.%*1[01] %3d ", &answer->status) != 1)
        answer->wrong = true;
    answer->has_length = length != NULL;
    answer->body_bytes = length ? strtoull(length, NULL, 10) : 0;
    answer->closes = !length || (how && strstr(how, "close"));
}

/* Bytes of a long body, which are checked as they come. */
static void check_part(struct answer *answer, const char *data, size_t bytes)
{
    const struct answer_rule *rule = answer->rule;

    for (size_t i = 0; i < bytes; i++) {
        uint64_t at = answer->body_got + i;
        char right = rule->kind == ANSWER_ECHO ? echo_byte(answer->number, at)
                                               : (char)('a' + at % 26);

        if (data[i] != right)
            answer->wrong = true;
    }
}

static void take_body(struct answer *answer, const char *data, size_t bytes)
{
    const enum answer_kind kind = answer->rule->kind;

    if (answer->status == 200 &&
        (kind == ANSWER_LETTERS || kind == ANSWER_ECHO)) {
        check_part(answer, data, bytes);
    } else if (bytes < sizeof(answer->text) - answer->got) {
        memcpy(answer->text + answer->got, data, bytes);
        answer->got += bytes;
    }
    answer->body_got += bytes;
    if (answer->has_length && answer->body_got > answer->body_bytes)
        answer->wrong = true;
}

bool answer_take(struct answer *answer, const char *data, size_t bytes)
{
    while (!answer->in_body && bytes) {
        if (answer->got == sizeof(answer->text) - 1)
            return answer->wrong = true;
        answer->text[answer->got++] = *data++;
        answer->text[answer->got] = '\0';
        bytes--;
        if (answer->got >= 4 &&
            memcmp(answer->text + answer->got - 4, "\r\n\r\n", 4) == 0) {
            parse_header(answer);
            answer->in_body = true;
            answer->got = 0;
        }
    }
    if (bytes)
        take_body(answer, data, bytes);
    return answer->in_body &&
           (answer->wrong ||
            (answer->has_length && answer->body_got >= answer->body_bytes));
}

static bool is_now(const char *text)
{
    struct timespec now;
    double difference;

    clock_gettime(CLOCK_REALTIME, &now);
    difference = strtod(text, NULL) - (double)now.tv_sec;
    return difference > -2 && difference < 3;
}

static bool is_right(struct answer *answer, struct answer_seen *seen)
{
    const struct answer_rule *rule = answer->rule;

    answer->text[answer->got] = '\0';
    switch (rule->kind) {
    case ANSWER_TEXT:
        return strcmp(answer->text, rule->text) == 0;
    case ANSWER_RANDOM:
        return is_random(answer->text, answer->got, seen);
    case ANSWER_TIME:
        return is_now(answer->text);
    case ANSWER_LETTERS:
    case ANSWER_ECHO:
        return answer->body_got == rule->bytes;
    default:
        return false;
    }
}

enum load_outcome answer_judge(struct answer *answer, struct answer_seen *seen)
{
    switch (answer->wrong ? 0 : answer->status) {
    case 200:
        return is_right(answer, seen) ? LOAD_RIGHT : LOAD_WRONG;
    case 502:
        return LOAD_502;
    case 503:
        return LOAD_503;
    case 504:
        return LOAD_504;
    default:
        return LOAD_WRONG;
    }
}
