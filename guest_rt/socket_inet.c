/* SPDX-License-Identifier: MIT */
/* Sockets of TCP and UDP: making them, and their addresses. */
#include "guest_rt/socket_inet.h"

#include <errno.h>
#include <string.h>

#include "guest_rt/lwip/inet.h"
#include "lwip/ip.h"
#include "lwip/ip6_addr.h"

/* Weak, for tests of this layer alone. */
bool socket_vsock_is_inet(void) __attribute__((weak));
int socket_vsock_create(int domain, int type, int protocol,
                        struct socket **socket) __attribute__((weak));

#define IP6_NAME_MIN 24u /* without sin6_scope_id (RFC 2133) */

int inet_errno(err_t error)
{
    static const uint8_t table[] = {
        [ERR_OK] = 0,
        [-ERR_MEM] = ENOBUFS,
        [-ERR_BUF] = ENOBUFS,
        [-ERR_TIMEOUT] = ETIMEDOUT,
        [-ERR_RTE] = ENETUNREACH,
        [-ERR_INPROGRESS] = EINPROGRESS,
        [-ERR_VAL] = EINVAL,
        [-ERR_WOULDBLOCK] = EAGAIN,
        [-ERR_USE] = EADDRINUSE,
        [-ERR_ALREADY] = EALREADY,
        [-ERR_ISCONN] = EISCONN,
        [-ERR_CONN] = ENOTCONN,
        [-ERR_IF] = ENETDOWN,
        [-ERR_ABRT] = ECONNABORTED,
        [-ERR_RST] = ECONNRESET,
        [-ERR_CLSD] = ENOTCONN,
        [-ERR_ARG] = EINVAL,
    };

    return -table[-error];
}

int socket_inet_create(int domain, int type, int protocol,
                       struct socket **socket)
{
    int error;

    if (type != SOCK_STREAM && type != SOCK_DGRAM)
        return type == SOCK_RAW ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT;
    if (protocol &&
        protocol != (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP))
        return -EPROTONOSUPPORT;
    /* In VMs without a card, streams go over the device for them. */
    if (type == SOCK_STREAM && socket_vsock_is_inet && socket_vsock_is_inet())
        return socket_vsock_create(domain, type, protocol, socket);
    error = inet_start();
    if (error)
        return error;
    return type == SOCK_STREAM ? inet_tcp_create(domain, socket)
                               : inet_udp_create(domain, socket);
}

void inet_poll(void)
{
    for (unsigned i = 0; i < inet_card_count(); i++) {
        struct source *source = &inet_card_get(i)->source;

        if (ring_has_used(&inet_card_get(i)->nic->rings[NIC_RX]))
            source->serve(source);
        else
            inet_card_flush(inet_card_get(i), false);
    }
}

/* ---- Addresses ----------------------------------------------------------- */

static int read_ip4(const struct socket_name *name, ip_addr_t *address,
                    uint16_t *port)
{
    if (name->bytes < sizeof(name->in))
        return -EINVAL;
    ip_addr_set_ip4_u32_val(*address, name->in.sin_addr.s_addr);
    *port = ntohs(name->in.sin_port);
    return 0;
}

static int read_ip6(const struct socket_name *name, ip_addr_t *address,
                    uint16_t *port)
{
    ip6_addr_t ip6;
    uint32_t ip4;

    if (name->bytes < IP6_NAME_MIN)
        return -EINVAL;
    *port = ntohs(name->in6.sin6_port);
    memcpy(ip6.addr, &name->in6.sin6_addr, sizeof(ip6.addr));
    ip6_addr_clear_zone(&ip6);
    if (ip6_addr_isipv4mappedipv6(&ip6)) {
        memcpy(&ip4, (const char *)&name->in6.sin6_addr + 12, sizeof(ip4));
        ip_addr_set_ip4_u32_val(*address, ip4);
        return 0;
    }
    if (name->bytes >= sizeof(name->in6) &&
        ip6_addr_has_scope(&ip6, IP6_UNKNOWN))
        ip6_addr_set_zone(&ip6, (u8_t)name->in6.sin6_scope_id);
    ip_addr_copy_from_ip6(*address, ip6);
    return 0;
}

int inet_read_name(const struct socket *socket, const struct socket_name *name,
                   ip_addr_t *address, uint16_t *port)
{
    if (name->bytes < sizeof(sa_family_t))
        return -EINVAL;
    if (name->any.sa_family == AF_INET &&
        (socket->domain == AF_INET || socket->domain == AF_INET6))
        return socket->domain == AF_INET ? read_ip4(name, address, port)
                                         : -EAFNOSUPPORT;
    if (name->any.sa_family != AF_INET6 || socket->domain != AF_INET6)
        return name->bytes < sizeof(name->in) ? -EINVAL : -EAFNOSUPPORT;
    return read_ip6(name, address, port);
}

