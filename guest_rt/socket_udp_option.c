/* SPDX-License-Identifier: MIT */
/* UDP sockets: options, multicast groups among them. */
#include <errno.h>
#include <string.h>

#include "guest_rt/lwip/inet.h"
#include "guest_rt/socket_settings.h"
#include "guest_rt/socket_udp.h"
#include "lwip/igmp.h"
#include "lwip/mld6.h"

/* ---- Groups -------------------------------------------------------------- */

static struct netif *first_card(void)
{
    return inet_card_count() ? &inet_card_get(0)->netif : netif_get_by_index(1);
}

/* The interface of that address, or the first card. */
static struct netif *find_interface(struct in_addr address)
{
    struct netif *netif;

    if (address.s_addr == 0)
        return first_card();
    NETIF_FOREACH(netif)
    {
        if (netif_ip4_addr(netif)->addr == address.s_addr)
            return netif;
    }
    return NULL;
}

static err_t join(struct netif *netif, const ip_addr_t *group)
{
    return IP_IS_V6(group) ? mld6_joingroup_netif(netif, ip_2_ip6(group))
                           : igmp_joingroup_netif(netif, ip_2_ip4(group));
}

static err_t leave(struct netif *netif, const ip_addr_t *group)
{
    return IP_IS_V6(group) ? mld6_leavegroup_netif(netif, ip_2_ip6(group))
                           : igmp_leavegroup_netif(netif, ip_2_ip4(group));
}

static struct udp_group *find_group(struct udp_socket *udp,
                                    const ip_addr_t *group, uint8_t netif)
{
    for (unsigned i = 0; i < UDP_GROUPS_MAX; i++)
        if (udp->groups[i].netif == netif &&
            (!netif || ip_addr_cmp_zoneless(&udp->groups[i].group, group)))
            return &udp->groups[i];
    return NULL;
}

static int change_group(struct udp_socket *udp, struct netif *netif,
                        const ip_addr_t *group, bool joins)
{
    struct udp_group *entry;
    u8_t index;
    err_t error;

    if (!netif)
        return -ENODEV;
    if (!ip_addr_ismulticast(group))
        return -EINVAL;
    index = netif_get_index(netif);
    entry = find_group(udp, group, index);
    if (joins ? entry != NULL : entry == NULL)
        return joins ? -EADDRINUSE : -EADDRNOTAVAIL;
    if (joins) {
        entry = find_group(udp, group, 0);
        if (!entry)
            return -ENOBUFS;
    }
    inet_enter();
    error = joins ? join(netif, group) : leave(netif, group);
    inet_leave();
    if (error != ERR_OK)
        return -ENOBUFS;
    ip_addr_copy(entry->group, *group);
    entry->netif = joins ? index : 0;
    return 0;
}

void socket_udp_leave_groups(struct udp_socket *udp)
{
    for (unsigned i = 0; i < UDP_GROUPS_MAX; i++) {
        struct netif *netif = netif_get_by_index(udp->groups[i].netif);

        if (udp->groups[i].netif && netif)
            leave(netif, &udp->groups[i].group);
    }
}

static int change_ip4_group(struct udp_socket *udp, const void *value,
                            socklen_t bytes, bool joins)
{
    struct ip_mreqn wish = {0};
    struct netif *netif;
    ip_addr_t group;

    if (bytes < sizeof(struct ip_mreq))
        return -EINVAL;
    memcpy(&wish, value, bytes < sizeof(wish) ? bytes : sizeof(wish));
    ip_addr_set_ip4_u32_val(group, wish.imr_multiaddr.s_addr);
    netif = wish.imr_ifindex ? netif_get_by_index((u8_t)wish.imr_ifindex)
                             : find_interface(wish.imr_address);
    return change_group(udp, netif, &group, joins);
}

static int change_ip6_group(struct udp_socket *udp, const void *value,
                            socklen_t bytes, bool joins)
{
    struct ipv6_mreq wish;
    struct netif *netif;
    ip6_addr_t ip6;
    ip_addr_t group;

    if (bytes < sizeof(wish))
        return -EINVAL;
    memcpy(&wish, value, sizeof(wish));
    netif = wish.ipv6mr_interface
                ? netif_get_by_index((u8_t)wish.ipv6mr_interface)
                : first_card();
    memcpy(ip6.addr, &wish.ipv6mr_multiaddr, sizeof(ip6.addr));
    ip6_addr_clear_zone(&ip6);
    if (netif)
        ip6_addr_assign_zone(&ip6, IP6_MULTICAST, netif);
    ip_addr_copy_from_ip6(group, ip6);
    return change_group(udp, netif, &group, joins);
}

