/* SPDX-License-Identifier: MIT */
/* Sockets of TCP and UDP: options of IP. */
#include <errno.h>
#include <string.h>

#include "guest_rt/lwip/inet.h"
#include "guest_rt/socket_inet.h"
#include "guest_rt/socket_settings.h"
#include "lwip/ip.h"

void inet_apply_switches(const struct socket *socket, struct ip_pcb *pcb)
{
    u8_t wanted = 0;

    if (socket->booleans & (SOCKET_REUSEADDR | SOCKET_REUSEPORT))
        wanted |= SOF_REUSEADDR;
    if (socket->booleans & SOCKET_KEEPALIVE)
        wanted |= SOF_KEEPALIVE;
    if (socket->booleans & SOCKET_BROADCAST)
        wanted |= SOF_BROADCAST;
    pcb->so_options &= (u8_t) ~(SOF_REUSEADDR | SOF_KEEPALIVE | SOF_BROADCAST);
    pcb->so_options |= wanted;
}

static int set_ip4(struct ip_pcb *pcb, int option, int number)
{
    switch (option) {
    case IP_TOS:
        pcb->tos = (u8_t)number;
        return 0;
    case IP_TTL:
        if (number != -1 && (number < 1 || number > 255))
            return -EINVAL;
        pcb->ttl = number == -1 ? 64 : (u8_t)number;
        return 0;
    case IP_MTU_DISCOVER:
    case IP_RECVERR:
    case IP_FREEBIND:
    case IP_BIND_ADDRESS_NO_PORT:
    case IP_RECVTOS:
    case IP_RECVTTL:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_ip6(struct ip_pcb *pcb, int option, int number)
{
    switch (option) {
    case IPV6_TCLASS:
        pcb->tos = number < 0 ? 0 : (u8_t)number;
        return 0;
    case IPV6_UNICAST_HOPS:
        if (number < -1 || number > 255)
            return -EINVAL;
        pcb->ttl = number == -1 ? 64 : (u8_t)number;
        return 0;
    case IPV6_MTU_DISCOVER:
    case IPV6_RECVERR:
    case IPV6_RECVTCLASS:
    case IPV6_RECVHOPLIMIT:
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int inet_set_option(struct socket *socket, struct ip_pcb *pcb, int level,
                    int option, const void *value, socklen_t bytes)
{
    int number, error;

    if (level == SOL_SOCKET) {
        if (pcb)
            inet_apply_switches(socket, pcb);
        return 0;
    }
    if (level != IPPROTO_IP && level != IPPROTO_IPV6)
        return -ENOPROTOOPT;
    if (level == IPPROTO_IPV6 && socket->domain != AF_INET6)
        return -ENOPROTOOPT;
    error = option_read_number(value, bytes, &number);
    if (error || !pcb)
        return error;
    return level == IPPROTO_IP ? set_ip4(pcb, option, number)
                               : set_ip6(pcb, option, number);
}

int inet_get_option(struct socket *socket, struct ip_pcb *pcb, int level,
                    int option, void *value, socklen_t *bytes)
{
    int number = 0;

    if (level == IPPROTO_IPV6 && socket->domain == AF_INET6) {
        if (option == IPV6_TCLASS)
            number = pcb ? pcb->tos : 0;
        else if (option == IPV6_UNICAST_HOPS)
            number = pcb ? pcb->ttl : 64;
        else
            return -ENOPROTOOPT;
        return option_give_number(value, bytes, number);
    }
    if (level != IPPROTO_IP)
        return -ENOPROTOOPT;
    if (option == IP_TOS)
        number = pcb ? pcb->tos : 0;
    else if (option == IP_TTL)
        number = pcb ? pcb->ttl : 64;
    else if (option != IP_MTU_DISCOVER && option != IP_FREEBIND)
        return -ENOPROTOOPT;
    return option_give_number(value, bytes, number);
}