void inet_write_name(const struct socket *socket, const ip_addr_t *address,
                     uint16_t port, struct socket_name *name)
{
    *name = (struct socket_name){.bytes = sizeof(name->in)};
    if (socket->domain == AF_INET) {
        name->in.sin_family = AF_INET;
        name->in.sin_port = htons(port);
        if (IP_IS_V4(address))
            name->in.sin_addr.s_addr = ip4_addr_get_u32(ip_2_ip4(address));
        return;
    }
    name->bytes = sizeof(name->in6);
    name->in6.sin6_family = AF_INET6;
    name->in6.sin6_port = htons(port);
    if (IP_IS_V6_VAL(*address)) {
        memcpy(&name->in6.sin6_addr, ip_2_ip6(address)->addr, 16);
        if (ip6_addr_islinklocal(ip_2_ip6(address)))
            name->in6.sin6_scope_id = ip6_addr_zone(ip_2_ip6(address));
    } else if (IP_IS_V4_VAL(*address) && !ip_addr_isany(address)) {
        uint32_t ip4 = ip4_addr_get_u32(ip_2_ip4(address));

        name->in6.sin6_addr.s6_addr[10] = 0xff;
        name->in6.sin6_addr.s6_addr[11] = 0xff;
        memcpy(&name->in6.sin6_addr.s6_addr[12], &ip4, sizeof(ip4));
    }
}

/* Whether the address is one of this VM's. */
static bool is_own(const ip_addr_t *address)
{
    struct netif *netif;

    NETIF_FOREACH(netif)
    {
        if (IP_IS_V4(address)) {
            if (ip4_addr_cmp(ip_2_ip4(address), netif_ip4_addr(netif)))
                return true;
        } else {
            for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++)
                if (ip6_addr_isvalid(netif_ip6_addr_state(netif, i)) &&
                    ip6_addr_cmp_zoneless(ip_2_ip6(address),
                                          netif_ip6_addr(netif, i)))
                    return true;
        }
    }
    return false;
}

int inet_read_own_name(const struct socket *socket, bool only_ip6,
                       const struct socket_name *name, ip_addr_t *address,
                       uint16_t *port)
{
    struct socket_name any = *name;
    int error;

    /* Linux takes this for AF_INET, too, if the address is 0. */
    if (socket->domain == AF_INET && name->bytes >= sizeof(name->in) &&
        name->any.sa_family == AF_UNSPEC && name->in.sin_addr.s_addr == 0)
        any.any.sa_family = AF_INET;
    error = inet_read_name(socket, &any, address, port);
    if (error)
        return error;
    if (ip_addr_isany(address)) {
        if (IP_IS_V6_VAL(*address) && !only_ip6)
            *address = ip_addr_any_type;
        return 0;
    }
    if (ip_addr_ismulticast(address))
        return socket->type == SOCK_STREAM ? -EADDRNOTAVAIL : 0;
    if (!is_own(address)) {
        error = inet_wait_address();
        if (error)
            return error;
        if (!is_own(address))
            return -EADDRNOTAVAIL;
    }
    return 0;
}

/* ---- Routes -------------------------------------------------------------- */

/* Whether frames for the address have somewhere to go: a neighbour, a router.
 */
static bool leads_somewhere(struct netif *netif, const ip_addr_t *address)
{
    const ip4_addr_t *ip4 = ip_2_ip4(address);

    if (IP_IS_V6(address) || !inet_card_of(netif))
        return true;
    return ip4_addr_netcmp(ip4, netif_ip4_addr(netif),
                           netif_ip4_netmask(netif)) ||
           ip4_addr_ismulticast(ip4) || ip4_addr_isbroadcast(ip4, netif) ||
           !ip4_addr_isany_val(*netif_ip4_gw(netif));
}

static struct netif *route_to(const ip_addr_t *address)
{
    struct netif *netif =
        ip_route(IP_IS_V6(address) ? IP6_ADDR_ANY : IP4_ADDR_ANY, address);

    /* What this VM itself is reached by, whatever the card says. */
    if (!netif && ip_addr_isloopback(address))
        netif = netif_get_by_index(1);
    return netif && leads_somewhere(netif, address) ? netif : NULL;
}

int inet_find_route(ip_addr_t *address, struct netif **netif)
{
    int error = 0;

    if (ip_addr_isany(address)) {
        if (IP_IS_V6(address))
            ip_addr_set_loopback(true, address);
        else
            ip_addr_set_loopback(false, address);
    }
    *netif = route_to(address);
    if (!*netif) {
        error = inet_wait_address();
        *netif = route_to(address);
    }
    if (error)
        return error;
    return *netif ? 0 : -ENETUNREACH;
}
