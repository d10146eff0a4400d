/* SPDX-License-Identifier: MIT */
/* What the server offers: greetings, documents, health and metrics */
#include "service.h"

#include "json.h"
#include "store.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

struct metrics metrics;

/* Upper ends of the histogram's buckets but the last one, in microseconds. */
static const unsigned bucket_us[] = {50,    100,    250,    1000,
                                     10000, 100000, 1000000};

enum { BUCKETS = sizeof(metrics.durations) / sizeof(metrics.durations[0]) };

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void print_error(struct buffer *body, int status)
{
    buffer_print(body, "{\"status\":%d,\"error\":\"%s\"}\n", status,
                 http_reason(status));
}

/* GET /hello?name=NAME */
static int hello(const struct http_request *request, struct buffer *body)
{
    char name[256] = "world";
    struct text value = request->query;
    long length = 5;

    if (value.length >= 5 && memcmp(value.bytes, "name=", 5) == 0) {
        value.bytes += 5, value.length -= 5;
        length = http_decode(value, name, sizeof(name));
        if (length < 0)
            return 400;
    }
    buffer_print(body, "{\"hello\":");
    json_string(body, name, (size_t)length);
    buffer_print(body, "}\n");
    return 200;
}

static void print_histogram(struct buffer *body)
{
    const char *name = "http_request_duration_seconds";
    uint64_t count = 0;

    buffer_print(body, "# TYPE %s histogram\n", name);
    for (unsigned i = 0; i < BUCKETS; i++) {
        count += metrics.durations[i];
        if (i < BUCKETS - 1)
            buffer_print(body, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name,
                         bucket_us[i] / 1e6, count);
    }
    buffer_print(body,
                 "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9f\n"
                 "%s_count %" PRIu64 "\n",
                 name, count, name, (double)metrics.duration_ns / 1e9, name,
                 count);
}

/* GET /metrics, as Prometheus reads it. */
static void print_metrics(struct buffer *body)
{
    const struct {
        const char *name, *type;
        uint64_t value;
    } values[] = {
        {"http_connections_accepted_total", "counter", metrics.accepted},
        {"http_connections_open", "gauge", metrics.open},
        {"http_timeouts_total", "counter", metrics.timeouts},
        {"http_received_bytes_total", "counter", metrics.received_bytes},
        {"http_sent_bytes_total", "counter", metrics.sent_bytes},
        {"store_items", "gauge", store_count()},
        {"store_bytes", "gauge", store_bytes()},
    };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        buffer_print(body, "# TYPE %s %s\n%s %" PRIu64 "\n", values[i].name,
                     values[i].type, values[i].name, values[i].value);
    buffer_print(body, "# TYPE http_requests_total counter\n");
    for (unsigned i = 2; i < 6; i++)
        buffer_print(body, "http_requests_total{status=\"%uxx\"} %" PRIu64 "\n",
                     i, metrics.answers[i]);
    print_histogram(body);
}

/* /items/NAME */
static int item(const struct http_request *request, struct text path,
                struct buffer *body)
{
    char bytes[STORE_NAME_MAX + 1];
    long length = http_decode(path, bytes, sizeof(bytes));
    struct text name = text_of(bytes, (size_t)length), value;

    if (length <= 0)
        return 400;
    if (text_is(request->method, "PUT")) {
        if (!json_valid(request->body.bytes, request->body.length))
            return 400;
        return store_put(name, request->body);
    }
    if (text_is(request->method, "DELETE"))
        return store_remove(name) ? 204 : 404;
    if (!store_get(name, &value))
        return 404;
    buffer_add(body, value.bytes, value.length);
    return 200;
}

/* Finds what the path names and lets it answer. */
static int route(const struct http_request *request, struct buffer *body,
                 const char **type)
{
    const char *bytes = request->path.bytes;
    size_t length = request->path.length;
    bool get =
        text_is(request->method, "GET") || text_is(request->method, "HEAD");
    bool change =
        text_is(request->method, "PUT") || text_is(request->method, "DELETE");

    if (!get && !change)
        return 405;
    if (length > 7 && memcmp(bytes, "/items/", 7) == 0)
        return item(request, text_of(bytes + 7, length - 7), body);
    if (!get)
        return 405;
    if (text_is(request->path, "/hello"))
        return hello(request, body);
    if (text_is(request->path, "/items")) {
        store_list(body);
    } else if (text_is(request->path, "/health")) {
        buffer_print(body, "{\"status\":\"ok\"}\n");
    } else if (text_is(request->path, "/metrics")) {
        *type = "text/plain; version=0.0.4";
        print_metrics(body);
    } else {
        return 404;
    }
    return 200;
}

static void count(int status, uint64_t began_ns)
{
    uint64_t ns = now_ns() - began_ns;
    unsigned i = 0;

    while (i < BUCKETS - 1 && ns > bucket_us[i] * UINT64_C(1000))
        i++;
    metrics.durations[i]++;
    metrics.duration_ns += ns;
    metrics.answers[status / 100]++;
}

void service_answer(struct buffer *out, const struct http_request *request,
                    bool keep_alive)
{
    const char *type = "application/json";
    uint64_t began_ns = now_ns();
    struct buffer body = {0};
    int status = route(request, &body, &type);

    if (status >= 400)
        print_error(&body, status);
    http_answer(out, request, status, type, &body, keep_alive);
    out->failed |= body.failed;
    buffer_free(&body);
    count(status, began_ns);
}

void service_refuse(struct buffer *out, int status)
{
    const struct http_request none = {.method = text_of("", 0)};
    struct buffer body = {0};

    print_error(&body, status);
    http_answer(out, &none, status, "application/json", &body, false);
    buffer_free(&body);
    count(status, now_ns());
}
