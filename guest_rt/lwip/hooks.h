/* SPDX-License-Identifier: MIT */
/* What lwIP's TCP calls of ours. */
#ifndef GUEST_RT_LWIP_HOOKS_H
#define GUEST_RT_LWIP_HOOKS_H

#include "lwip/ip_addr.h"

/* DHCP was told of the index-th name server; it has lwIP's own name for it. */
#define dns_setserver inet_dhcp_name_server
void inet_dhcp_name_server(u8_t index, const ip_addr_t *server);

struct pbuf;
struct tcp_hdr;
struct tcp_pcb;

/* The first sequence number of a connection (RFC 6528). */
u32_t inet_tcp_isn(const ip_addr_t *local, u16_t local_port,
                   const ip_addr_t *remote, u16_t remote_port);

/*
 * Called before each segment leaves: notes what a card has to know of it.
 * Returns `options`.
 */
u32_t *inet_tcp_sending(struct pbuf *segment, struct tcp_hdr *header,
                        const struct tcp_pcb *pcb, u32_t *options);

#endif
