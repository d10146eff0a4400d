/* SPDX-License-Identifier: MIT */
/* A line of the access log: what a connection's record looks like in JSON. */
#include <stdio.h>

#include "vmm/cli.h"
#include "vmm/server/access_log.h"
#include "vmm/server/text.h"

#define REQUEST_BYTES 256 /* of the request line */

/* Everything but the request and the client has at most so many. */
#define REST_BYTES 640

_Static_assert(ACCESS_LOG_LINE_BYTES >= REQUEST_BYTES * CLI_ESCAPED_BYTES +
                                            TEXT_ADDRESS_BYTES + REST_BYTES,
               "a line always has room");

/* Seconds of UTC and their microseconds (RFC 3339). */
static size_t put_time(char *to, size_t room, uint64_t ns)
{
    struct text_date date;

    text_break_date(ns / 1000000000, &date);
    return (size_t)snprintf(to, room, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
                            date.year, date.month, date.day, date.hour,
                            date.minute, date.second,
                            (unsigned)(ns % 1000000000 / 1000));
}

static bool is_line_end(char byte)
{
    return byte == '\r' || byte == '\n';
}

/*
 * The first line, or null if there is none. Servers skip empty ones before a
 * request (RFC 9112, 2.2).
 */
static size_t put_request(char *to, const struct connection_record *record)
{
    const char *text = record->request;
    size_t left = text ? record->request_bytes : 0, at = 0;

    if (left == 0)
        return (size_t)sprintf(to, "null");
    for (; left && is_line_end(*text); left--)
        text++;
    if (left > REQUEST_BYTES)
        left = REQUEST_BYTES;
    to[at++] = '"';
    for (; left && !is_line_end(*text); left--)
        at += cli_escape_json((unsigned char)*text++, to + at);
    to[at++] = '"';
    return at;
}

size_t access_log_format(char *to, const struct connection_record *record,
                         uint64_t now_ns)
{
    char client[TEXT_ADDRESS_BYTES];
    char status[16] = "null";
    size_t at;

    /* Nothing in it needs escaping. */
    text_write_address(record->peer, record->peer_bytes, client);
    if (record->status)
        snprintf(status, sizeof(status), "%u", record->status);
    at = (size_t)sprintf(to, "{\"schema\": 1, \"time\": \"");
    at += put_time(to + at, 40, now_ns - record->total_ns);
    at += (size_t)sprintf(to + at,
                          "\", \"id\": %llu, \"client\": \"%s\", \"request\": ",
                          (unsigned long long)record->id, client);
    at += put_request(to + at, record);
    at += (size_t)sprintf(
        to + at,
        ", \"end\": \"%s\", \"status\": %s, \"in_bytes\": %llu, "
        "\"out_bytes\": %llu, \"queue_us\": %llu, \"vm_us\": %llu, "
        "\"total_us\": %llu, \"reset_pages\": %llu, \"exits\": %llu, "
        "\"worker\": %ld}\n",
        connection_end_name(record->end), status,
        (unsigned long long)record->in_bytes,
        (unsigned long long)record->out_bytes,
        (unsigned long long)record->queue_ns / 1000,
        (unsigned long long)record->vm_ns / 1000,
        (unsigned long long)record->total_ns / 1000,
        (unsigned long long)record->reset_pages,
        (unsigned long long)record->exits, (long)record->worker);
    return at;
}
