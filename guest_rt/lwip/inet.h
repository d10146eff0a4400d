/* SPDX-License-Identifier: MIT */
/* The TCP/IP stack: lwIP over the VM's network cards. */
#ifndef GUEST_RT_LWIP_INET_H
#define GUEST_RT_LWIP_INET_H

/*
 * lwIP runs without threads of its own, under the runtime's lock: it is called
 * by the socket layer (socket_*.c), by a card's source when frames have come
 * (inet_card.c), by timers (inet_time.c), and when the VM has become another
 * one (inet_clone.c). Each of them calls
 *
 *   inet_enter();   clocks go on that stood still while nothing happened
 *   ...             any of lwIP's functions
 *   inet_leave();   what goes to this VM itself arrives; frames go to the card
 *
 * and may do so within another such pair. It starts with the first
 * internet socket: until then there is no card, no timer and no memory.
 *
 * Sending. What TCP has to send lies in pbufs, which go to the card where they
 * are and stay until it has taken them. With segmentation by the card, TCP
 * makes segments of many times the connection's MSS (inet_tcp_tune()), and the
 * card cuts them. Cards are told of frames when the program goes idle, or after
 * FLUSH_FRAMES of them or FLUSH_NS: a batch costs one kick.
 *
 * Receiving. A frame's buffers become pbufs (no copy) and stay with the socket
 * until it is read. When half of a card's buffers lie with sockets, further
 * frames are copied, so that a program that does not read starves nobody.
 *
 * Time. Nothing ticks in an idle VM: ticks go on while TCP waits for something
 * (inet_time.c), and connections that wait for their peer need none.
 */

#include <stdbool.h>
#include <stdint.h>

#include "guest_rt/net.h"
#include "guest_rt/sched.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"

struct tcp_pcb;

#define INET_NAME_SERVERS_MAX 2u

/* How a card gets its addresses: an option "ip=INDEX:..." */
struct inet_config {
    bool present; /* there is such an option */
    bool dynamic; /* "dhcp" */
    ip4_addr_t ip4, netmask, gateway;
    bool has_ip6;
    unsigned ip6_prefix;
    ip6_addr_t ip6, gateway6;
    ip_addr_t name_servers[INET_NAME_SERVERS_MAX];
    unsigned name_server_count;
};

struct card_pbuf;

struct inet_card {
    struct netif netif;
    struct source source;
    struct nic *nic;
    unsigned index;
    uint32_t can; /* NIC_CAN_* */
    uint16_t mtu;
    unsigned buffer_count;   /* receive buffers */
    unsigned held;           /* of these, how many pbufs are */
    struct card_pbuf *pbufs; /* one for each of them */
    bool blocked;            /* frames found no room */
    unsigned unflushed;      /* frames that the card was not shown */
    uint64_t flushed_ns;     /* when it was shown some last */
    struct inet_config config;
};

/* ---- inet_stack.c ---- */

/* Starts the stack, once. Returns 0 or -ENOMEM. */
int inet_start(void);

void inet_enter(void);
void inet_leave(void);

/*
 * Waits, some seconds at most, for an address if DHCP has still to give one.
 * Returns 0 or -EINTR.
 */
int inet_wait_address(void);

/*
 * Gives a card that is down the addresses of its options, and takes it up.
 * Without an option, networks that have DHCP are asked.
 */
void inet_card_configure(struct inet_card *card);

/* Cards in use, and one of them; they are added once and stay. */
unsigned inet_card_count(void);
struct inet_card *inet_card_get(unsigned index);

/* The card that is this interface, or NULL. */
struct inet_card *inet_card_of(const struct netif *netif);

/* DHCP is asked anew: it may take as long as at first. */
void inet_renew_wait(void);

/* The n-th name server, or NULL. */
const ip_addr_t *inet_name_server(unsigned index);

/* ---- inet_exit.c ---- */

/* Ends all connections; waits, a short while at most, for what was sent. */
void inet_deliver(void);

/* ---- inet_names.c ---- */

/*
 * A datagram to port 53 of 127.0.0.1, where nobody is, goes to the name server
 * instead. Returns whether `*to` has become that.
 */
bool inet_lead_query(ip_addr_t *to, uint16_t port);

/* An answer to such a query looks as if it came from 127.0.0.1. */
void inet_lead_answer(ip_addr_t *from, uint16_t port);

/* ---- inet_config.c ---- */

/* Reads the option of that card. Returns whether what it says is valid. */
bool inet_config_read(unsigned card, struct inet_config *config);

/* ---- inet_clone.c ---- */

/*
 * The VM is another one: makes anew what is not to be the same in two. `many`:
 * there are others that go on from the same snapshot. Within inet_enter().
 */
void inet_become_another(bool many);

/* ---- inet_card.c ---- */

/* Opens card `index` and makes it an interface. Returns 0 or -errno. */
int inet_card_open(struct inet_card *card, unsigned index);

/*
 * The next packet has that many bytes, without IP's header: IP must not cut it
 * if the card will.
 */
void inet_card_expect(struct inet_card *card, unsigned bytes);

/* Shows the card what it was not shown, if it is time; or at once. */
void inet_card_flush(struct inet_card *card, bool now);

/* The MSS of the segment that TCP sends next, as its connection has it. */
extern uint16_t inet_sending_mss;

/* ---- inet_tcp.c ---- */

/* Makes anew what sequence numbers and ports of connections are made of. */
void inet_tcp_renew(void);

/* Prepares a new connection, before it is used. */
void inet_tcp_init(struct tcp_pcb *pcb);

/*
 * Lets an established connection make segments as large as its congestion
 * window and its card make useful. Called again when something was
 * acknowledged.
 */
void inet_tcp_tune(struct tcp_pcb *pcb);

/* What one frame carries. */
uint16_t inet_tcp_real_mss(const struct tcp_pcb *pcb);

/* A new connection's SYN came: an old one in TIME_WAIT makes room for it. */
void inet_tcp_syn(const ip_addr_t *from, uint16_t from_port,
                  const ip_addr_t *to, uint16_t to_port, uint32_t seqno);

/* Keeps no more than a bounded number of connections in TIME_WAIT. */
void inet_tcp_trim(void);

/* ---- inet_time.c ---- */

/* Starts what has to tick at first, and when all begins anew. */
void inet_time_start(void);

/* Lets clocks go on that stood still; see above. */
void inet_time_enter(void);

/* A connection owes an acknowledgement: it is sent soon. */
void inet_time_ack(void);

/* DHCP has another state. */
void inet_time_dhcp(struct netif *netif);

#endif
