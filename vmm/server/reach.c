/* SPDX-License-Identifier: MIT */
/* Whether an address leads to one of the server's own listeners. */
#include "vmm/server/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

/* Both families in one: an IPv4 address as IPv6 maps it. */
static struct in6_addr map(const uint8_t *ip, bool is_ipv6)
{
    struct in6_addr mapped = {.s6_addr = {[10] = 255, [11] = 255}};

    if (is_ipv6)
        memcpy(&mapped, ip, 16);
    else
        memcpy(mapped.s6_addr + 12, ip, 4);
    return mapped;
}

/* Only a host's own address can be bound to. */
static bool is_of_this_host(const uint8_t *ip, bool is_ipv6)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};
    const struct sockaddr *address =
        is_ipv6 ? (const struct sockaddr *)&in6 : (const struct sockaddr *)&in;
    socklen_t bytes = is_ipv6 ? sizeof(in6) : sizeof(in);
    int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ours;

    memcpy(&in6.sin6_addr, ip, is_ipv6 ? 16 : 0);
    memcpy(&in.sin_addr, ip, is_ipv6 ? 0 : 4);
    ours = fd < 0 || bind(fd, address, bytes) == 0;
    if (fd >= 0)
        close(fd);
    return ours;
}

bool server_is_reached(const struct server_address *address, const uint8_t *ip,
                       bool is_ipv6, uint16_t port)
{
    const struct sockaddr_in6 *in6 =
        (const struct sockaddr_in6 *)&address->address;
    const struct sockaddr_in *in =
        (const struct sockaddr_in *)&address->address;
    const struct in6_addr asked = map(ip, is_ipv6);
    struct in6_addr here;

    if (address->bytes == 0 || address->address.ss_family == AF_UNIX ||
        in->sin_port != htons(port)) /* in the same place in both */
        return false;
    if (address->address.ss_family == AF_INET6)
        here = in6->sin6_addr;
    else
        here = map((const uint8_t *)&in->sin_addr, false);
    if (IN6_IS_ADDR_UNSPECIFIED(&here) ||
        (IN6_IS_ADDR_V4MAPPED(&here) && here.s6_addr32[3] == 0))
        return is_of_this_host(ip, is_ipv6);
    return memcmp(&here, &asked, sizeof(here)) == 0;
}