/* ---- Options ------------------------------------------------------------- */

static void set_loop(struct udp_socket *udp, bool on)
{
    udp->pcb->flags &= (u8_t)~UDP_FLAGS_MULTICAST_LOOP;
    if (on)
        udp->pcb->flags |= UDP_FLAGS_MULTICAST_LOOP;
}

static int set_multicast(struct udp_socket *udp, int level, int option,
                         const void *value, socklen_t bytes)
{
    bool ip6 = level == IPPROTO_IPV6;
    struct netif *netif;
    int number, error = option_read_number(value, bytes, &number);

    if (error)
        return error;
    if (option == (ip6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP)) {
        set_loop(udp, number != 0);
        return 0;
    }
    if (option == (ip6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL)) {
        if (number < -1 || number > 255)
            return -EINVAL;
        udp->pcb->mcast_ttl = number < 0 ? 1 : (u8_t)number;
        return 0;
    }
    if (ip6) {
        udp->pcb->mcast_ifindex = (u8_t)number;
        return 0;
    }
    netif = find_interface((struct in_addr){(uint32_t)number});
    if (bytes >= sizeof(struct ip_mreqn)) {
        struct ip_mreqn wish;

        memcpy(&wish, value, sizeof(wish));
        netif = wish.imr_ifindex ? netif_get_by_index((u8_t)wish.imr_ifindex)
                                 : find_interface(wish.imr_address);
    }
    if (!netif)
        return -EADDRNOTAVAIL;
    udp->pcb->mcast_ifindex = netif_get_index(netif);
    return 0;
}

static int set_ip6_only(struct udp_socket *udp, const void *value,
                        socklen_t bytes)
{
    int number, error = option_read_number(value, bytes, &number);

    if (!error && udp->pcb->local_port)
        error = -EINVAL;
    if (!error)
        udp->only_ip6 = number != 0;
    return error;
}

int socket_udp_set_option(struct socket *socket, int level, int option,
                          const void *value, socklen_t bytes)
{
    struct udp_socket *udp = (struct udp_socket *)socket;

    if (level == IPPROTO_IP) {
        switch (option) {
        case IP_ADD_MEMBERSHIP:
        case IP_DROP_MEMBERSHIP:
            return change_ip4_group(udp, value, bytes,
                                    option == IP_ADD_MEMBERSHIP);
        case IP_MULTICAST_IF:
        case IP_MULTICAST_TTL:
        case IP_MULTICAST_LOOP:
            return set_multicast(udp, level, option, value, bytes);
        }
    }
    if (level == IPPROTO_IPV6 && socket->domain == AF_INET6) {
        switch (option) {
        case IPV6_JOIN_GROUP:
        case IPV6_LEAVE_GROUP:
            return change_ip6_group(udp, value, bytes,
                                    option == IPV6_JOIN_GROUP);
        case IPV6_MULTICAST_IF:
        case IPV6_MULTICAST_HOPS:
        case IPV6_MULTICAST_LOOP:
            return set_multicast(udp, level, option, value, bytes);
        case IPV6_V6ONLY:
            return set_ip6_only(udp, value, bytes);
        }
    }
    return inet_set_option(socket, (struct ip_pcb *)udp->pcb, level, option,
                           value, bytes);
}

int socket_udp_get_option(struct socket *socket, int level, int option,
                          void *value, socklen_t *bytes)
{
    struct udp_socket *udp = (struct udp_socket *)socket;
    bool ip6 = level == IPPROTO_IPV6 && socket->domain == AF_INET6;

    if (level == SOL_SOCKET)
        return -ENOPROTOOPT;
    if (ip6 && option == IPV6_V6ONLY)
        return option_give_number(value, bytes, udp->only_ip6);
    if ((level == IPPROTO_IP && option == IP_MULTICAST_TTL) ||
        (ip6 && option == IPV6_MULTICAST_HOPS))
        return option_give_number(value, bytes, udp->pcb->mcast_ttl);
    if ((level == IPPROTO_IP && option == IP_MULTICAST_LOOP) ||
        (ip6 && option == IPV6_MULTICAST_LOOP))
        return option_give_number(
            value, bytes, (udp->pcb->flags & UDP_FLAGS_MULTICAST_LOOP) != 0);
    return inet_get_option(socket, (struct ip_pcb *)udp->pcb, level, option,
                           value, bytes);
}
