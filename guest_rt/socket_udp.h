/* SPDX-License-Identifier: MIT */
/* UDP sockets: what their parts know of each other. */
#ifndef GUEST_RT_SOCKET_UDP_H
#define GUEST_RT_SOCKET_UDP_H

#include "lwip/udp.h"
#include "socket_inet.h"

#define UDP_GROUPS_MAX 8u

struct datagram;

/* A multicast group that the socket has joined. */
struct udp_group {
    ip_addr_t group;
    uint8_t netif; /* index; 0: none */
};

struct udp_socket {
    struct socket socket;
    struct udp_pcb *pcb;
    struct datagram *first, *last; /* received */
    uint32_t queued;               /* what they count for */
    bool connected;
    bool led;   /* a query has gone to the name server (inet_names.c) */
    bool fixed; /* the local address is what connect() chose */
    bool shut_read, shut_write, only_ip6;
    struct udp_group groups[UDP_GROUPS_MAX];
};

/* ---- socket_udp_option.c ---- */

int socket_udp_set_option(struct socket *socket, int level, int option,
                          const void *value, socklen_t bytes);
int socket_udp_get_option(struct socket *socket, int level, int option,
                          void *value, socklen_t *bytes);
void socket_udp_leave_groups(struct udp_socket *udp);

#endif
