/* SPDX-License-Identifier: MIT */
/* --allow-connect: where a guest without a network may connect to. */
#include "vmm/cli.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

/* Cuts "[ADDR]:PORT", "ADDR:PORT" or "NAME:PORT" at its last colon. */
static bool cut_port(char *text, char **host, unsigned long *port)
{
    char *colon = strrchr(text, ':'), *end;

    if (!colon || colon[1] < '0' || colon[1] > '9')
        return false;
    *port = strtoul(colon + 1, &end, 10);
    *colon = '\0';
    *host = text;
    if (*text == '[') {
        if (colon[-1] != ']')
            return false;
        colon[-1] = '\0';
        *host = text + 1;
    } else if (strchr(text, ':')) {
        return false;
    }
    return !*end && *port > 0 && *port <= UINT16_MAX && **host;
}

/* An IPv4 address that is written as an IPv6 one is that (RFC 4291, 2.5.5.2).
 */
static void unmap(struct cli_connect *connect)
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};

    if (!connect->is_ipv6 || memcmp(connect->address, prefix, 12) != 0)
        return;
    memmove(connect->address, connect->address + 12, 4);
    connect->is_ipv6 = false;
}

/* Whether the address leads to this host, or no further than its links. */
static bool is_near(const struct cli_connect *connect)
{
    static const uint8_t none[16], loopback[16] = {[15] = 1};
    const uint8_t *at = connect->address;

    if (!connect->is_ipv6)
        return at[0] == 127 || at[0] == 0 || (at[0] == 169 && at[1] == 254);
    return memcmp(at, none, 16) == 0 || memcmp(at, loopback, 16) == 0 ||
           (at[0] == 0xfe && (at[1] & 0xc0) == 0x80);
}

/* A name is looked up once, here: the guest is told the address. */
static int look_up(const char *name, struct cli_connect *connect)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(name, NULL, &hints, &found);
    bool taken = false;

    if (error)
        return cli_fail(CLI_FAILED, "--allow-connect: cannot find %s: %s", name,
                        gai_strerror(error));
    for (const struct addrinfo *at = found; at && !taken; at = at->ai_next) {
        connect->is_ipv6 = at->ai_family == AF_INET6;
        if (connect->is_ipv6)
            memcpy(connect->address,
                   &((const struct sockaddr_in6 *)at->ai_addr)->sin6_addr, 16);
        else
            memcpy(connect->address,
                   &((const struct sockaddr_in *)at->ai_addr)->sin_addr, 4);
        unmap(connect);
        taken = !is_near(connect);
    }
    freeaddrinfo(found);
    if (taken)
        return CLI_OK;
    return cli_fail(CLI_FAILED,
                    "--allow-connect: %s is this host or a neighbour of its "
                    "link: such an address has to be given itself",
                    name);
}

int cli_parse_connect(char *text, unsigned index, struct cli_connect *connect)
{
    unsigned long port = 0;
    char address[INET6_ADDRSTRLEN];
    char *host = text;
    bool is_name = false;

    *connect = (struct cli_connect){.is_ipv6 = false};
    if (!cut_port(text, &host, &port))
        return cli_misuse(NULL,
                          "--allow-connect takes HOST:PORT, with an IPv6 "
                          "address in brackets, not '%s'",
                          text);
    connect->port = (uint16_t)port;
    connect->is_ipv6 = inet_pton(AF_INET6, host, connect->address) == 1;
    if (!connect->is_ipv6 && inet_pton(AF_INET, host, connect->address) != 1)
        is_name = true;
    unmap(connect);
    if (is_name && look_up(host, connect))
        return CLI_FAILED;
    connect->by_name = is_name;
    inet_ntop(connect->is_ipv6 ? AF_INET6 : AF_INET, connect->address, address,
              sizeof(address));
    snprintf(connect->guest_option, sizeof(connect->guest_option),
             "connect=%u:%s%s%s:%lu%s%s", index, connect->is_ipv6 ? "[" : "",
             address, connect->is_ipv6 ? "]" : "", port, is_name ? ":" : "",
             is_name ? host : "");
    return CLI_OK;
}
