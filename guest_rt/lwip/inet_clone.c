/* SPDX-License-Identifier: MIT */
/* The TCP/IP stack of a VM that goes on from a snapshot. */
#include <string.h>

#include "guest_rt/generation.h"
#include "guest_rt/lwip/inet.h"
#include "lwip/dhcp.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/dhcp.h"
#include "lwip/udp.h"

/*
 * The card has another hardware address, and may have other options. A VM that
 * was moved keeps its connections as far as its addresses stay. Of clones none
 * does: two that went on with one connection would both be wrong, and whoever
 * is at its other end talks to the VM that was snapshotted, and must hear
 * nothing of this.
 */

static bool is_within_vm(const struct tcp_pcb *pcb)
{
    return ip_addr_isloopback(&pcb->remote_ip) ||
           ip_addr_cmp(&pcb->remote_ip, &pcb->local_ip);
}

/* To the program it looks like a reset; nothing is sent. */
static void drop(struct tcp_pcb *pcb)
{
    err_t reason = pcb->state == SYN_SENT ? ERR_ABRT : ERR_RST;
    tcp_err_fn failed = pcb->errf;
    void *argument = pcb->callback_arg;

    tcp_err(pcb, NULL);
    tcp_abandon(pcb, 0);
    if (failed)
        failed(argument, reason);
}

static struct tcp_pcb *find_foreign(struct tcp_pcb *pcb)
{
    while (pcb && is_within_vm(pcb))
        pcb = pcb->next;
    return pcb;
}

static void drop_connections(void)
{
    struct tcp_pcb *pcb;

    while ((pcb = find_foreign(tcp_active_pcbs)))
        drop(pcb);
    while ((pcb = find_foreign(tcp_tw_pcbs)))
        tcp_abandon(pcb, 0);
}

/* The lease is another VM's: it is left to it. */
static void forget_lease(struct netif *netif)
{
    struct dhcp *dhcp = netif_dhcp_data(netif);

    if (!dhcp || dhcp->state == DHCP_STATE_OFF)
        return;
    dhcp->state = DHCP_STATE_INIT; /* in which there is nothing to give back */
    dhcp_release_and_stop(netif);
}

/* All IPv6 addresses: they are made of the hardware address, or set anew. */
static void forget_ip6(struct netif *netif)
{
    for (s8_t i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
        netif_ip6_addr_set_state(netif, i, IP6_ADDR_INVALID);
        netif_ip6_addr_set(netif, i, IP6_ADDR_ANY6);
    }
}

static err_t send_nothing(struct netif *netif, struct pbuf *pbuf)
{
    (void)netif;
    (void)pbuf;
    return ERR_OK;
}

/* Nothing leaves meanwhile that would be sent in the other VM's name. */
static void forget_addresses(struct inet_card *card, bool many)
{
    struct netif *netif = &card->netif;
    netif_linkoutput_fn send = netif->linkoutput;
    struct inet_config config;

    netif->linkoutput = send_nothing;
    forget_lease(netif);
    netif_set_down(netif); /* and forgets its neighbours */
    forget_ip6(netif);
    inet_config_read(card->index, &config);
    /* Which DHCP will give a VM that was moved once more, perhaps. */
    if (many || !ip4_addr_isany_val(config.ip4))
        netif_set_addr(netif, &config.ip4, &config.netmask, &config.gateway);
    netif->linkoutput = send;
}

static void become_another(struct inet_card *card, bool many)
{
    inet_card_expect(card, 0); /* it is as long as it is */
    forget_addresses(card, many);
    nic_renew(card->nic);
    memcpy(card->netif.hwaddr, card->nic->mac, NIC_MAC_BYTES);
    inet_card_configure(card);
}

void inet_finish_sending(void)
{
    for (unsigned i = 0; i < inet_card_count(); i++)
        inet_card_flush(inet_card_get(i), true);
}

void inet_become_another(bool many)
{
    if (many)
        drop_connections();
    inet_tcp_renew();
    udp_init(); /* where ports are looked for */
    inet_time_start();
    inet_renew_wait();
    for (unsigned i = 0; i < inet_card_count(); i++)
        become_another(inet_card_get(i), many);
}
