/* SPDX-License-Identifier: MIT */
/* Sockets: what programs ask about interfaces by ioctl. */
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>

#include "guest_rt/lwip/inet.h"
#include "guest_rt/socket_inet.h"

/*
 * Interface 1 is the loopback "lo"; cards are "eth0" and so on. Nothing can be
 * set: addresses come with --net.
 */

/* "lo" or "ethN". */
static void write_interface_name(struct netif *netif, char name[IFNAMSIZ])
{
    const struct inet_card *card = inet_card_of(netif);

    memset(name, 0, IFNAMSIZ);
    memcpy(name, card ? "eth0" : "lo", card ? 4 : 2);
    if (card)
        name[3] = (char)('0' + card->index);
}

static struct netif *find_named(const char name[IFNAMSIZ])
{
    struct netif *netif;
    char each[IFNAMSIZ];

    NETIF_FOREACH(netif)
    {
        write_interface_name(netif, each);
        if (strncmp(each, name, IFNAMSIZ) == 0)
            return netif;
    }
    return NULL;
}

static void write_ip4(struct sockaddr *to, uint32_t address)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_addr.s_addr = address};

    memcpy(to, &name, sizeof(name));
}

static short read_flags(const struct netif *netif)
{
    int flags = 0;

    if (netif_is_up(netif))
        flags |= IFF_UP;
    if (netif_is_link_up(netif))
        flags |= IFF_RUNNING;
    return (short)(flags | (inet_card_of(netif) ? IFF_BROADCAST | IFF_MULTICAST
                                                : IFF_LOOPBACK));
}

/* SIOCGIFCONF: all interfaces that have an IPv4 address. */
static long list_interfaces(struct ifconf *list)
{
    struct ifreq *each = list->ifc_req;
    int room = list->ifc_len, used = 0;
    struct netif *netif;

    NETIF_FOREACH(netif)
    {
        struct ifreq entry = {0};

        if (ip4_addr_isany_val(*netif_ip4_addr(netif)))
            continue;
        write_interface_name(netif, entry.ifr_name);
        write_ip4(&entry.ifr_addr, netif_ip4_addr(netif)->addr);
        if (each && used + (int)sizeof(entry) > room)
            break;
        if (each)
            memcpy(each++, &entry, sizeof(entry));
        used += (int)sizeof(entry);
    }
    list->ifc_len = used;
    return 0;
}

static void read_hardware(const struct netif *netif, struct sockaddr *to)
{
    memset(to, 0, sizeof(*to));
    to->sa_family = inet_card_of(netif) ? ARPHRD_ETHER : ARPHRD_LOOPBACK;
    memcpy(to->sa_data, netif->hwaddr, netif->hwaddr_len);
}

/* Questions about one interface. */
static long answer(unsigned request, const struct netif *netif,
                   struct ifreq *entry)
{
    uint32_t address = netif_ip4_addr(netif)->addr;
    uint32_t mask = netif_ip4_netmask(netif)->addr;

    switch (request) {
    case SIOCGIFADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFBRDADDR:
        if (!address)
            return -EADDRNOTAVAIL;
        write_ip4(&entry->ifr_addr, request == SIOCGIFADDR ? address
                                    : request == SIOCGIFNETMASK
                                        ? mask
                                        : address | ~mask);
        return 0;
    case SIOCGIFFLAGS:
        entry->ifr_flags = read_flags(netif);
        return 0;
    case SIOCGIFINDEX:
        entry->ifr_ifindex = netif_get_index(netif);
        return 0;
    case SIOCGIFMTU:
        entry->ifr_mtu = netif->mtu ? netif->mtu : 65536;
        return 0;
    case SIOCGIFHWADDR:
        read_hardware(netif, &entry->ifr_hwaddr);
        return 0;
    case SIOCGIFMETRIC:
    case SIOCGIFTXQLEN:
        entry->ifr_metric = 0;
        return 0;
    default:
        return -EPERM; /* to set something */
    }
}

long inet_interface_ioctl(unsigned request, long argument)
{
    struct ifreq *entry = (struct ifreq *)argument;
    struct netif *netif;

    if (inet_start())
        return -ENOBUFS;
    if (request == SIOCGIFCONF)
        return list_interfaces((struct ifconf *)argument);
    if (request < SIOCGIFNAME || request > SIOCSIFTXQLEN)
        return -ENOTTY;
    if (request == SIOCGIFNAME) {
        netif = netif_get_by_index((u8_t)entry->ifr_ifindex);
        if (netif)
            write_interface_name(netif, entry->ifr_name);
        return netif ? 0 : -ENODEV;
    }
    netif = find_named(entry->ifr_name);
    return netif ? answer(request, netif, entry) : -ENODEV;
}
