/* SPDX-License-Identifier: MIT */
/* Reading the addresses that a server is given. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "vmm/server/server.h"

static const char *parse_path(const char *path, struct server_address *address)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&address->address;

    if (!*path)
        return "a path is missing";
    if (strlen(path) >= sizeof(un->sun_path))
        return "a socket's path has 107 bytes at most";
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path));
    address->bytes = sizeof(*un);
    return NULL;
}

/* All addresses of both families: those of IPv6, which take IPv4 as well. */
static void take_everything(in_port_t port, struct server_address *address)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address->address;

    in6->sin6_family = AF_INET6;
    in6->sin6_port = port;
    address->bytes = sizeof(*in6);
}

static const char *explain(int error, int flags)
{
    if (flags & AI_NUMERICHOST)
        return "that is no address of IPv6";
    return error == EAI_AGAIN ? "no server of names answers"
                              : gai_strerror(error);
}

static const char *look_up(const char *host, const char *port, int flags,
                           struct server_address *address)
{
    const struct addrinfo hints = {
        .ai_family = flags & AI_NUMERICHOST ? AF_INET6 : AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = flags | AI_NUMERICSERV | AI_PASSIVE,
    };
    struct addrinfo *found;
    int error = getaddrinfo(host, port, &hints, &found);

    if (error)
        return explain(error, flags);
    memcpy(&address->address, found->ai_addr, found->ai_addrlen);
    address->bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return NULL;
}

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");

    return digits > 0 && digits < 6 && !text[digits] &&
           strtoul(text, NULL, 10) <= 65535;
}

/* `host` is what is before the last colon. */
static const char *parse_host(char *host, size_t length, const char *port,
                              struct server_address *address)
{
    if (strcmp(host, "*") == 0) {
        take_everything(htons((uint16_t)strtoul(port, NULL, 10)), address);
        return NULL;
    }
    if (*host == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        return look_up(host + 1, port, AI_NUMERICHOST, address);
    }
    /* Without brackets it might be meant to have no port. */
    if (strpbrk(host, "[]:"))
        return "an address of IPv6 is in brackets: [ADDR]:PORT";
    return look_up(host, port, 0, address);
}

const char *server_parse_address(const char *text,
                                 struct server_address *address)
{
    const char *colon = strrchr(text, ':');
    char host[256];
    size_t length;

    *address = (struct server_address){.text = text};
    if (strncmp(text, "unix:", 5) == 0)
        return parse_path(text + 5, address);
    if (!colon || colon == text)
        return "ADDR:PORT, *:PORT or unix:PATH is needed";
    if (!is_port(colon + 1))
        return "a port is a number to 65535";
    length = (size_t)(colon - text);
    if (length >= sizeof(host))
        return "the name is too long";
    memcpy(host, text, length);
    host[length] = '\0';
    return parse_host(host, length, colon + 1, address);
}
