/* SPDX-License-Identifier: MIT */
/* HTTP/1.1 requests and answers: strict, so that nobody reads them otherwise */
#define _GNU_SOURCE
#include "http.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <time.h>

bool text_is(struct text text, const char *string)
{
    return text.length == strlen(string) &&
           memcmp(text.bytes, string, text.length) == 0;
}

static bool text_is_word(struct text text, const char *word)
{
    return text.length == strlen(word) &&
           strncasecmp(text.bytes, word, text.length) == 0;
}

/* Cuts at the first `mark` and returns what is before it; all if none is. */
static struct text text_cut(struct text *rest, char mark)
{
    const char *end = memchr(rest->bytes, mark, rest->length);
    size_t length = end ? (size_t)(end - rest->bytes) : rest->length;
    struct text text = text_of(rest->bytes, length);

    rest->bytes += length + (end != NULL);
    rest->length -= length + (end != NULL);
    return text;
}

static struct text text_trim(struct text text)
{
    while (text.length && (*text.bytes == ' ' || *text.bytes == '\t'))
        text.bytes++, text.length--;
    while (text.length && (text.bytes[text.length - 1] == ' ' ||
                           text.bytes[text.length - 1] == '\t'))
        text.length--;
    return text;
}

/* A token (RFC 9110, 5.6.2): the names of methods and fields. */
static bool text_is_token(struct text text)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.bytes[i];

        if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c))
            return false;
    }
    return text.length > 0;
}

/* Reads a line with its CRLF. Returns whether it is there. */
static bool text_line(struct text *rest, struct text *line)
{
    const char *end = memmem(rest->bytes, rest->length, "\r\n", 2);

    if (!end)
        return false;
    *line = text_of(rest->bytes, (size_t)(end - rest->bytes));
    rest->bytes += line->length + 2;
    rest->length -= line->length + 2;
    return true;
}

/* Reads a number of that base, all digits. Returns whether it is one. */
static bool text_number(struct text text, unsigned base, uint64_t *number)
{
    static const char digits[] = "0123456789abcdef";

    *number = 0;
    for (size_t i = 0; i < text.length; i++) {
        int c = text.bytes[i] | (base == 16 ? 0x20 : 0);
        const char *digit = memchr(digits, c, base);

        if (!digit || *number >> 56)
            return false;
        *number = *number * base + (uint64_t)(digit - digits);
    }
    return text.length > 0;
}

/* What the header fields say about the rest. */
struct fields {
    uint64_t length;
    bool has_length, chunked, close;
    unsigned hosts;
};

static int parse_request_line(struct text line, struct http_request *request,
                              bool *old)
{
    struct text target, version = line;

    request->method = text_cut(&version, ' ');
    target = text_cut(&version, ' ');
    *old = text_is(version, "HTTP/1.0");
    if (!text_is_token(request->method))
        return 400;
    if (!*old && !text_is(version, "HTTP/1.1"))
        return version.length > 5 && !memcmp(version.bytes, "HTTP/", 5) ? 505
                                                                        : 400;
    for (size_t i = 0; i < target.length; i++)
        if (target.bytes[i] <= ' ' || target.bytes[i] == 127)
            return 400;
    if (target.length > 7 && !strncasecmp(target.bytes, "http://", 7)) {
        target.bytes += 7, target.length -= 7;
        text_cut(&target, '/');
        target.bytes--, target.length++;
    }
    if (target.length == 0 || *target.bytes != '/')
        return 400;
    request->path = text_cut(&target, '?');
    request->query = target;
    return 0;
}

static void parse_connection(struct text value, struct fields *fields)
{
    while (value.length) {
        struct text word = text_trim(text_cut(&value, ','));

        fields->close |= text_is_word(word, "close");
    }
}

static int parse_field(struct text line, struct http_request *request,
                       struct fields *fields)
{
    struct text value = line, name = text_cut(&value, ':');
    uint64_t length;

    if (name.length == line.length || !text_is_token(name) ||
        memchr(value.bytes, 0, value.length) ||
        memchr(value.bytes, '\n', value.length) ||
        memchr(value.bytes, '\r', value.length))
        return 400;
    value = text_trim(value);
    if (text_is_word(name, "content-length")) {
        if (!text_number(value, 10, &length) ||
            (fields->has_length && fields->length != length))
            return 400;
        fields->has_length = true;
        fields->length = length;
    } else if (text_is_word(name, "transfer-encoding")) {
        if (fields->chunked || !text_is_word(value, "chunked"))
            return 501;
        fields->chunked = true;
    } else if (text_is_word(name, "connection")) {
        parse_connection(value, fields);
    } else if (text_is_word(name, "host")) {
        fields->hosts++;
    } else if (text_is_word(name, "expect")) {
        if (!text_is_word(value, "100-continue"))
            return 417;
        request->expect_continue = true;
    }
    return 0;
}

/* Parses up to the empty line; `rest` is left behind it. */
static int parse_head(struct text *rest, struct http_request *request,
                      struct fields *fields)
{
    struct text line;
    bool old;
    int status;

