/* SPDX-License-Identifier: MIT */
/* The TCP/IP stack: starting it, and calling it. */
#include <errno.h>
#include <string.h>

#include "guest_rt/generation.h"
#include "guest_rt/lwip/hooks.h"
#include "guest_rt/lwip/inet.h"
#include "guest_rt/option.h"
#include "guest_rt/runtime.h"
#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/ip6_addr.h"
#include "lwip/nd6.h"
#include "lwip/priv/tcp_priv.h"

#define CARDS_MAX       4u
#define ADDRESS_WAIT_NS 10000000000ull /* 10 s: DHCP asks several times */
#define LOOP_ROUNDS_MAX 64u

static struct inet_card cards[CARDS_MAX];
static unsigned card_count;
static bool started, ready;
static unsigned depth; /* of inet_enter() */
static bool another;   /* the VM is, and the stack does not know it yet */
static bool many;      /* ... and there are more of it */
static struct wait_queue address_waiters;

unsigned inet_card_count(void)
{
    return card_count;
}

struct inet_card *inet_card_get(unsigned index)
{
    return &cards[index];
}

struct inet_card *inet_card_of(const struct netif *netif)
{
    for (unsigned i = 0; i < card_count; i++)
        if (&cards[i].netif == netif)
            return &cards[i];
    return NULL;
}

const ip_addr_t *inet_name_server(unsigned index)
{
    for (unsigned i = 0; i < card_count; i++) {
        const struct inet_config *config = &cards[i].config;

        if (index < config->name_server_count)
            return &config->name_servers[index];
        index -= config->name_server_count;
    }
    return NULL;
}

/* ---- Calls --------------------------------------------------------------- */

static void follow_generation(void)
{
    if (!another || !ready)
        return;
    another = false;
    inet_become_another(many);
}

void inet_enter(void)
{
    if (depth++ > 0)
        return;
    inet_time_enter();
    follow_generation();
}

void inet_leave(void)
{
    if (depth > 1) {
        depth--;
        return;
    }
    follow_generation(); /* it may have happened since */
    /* What arrives here may make more: two ends of one connection talk. */
    netif_poll_all();
    depth--;
    for (unsigned i = 0; i < card_count; i++) {
        inet_card_expect(&cards[i], 0); /* it may wait for an address */
        inet_card_flush(&cards[i], false);
    }
}

/* generation.h. In the middle of something here it waits for the end of that.
 */
void inet_renew(bool are_many)
{
    if (!started)
        return;
    many = are_many || (another && many);
    another = true;
    if (depth > 0 || !ready)
        return;
    inet_enter();
    inet_leave();
}

/* ---- Addresses ----------------------------------------------------------- */

static void status_changed(struct netif *netif)
{
    wait_wake(&address_waiters, 0, WAIT_ALL);
    inet_time_dhcp(netif);
}

void inet_dhcp_name_server(u8_t index, const ip_addr_t *server)
{
    struct inet_config *config = &cards[0].config;

    if (index >= INET_NAME_SERVERS_MAX)
        return;
    config->name_servers[index] = *server;
    if (config->name_server_count <= index)
        config->name_server_count = index + 1u;
}

static void add_ip6(struct inet_card *card)
{
    const struct inet_config *config = &card->config;
    s8_t at;

    netif_create_ip6_linklocal_address(&card->netif, 1);
    netif_set_ip6_autoconfig_enabled(&card->netif, !config->has_ip6);
    if (config->has_ip6 &&
        netif_add_ip6_address(&card->netif, &config->ip6, &at) == ERR_OK)
        netif_ip6_addr_set_state(&card->netif, at, IP6_ADDR_PREFERRED);
}

/* Addresses come before the card is up: then it announces them once. */
void inet_card_configure(struct inet_card *card)
{
    struct inet_config *config = &card->config;

    inet_config_read(card->index, config);
    netif_set_hostname(&card->netif, option_get("hostname", 0)
                                         ? option_get("hostname", 0)
                                         : "mayfly");
    netif_set_status_callback(&card->netif, status_changed);
    if (!ip4_addr_isany_val(config->ip4))
        netif_set_addr(&card->netif, &config->ip4, &config->netmask,
                       &config->gateway);
    add_ip6(card);
    if (nic_read_link(card->nic))
        netif_set_link_up(&card->netif);
    netif_set_up(&card->netif);
    if (!netif_default)
        netif_set_default(&card->netif);
    if (config->dynamic || (!config->present))
        dhcp_start(&card->netif);
}

static bool waits_for_address(void)
{
    for (unsigned i = 0; i < card_count; i++)
        if (netif_dhcp_data(&cards[i].netif) &&
            !dhcp_supplied_address(&cards[i].netif))
            return netif_is_link_up(&cards[i].netif);
    return false;
}

static uint64_t wait_end_ns; /* 0: nobody has waited yet */

void inet_renew_wait(void)
{
    wait_end_ns = 0;
}

int inet_wait_address(void)
{
    int error = 0;

    if (!wait_end_ns)
        wait_end_ns = mf_clock_monotonic() + ADDRESS_WAIT_NS;
    while (waits_for_address() && error != -ETIMEDOUT) {
        error = wait_on(&address_waiters, wait_end_ns);
        if (error == -EINTR)
            return error;
    }
    return 0;
}

/* runtime.h: weak there, and so defined where the stack is linked anyway. */
void mf_before_exit_network(void)
{
    if (started)
        inet_deliver();
}

/* ---- Starting ------------------------------------------------------------ */

int inet_start(void)
{
    int count;

    if (started)
        return 0;
    started = true;
    generation_watch();
    lwip_init();
    /* A whole segment of TCP's fits: nothing here is cut. */
    netif_get_by_index(1)->mtu = 0;
    count = nic_count();
    inet_time_start();
    for (int i = 0; i < count && card_count < CARDS_MAX; i++)
        if (inet_card_open(&cards[card_count], (unsigned)i) == 0)
            card_count++;
    inet_enter();
    for (unsigned i = 0; i < card_count; i++)
        inet_card_configure(&cards[i]);
    ready = true;
    inet_leave();
    return 0;
}
