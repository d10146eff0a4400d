/* SPDX-License-Identifier: MIT */
/* Sockets of TCP and UDP: addresses, and what both have. */
#ifndef GUEST_RT_SOCKET_INET_H
#define GUEST_RT_SOCKET_INET_H

#include "lwip/inet.h"
#include "socket.h"

struct ip_pcb;
struct pbuf;

/* ---- socket_inet.c ---- */

/* 0, or the errno for what lwIP says, negative. */
int inet_errno(err_t error);

/*
 * Reads a program's address for this socket. IPv4 addresses that an AF_INET6
 * socket gets mapped become IPv4. Returns 0, -EINVAL or -EAFNOSUPPORT.
 */
int inet_read_name(const struct socket *socket, const struct socket_name *name,
                   ip_addr_t *address, uint16_t *port);

/* Writes an address as this socket's family has it. */
void inet_write_name(const struct socket *socket, const ip_addr_t *address,
                     uint16_t port, struct socket_name *name);

/*
 * The same for bind(): an address that is any becomes what stands for it.
 * -EADDRNOTAVAIL if it is not one of this VM's.
 */
int inet_read_own_name(const struct socket *socket, bool only_ip6,
                       const struct socket_name *name, ip_addr_t *address,
                       uint16_t *port);

/*
 * Where messages to `address` go out; waits for DHCP if need be. Any address
 * becomes this VM itself. Returns 0, -ENETUNREACH, or -EINTR.
 */
int inet_find_route(ip_addr_t *address, struct netif **netif);

/* ---- socket_inet_option.c ---- */

/* Options of IP that TCP and UDP share. `pcb` may be NULL. */
int inet_set_option(struct socket *socket, struct ip_pcb *pcb, int level,
                    int option, const void *value, socklen_t bytes);
int inet_get_option(struct socket *socket, struct ip_pcb *pcb, int level,
                    int option, void *value, socklen_t *bytes);

/* SO_* that lwIP has to know of, as bits of its so_options. */
void inet_apply_switches(const struct socket *socket, struct ip_pcb *pcb);

/* ---- socket_ioctl.c ---- */

/* SIOCGIFCONF and its like: what programs ask about interfaces. */
long inet_interface_ioctl(unsigned request, long argument);

/* ---- Datagrams and connections ---- */

int inet_tcp_create(int domain, struct socket **socket);
int inet_udp_create(int domain, struct socket **socket);

/* Looks for frames that have come, for calls that would return nothing. */
void inet_poll(void);

#endif