    if (!text_line(rest, &line))
        return HTTP_PARTIAL;
    status = parse_request_line(line, request, &old);
    while (!status) {
        if (!text_line(rest, &line))
            return HTTP_PARTIAL;
        if (line.length == 0)
            break;
        status = parse_field(line, request, fields);
    }
    if (status)
        return status;
    /* Both lengths at once are how requests are smuggled past a proxy. */
    if (fields->hosts > 1 || (!old && !fields->hosts) ||
        (fields->chunked && (fields->has_length || old)))
        return 400;
    request->keep_alive = !old && !fields->close;
    return HTTP_WHOLE;
}

/*
 * Walks over a chunked body (RFC 9112, 7.1) and adds up its length; with `to`,
 * moves the chunks there.
 */
static int walk_chunks(struct text *rest, char *to, size_t *length)
{
    struct text line;
    uint64_t size;

    *length = 0;
    do {
        if (!text_line(rest, &line))
            return rest->length > 256 ? 400 : HTTP_PARTIAL;
        if (!text_number(text_trim(text_cut(&line, ';')), 16, &size))
            return 400;
        if (size > HTTP_BODY_MAX - *length)
            return 413;
        if (size == 0)
            break;
        if (rest->length < size + 2)
            return HTTP_PARTIAL;
        if (memcmp(rest->bytes + size, "\r\n", 2) != 0)
            return 400;
        if (to)
            memmove(to + *length, rest->bytes, size);
        *length += size;
        rest->bytes += size + 2;
        rest->length -= size + 2;
    } while (true);
    do /* trailers say nothing that matters here */
        if (!text_line(rest, &line))
            return HTTP_PARTIAL;
    while (line.length);
    return HTTP_WHOLE;
}

static int parse_body(char *bytes, struct text rest,
                      const struct fields *fields, struct http_request *request)
{
    char *body = bytes + (rest.bytes - bytes);
    struct text whole = rest;
    size_t length = fields->length;
    int status;

    if (fields->chunked) {
        status = walk_chunks(&rest, NULL, &length);
        if (status != HTTP_WHOLE)
            return status;
        walk_chunks(&whole, body, &length);
    } else if (fields->length > HTTP_BODY_MAX) {
        return 413;
    } else if (rest.length < length) {
        return HTTP_PARTIAL;
    } else {
        rest.bytes += length;
    }
    request->body = text_of(body, length);
    request->bytes = (size_t)(rest.bytes - bytes);
    return HTTP_WHOLE;
}

int http_parse(char *bytes, size_t length, struct http_request *request)
{
    struct text rest = text_of(bytes, length);
    struct fields fields = {0};
    size_t blank = 0;
    int status;

    *request = (struct http_request){0};
    /* An empty line before a request is forgiven (RFC 9112, 2.2). */
    while (blank + 1 < length && memcmp(bytes + blank, "\r\n", 2) == 0)
        blank += 2;
    rest.bytes += blank, rest.length -= blank;
    status = parse_head(&rest, request, &fields);
    if (status == HTTP_PARTIAL) {
        request->expect_continue = false;
        return length > HTTP_HEAD_MAX ? 431 : HTTP_PARTIAL;
    }
    if (status != HTTP_WHOLE)
        return status;
    if (rest.bytes - bytes > HTTP_HEAD_MAX)
        return 431;
    return parse_body(bytes, rest, &fields, request);
}

long http_decode(struct text text, char *out, size_t size)
{
    size_t length = 0;
    uint64_t byte;

    for (size_t i = 0; i < text.length; i++) {
        char c = text.bytes[i];

        if (c == '%') {
            if (text.length - i < 3 ||
                !text_number(text_of(text.bytes + i + 1, 2), 16, &byte))
                return -1;
            c = (char)byte;
            i += 2;
        }
        if (length + 1 >= size)
            return -1;
        out[length++] = c;
    }
    out[length] = 0;
    return (long)length;
}

const char *http_reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 413:
        return "Content Too Large";
    case 417:
        return "Expectation Failed";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    case 507:
        return "Insufficient Storage";
    default:
        return "Unknown";
    }
}

/* The Date field, which changes once a second. */
static const char *date(void)
{
    static char text[40];
    static time_t last = -1;
    time_t now = time(NULL);
    struct tm tm;

    if (now != last) {
        last = now;
        strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT",
                 gmtime_r(&now, &tm));
    }
    return text;
}

void http_answer(struct buffer *out, const struct http_request *request,
                 int status, const char *type, const struct buffer *body,
                 bool keep_alive)
{
    buffer_print(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status,
                 http_reason(status), date());
    if (status != 204)
        buffer_print(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", type,
                     body->used);
    if (status == 405)
        buffer_print(out, "Allow: GET, HEAD, PUT, DELETE\r\n");
    buffer_print(out, "%s\r\n", keep_alive ? "" : "Connection: close\r\n");
    if (status != 204 && !text_is(request->method, "HEAD"))
        buffer_add(out, body->bytes, body->used);
}
