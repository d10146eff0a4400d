/* SPDX-License-Identifier: MIT */
/* A line of the access log: what a connection's record looks like in JSON. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "vmm/cli.h"
#include "vmm/server/access_log.h"

#define REQUEST_BYTES 256 /* of the request line */
#define CLIENT_BYTES  64  /* of an address and a port */

/* Everything but the request and the client has at most so many. */
#define REST_BYTES 640

_Static_assert(ACCESS_LOG_LINE_BYTES >= REQUEST_BYTES * CLI_ESCAPED_BYTES +
                                            CLIENT_BYTES + REST_BYTES,
               "a line always has room");

/* Seconds of UTC and their microseconds (RFC 3339). */
static size_t put_time(char *to, size_t room, uint64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm utc;

    gmtime_r(&seconds, &utc);
    return (size_t)snprintf(to, room, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ",
                            utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                            utc.tm_hour, utc.tm_min, utc.tm_sec,
                            (unsigned)(ns % 1000000000 / 1000));
}

static void write_ip6(const struct sockaddr_in6 *address, char *to)
{
    char host[INET6_ADDRSTRLEN];
    unsigned port = ntohs(address->sin6_port);

    if (IN6_IS_ADDR_V4MAPPED(&address->sin6_addr)) {
        inet_ntop(AF_INET, &address->sin6_addr.s6_addr[12], host, sizeof(host));
        snprintf(to, CLIENT_BYTES, "%s:%u", host, port);
    } else {
        inet_ntop(AF_INET6, &address->sin6_addr, host, sizeof(host));
        snprintf(to, CLIENT_BYTES, "[%s]:%u", host, port);
    }
}

/* Nothing in it needs escaping. */
static void write_client(const struct connection_record *record, char *to)
{
    char host[INET_ADDRSTRLEN];
    struct sockaddr_in6 ip6;
    struct sockaddr_in ip4;
    sa_family_t family = AF_UNSPEC;

    if (record->peer && record->peer_bytes >= sizeof(family))
        family = record->peer->sa_family;
    to[0] = '\0';
    if (family == AF_INET && record->peer_bytes >= sizeof(ip4)) {
        memcpy(&ip4, record->peer, sizeof(ip4));
        inet_ntop(AF_INET, &ip4.sin_addr, host, sizeof(host));
        snprintf(to, CLIENT_BYTES, "%s:%u", host, ntohs(ip4.sin_port));
    } else if (family == AF_INET6 && record->peer_bytes >= sizeof(ip6)) {
        memcpy(&ip6, record->peer, sizeof(ip6));
        write_ip6(&ip6, to);
    } else if (family == AF_UNIX) {
        strcpy(to, "unix");
    }
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

    if (left == 0) {
        memcpy(to, "null", 4);
        return 4;
    }
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
    char client[CLIENT_BYTES];
    char status[16] = "null";
    size_t at;

    write_client(record, client);
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
