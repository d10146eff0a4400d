/* SPDX-License-Identifier: MIT */
/* Answers of the admin endpoint: a head, and a page or a word on the error. */
#include "vmm/server/admin_answer.h"

#include <stdio.h>
#include <string.h>

#include "vmm/server/text.h"

#define TEXT         "text/plain; charset=utf-8"
#define METRICS_TEXT "text/plain; version=0.0.4; charset=utf-8"

static const char *reason(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    }
    return "Bad Request";
}

/* Stays where it is said to, closed else; for HTTP/1.0 the other way round. */
static const char *connection_field(const struct admin_request *request)
{
    if (!request->keep)
        return "Connection: close\r\n";
    return request->http_1_0 ? "Connection: keep-alive\r\n" : "";
}

static unsigned choose_status(const struct admin_request *request,
                              const struct admin_source *source)
{
    if (request->error)
        return request->error;
    switch (request->path) {
    case ADMIN_METRICS:
        return 200;
    case ADMIN_HEALTH:
        return source->is_healthy(source->context) ? 200 : 503;
    case ADMIN_NOWHERE:
        break;
    }
    return 404;
}

size_t admin_answer(const struct admin_request *request,
                    const struct admin_source *source, time_t now, char *to)
{
    unsigned status = choose_status(request, source);
    bool metrics = status == 200 && request->path == ADMIN_METRICS;
    char *body = to + ADMIN_HEAD_BYTES;
    char date[TEXT_HTTP_DATE_BYTES];
    size_t bytes;

    text_write_http_date((uint64_t)now, date);
    if (metrics)
        bytes = source->write_metrics(source->context, body);
    else
        bytes =
            (size_t)sprintf(body, "%s%s\n", reason(status),
                            status == 404 ? ": try /metrics or /healthz" : "");
    int head = snprintf(
        to, ADMIN_HEAD_BYTES,
        "HTTP/1.1 %u %s\r\nDate: %s\r\n%s%sContent-Type: %s\r\n"
        "Content-Length: %zu\r\nCache-Control: no-store\r\n\r\n",
        status, reason(status), date,
        status == 405 ? "Allow: GET, HEAD\r\n" : "", connection_field(request),
        metrics ? METRICS_TEXT : TEXT, bytes);
    if (request->head)
        return (size_t)head;
    memmove(to + head, body, bytes);
    return (size_t)head + bytes;
}
