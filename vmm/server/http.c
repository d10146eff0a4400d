/* SPDX-License-Identifier: MIT */
/* Is this HTTP? And what is said where a guest cannot answer. */
#include "vmm/server/http.h"

#include <stdbool.h>
#include <string.h>

/* ---- Looking ------------------------------------------------------------ */

struct text {
    const char *at;
    size_t left;
};

static const char *const methods[] = {
    "GET",     "HEAD",  "POST",  "PUT",     "DELETE",
    "OPTIONS", "PATCH", "TRACE", "CONNECT",
};

#define METHODS (sizeof(methods) / sizeof(methods[0]))

/* What names are made of (RFC 9110, 5.6.2). */
static bool is_token(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* Servers take more in targets than they should; none takes these. */
static bool is_visible(char c)
{
    return (unsigned char)c > ' ' && c != 0x7f;
}

static size_t span(const struct text *text, bool (*is)(char))
{
    size_t count = 0;

    while (count < text->left && is(text->at[count]))
        count++;
    return count;
}

static void skip(struct text *text, size_t count)
{
    text->at += count;
    text->left -= count;
}

/* Whether a method starts with these bytes, or with `whole` is them. */
static bool is_method(const char *bytes, size_t count, bool whole)
{
    for (size_t i = 0; i < METHODS; i++)
        if (count <= strlen(methods[i]) &&
            strncmp(methods[i], bytes, count) == 0 &&
            (!whole || !methods[i][count]))
            return true;
    return false;
}

/*
 * The rest of the line after the target: " HTTP/1.N" and its end. Returns
 * whether it may still become that, and in `*complete` whether it is.
 */
static bool is_version(const struct text *rest, bool *complete)
{
    static const char version[] = " HTTP/1.";
    const size_t length = sizeof(version) - 1;
    size_t count = rest->left < length ? rest->left : length;

    *complete = false;
    if (memcmp(rest->at, version, count) != 0)
        return false;
    if (rest->left <= length)
        return true;
    if (rest->at[length] < '0' || rest->at[length] > '9')
        return false;
    if (rest->left == length + 1)
        return true;
    *complete = rest->at[length + 1] == '\r' || rest->at[length + 1] == '\n';
    return *complete;
}

/* Names longer than this are none of a method. */
#define METHOD_BYTES 32

enum http_kind http_look(const char *bytes, size_t count)
{
    struct text text = {bytes, count};
    size_t method, target;
    bool complete, known;
    enum http_kind kind = HTTP_ONE;

    /* Servers skip empty lines before a request (RFC 9112, 2.2). */
    while (text.left && (*text.at == '\r' || *text.at == '\n'))
        skip(&text, 1);
    method = span(&text, is_token);
    if (method == 0 || method > METHOD_BYTES)
        return HTTP_NOT;
    known = is_method(text.at, method, text.left > method);
    if (method == 4 && memcmp(text.at, "HEAD", 4) == 0)
        kind = HTTP_ONE_HEAD;
    skip(&text, method);
    if (text.left == 0)
        return known ? kind : HTTP_NOT;
    if (*text.at != ' ')
        return HTTP_NOT;
    skip(&text, 1);
    target = span(&text, is_visible);
    if (target == 0 && text.left)
        return HTTP_NOT;
    skip(&text, target);
    if (!is_version(&text, &complete))
        return HTTP_NOT;
    return known || complete ? kind : HTTP_NOT;
}

/* ---- Refusing ----------------------------------------------------------- */

/* An answer whose head ends where its body, so many bytes, begins. */
#define ANSWER(status, body, body_bytes, more)            \
    "HTTP/1.1 " status "\r\nContent-Type: text/plain\r\n" \
    "Content-Length: " #body_bytes "\r\n" more            \
    "Connection: close\r\n\r\n" body

static const struct refusal {
    enum http_refusal code;
    size_t body_bytes;
    const char *answer;
} refusals[] = {
    {HTTP_BAD_GATEWAY, 12, ANSWER("502 Bad Gateway", "Bad Gateway\n", 12, "")},
    {HTTP_UNAVAILABLE, 20,
     ANSWER("503 Service Unavailable", "Service Unavailable\n", 20,
            "Retry-After: 1\r\n")},
    {HTTP_GATEWAY_TIMEOUT, 16,
     ANSWER("504 Gateway Timeout", "Gateway Timeout\n", 16, "")},
};

const char *http_refuse(enum http_refusal code, enum http_kind kind,
                        size_t *bytes)
{
    const struct refusal *refusal = refusals;

    while (refusal->code != code)
        refusal++;
    *bytes = strlen(refusal->answer);
    if (kind == HTTP_ONE_HEAD)
        *bytes -= refusal->body_bytes;
    return refusal->answer;
}
