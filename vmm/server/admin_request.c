/* SPDX-License-Identifier: MIT */
/* Reads a request of HTTP/1 (RFC 9112). */
#include "vmm/server/admin_request.h"

#include <string.h>
#include <strings.h>

/* A part of the request; it has no zero at its end. */
struct span {
    const char *at;
    size_t bytes;
};

/* What the fields say together. */
struct fields {
    unsigned hosts, lengths;
    bool body, close, keep;
};

static bool equals(struct span span, const char *word)
{
    return span.bytes == strlen(word) &&
           strncasecmp(span.at, word, span.bytes) == 0;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9');
}

/* RFC 9110, 5.6.2. */
static bool is_token(struct span span)
{
    for (size_t i = 0; i < span.bytes; i++)
        if (!is_letter_or_digit(span.at[i]) &&
            (!span.at[i] || !strchr("!#$%&'*+-.^_`|~", span.at[i])))
            return false;
    return span.bytes > 0;
}

/* Cuts off what is before the next `separator`; all if there is none. */
static struct span take(struct span *rest, char separator)
{
    const char *end =
        rest->bytes ? memchr(rest->at, separator, rest->bytes) : NULL;
    struct span first = {rest->at,
                         end ? (size_t)(end - rest->at) : rest->bytes};
    size_t gone = first.bytes + (end ? 1 : 0);

    rest->at += gone;
    rest->bytes -= gone;
    return first;
}

static struct span trim(struct span span)
{
    while (span.bytes && (*span.at == ' ' || *span.at == '\t')) {
        span.at++;
        span.bytes--;
    }
    while (span.bytes &&
           (span.at[span.bytes - 1] == ' ' || span.at[span.bytes - 1] == '\t'))
        span.bytes--;
    return span;
}

/* The next line, without its end. */
static struct span take_line(struct span *rest)
{
    struct span line = take(rest, '\n');

    if (line.bytes && line.at[line.bytes - 1] == '\r')
        line.bytes--;
    return line;
}

/* ---- The request line --------------------------------------------------- */

/* Whether it is HTTP/1.0 or a later HTTP/1. */
static unsigned read_version(struct span version, bool *http_1_0)
{
    if (version.bytes != 8 || memcmp(version.at, "HTTP/", 5) != 0 ||
        version.at[5] < '0' || version.at[5] > '9' || version.at[6] != '.' ||
        version.at[7] < '0' || version.at[7] > '9')
        return 400;
    *http_1_0 = version.at[7] == '0';
    return version.at[5] == '1' ? 0 : 505;
}

/* The path of a target, without its query; empty if it has none. */
static struct span path_of(struct span target)
{
    static const char scheme[] = "http://";
    size_t length = sizeof(scheme) - 1;

    if (target.bytes > length && strncasecmp(target.at, scheme, length) == 0) {
        struct span rest = {target.at + length, target.bytes - length};

        length += take(&rest, '/').bytes;
        target.at += length;
        target.bytes -= length;
    }
    return take(&target, '?');
}

static enum admin_path read_path(struct span target)
{
    struct span path = path_of(target);

    if (path.bytes == 8 && memcmp(path.at, "/metrics", 8) == 0)
        return ADMIN_METRICS;
    if (path.bytes == 8 && memcmp(path.at, "/healthz", 8) == 0)
        return ADMIN_HEALTH;
    return ADMIN_NOWHERE;
}

static bool is_printable(struct span span)
{
    for (size_t i = 0; i < span.bytes; i++)
        if (span.at[i] <= ' ' || span.at[i] == 0x7f)
            return false;
    return span.bytes > 0;
}

/* Returns an error's status, or 0. */
static unsigned read_line(struct span line, struct admin_request *request)
{
    struct span method = take(&line, ' ');
    struct span target = take(&line, ' ');
    unsigned error = read_version(line, &request->http_1_0);

    if (error)
        return error;
    if (!is_token(method) || !is_printable(target))
        return 400;
    request->path = read_path(target);
    /* Methods have cases (RFC 9110, 9.1). */
    request->head = method.bytes == 4 && memcmp(method.at, "HEAD", 4) == 0;
    if (!request->head &&
        (method.bytes != 3 || memcmp(method.at, "GET", 3) != 0))
        return 405;
    return 0;
}

/* ---- The header fields -------------------------------------------------- */

static void read_connection(struct span value, struct fields *fields)
{
    while (value.bytes) {
        struct span word = trim(take(&value, ','));

        fields->close |= equals(word, "close");
        fields->keep |= equals(word, "keep-alive");
    }
}

static bool is_text(struct span span)
{
    for (size_t i = 0; i < span.bytes; i++) {
        unsigned char c = (unsigned char)span.at[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Returns whether it is a field. */
static bool read_field(struct span line, struct fields *fields)
{
    struct span value = line, name = take(&value, ':');

    if (name.bytes == line.bytes)
        return false;
    value = trim(value);
    /* A folded line begins with a blank, which no name has. */
    if (!is_token(name) || !is_text(value))
        return false;
    if (equals(name, "host"))
        fields->hosts++;
    else if (equals(name, "connection"))
        read_connection(value, fields);
    else if (equals(name, "transfer-encoding"))
        fields->body = true;
    else if (equals(name, "content-length"))
        fields->body |= !equals(value, "0");
    return true;
}

/* Returns an error's status, or 0. */
static unsigned read_fields(struct span head, struct admin_request *request)
{
    struct fields fields = {0};

    while (head.bytes) {
        struct span line = take_line(&head);

        if (line.bytes && !read_field(line, &fields))
            return 400;
    }
    /* RFC 9112, 3.2. */
    if (fields.hosts > 1 || (fields.hosts == 0 && !request->http_1_0))
        return 400;
    if (fields.body)
        return 400;
    request->keep = !fields.close && (fields.keep || !request->http_1_0);
    return 0;
}

/* ---- The whole ---------------------------------------------------------- */

/* The length of the head with the empty line at its end; 0: it has no end. */
static size_t measure_head(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] != '\n')
            continue;
        if (i + 1 < bytes && text[i + 1] == '\n')
            return i + 2;
        if (i + 2 < bytes && text[i + 1] == '\r' && text[i + 2] == '\n')
            return i + 3;
    }
    return 0;
}

/* Empty lines before a request are no part of it (RFC 9112, 2.2). */
static size_t count_empty(const char *text, size_t bytes)
{
    size_t at = 0;

    for (;;) {
        if (at < bytes && text[at] == '\n')
            at++;
        else if (at + 1 < bytes && text[at] == '\r' && text[at + 1] == '\n')
            at += 2;
        else
            return at;
    }
}

/* Line and fields, each line with its end. */
static void read_head(struct span head, struct admin_request *request)
{
    struct span line = take_line(&head);

    request->error = read_line(line, request);
    if (!request->error)
        request->error = read_fields(head, request);
    if (request->error)
        request->keep = false;
}

size_t admin_request_parse(const char *text, size_t bytes,
                           struct admin_request *request)
{
    size_t empty = count_empty(text, bytes);
    struct span head = {text + empty, bytes - empty};
    size_t length = measure_head(head.at, head.bytes);

    memset(request, 0, sizeof(*request));
    if (length > 0) {
        head.bytes = length;
        read_head(head, request);
        return empty + length;
    }
    if (bytes < ADMIN_REQUEST_BYTES)
        return 0;
    request->error = take(&head, '\n').bytes == bytes - empty ? 414 : 431;
    return bytes;
}
