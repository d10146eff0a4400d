/* SPDX-License-Identifier: MIT */
/* TCP: what lwIP leaves open, and segments as cards like them. */
#include <string.h>

#include "guest_rt/lwip/hooks.h"
#include "guest_rt/lwip/inet.h"
#include "guest_rt/runtime.h"
#include "lwip/ip.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"

/*
 * lwIP sends one frame for each segment, and its segments are at most pcb->mss
 * long. Where the card segments (TSO), mss is raised to a multiple of the real
 * one, which is kept in the connection's extension argument and goes to the
 * card with each segment. A quarter of the congestion window at most is one
 * segment: what lwIP loses and repeats is a whole one.
 */
#define SEGMENT_BYTES_MAX 62000u
#define WINDOW_PARTS      4u

#define SYN_TICKS (1000 / TCP_SLOW_INTERVAL) /* RFC 6298: a second at first */

/* Connections in TIME_WAIT: each SYN is compared with all of them. */
#define TIME_WAIT_MAX 1024u

uint16_t inet_sending_mss;

/* ---- The first sequence number ------------------------------------------- */

static uint64_t rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-2-4 of whole words, whose number need not be told apart. */
static uint64_t hash_words(const uint64_t key[2], const uint64_t *words,
                           unsigned count)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};

    for (unsigned i = 0; i < count; i++) {
        v[3] ^= words[i];
        sip_round(v);
        sip_round(v);
        v[0] ^= words[i];
    }
    v[2] ^= 0xff;
    for (unsigned i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void copy_address(uint64_t words[2], const ip_addr_t *address)
{
    words[0] = words[1] = 0;
    if (IP_IS_V6(address))
        memcpy(words, ip_2_ip6(address)->addr, 16);
    else
        words[0] = ip4_addr_get_u32(ip_2_ip4(address));
}

static uint64_t isn_key[2];

void inet_tcp_renew(void)
{
    isn_key[0] = 0;
    tcp_init(); /* where ports are looked for */
}

u32_t inet_tcp_isn(const ip_addr_t *local, u16_t local_port,
                   const ip_addr_t *remote, u16_t remote_port)
{
    uint64_t words[5];

    while (!isn_key[0])
        mf_random_fill(isn_key, sizeof(isn_key));
    copy_address(&words[0], local);
    copy_address(&words[2], remote);
    words[4] = (uint64_t)local_port << 16 | remote_port;
    /* It advances by one every 4 us. */
    return (u32_t)(hash_words(isn_key, words, 5) +
                   mf_clock_monotonic() / 4000u);
}

/* ---- Segments ------------------------------------------------------------ */

void inet_tcp_init(struct tcp_pcb *pcb)
{
    pcb->rto = SYN_TICKS;
    pcb->sv = SYN_TICKS;
    /* When small segments may leave is decided by the socket. */
    tcp_nagle_disable(pcb);
}

uint16_t inet_tcp_real_mss(const struct tcp_pcb *pcb)
{
    uintptr_t mss = (uintptr_t)pcb->ext_args[0].data;

    return mss ? (uint16_t)mss : pcb->mss;
}

/* The largest segment that the connection's way out takes. */
static uint32_t find_limit(const struct tcp_pcb *pcb)
{
    const struct netif *netif = ip_route(&pcb->local_ip, &pcb->remote_ip);
    const struct inet_card *card = netif ? inet_card_of(netif) : NULL;
    uint32_t wanted =
        IP_IS_V6_VAL(pcb->remote_ip) ? NIC_CAN_TSO6_OUT : NIC_CAN_TSO4_OUT;

    return card && card->can & wanted ? SEGMENT_BYTES_MAX : 0;
}

void inet_tcp_tune(struct tcp_pcb *pcb)
{
    uint32_t real = inet_tcp_real_mss(pcb), wanted, limit;
    const struct tcp_seg *last = pcb->unsent;

    if (!pcb->ext_args[0].data)
        tcp_ext_arg_set(pcb, 0, (void *)(uintptr_t)real);
    limit = find_limit(pcb);
    wanted = pcb->cwnd / WINDOW_PARTS / real * real;
    if (wanted > limit / real * real)
        wanted = limit / real * real;
    if (wanted < real)
        wanted = real;
    /* lwIP relies on no unsent segment being longer. */
    while (last && last->next)
        last = last->next;
    if (!last || last->len <= wanted)
        pcb->mss = (u16_t)wanted;
}

u32_t *inet_tcp_sending(struct pbuf *segment, struct tcp_hdr *header,
                        const struct tcp_pcb *pcb, u32_t *options)
{
    (void)header;
    for (unsigned i = 0; i < inet_card_count(); i++)
        inet_card_expect(inet_card_get(i), segment->tot_len);
    /* A RST may be nobody's, or that of a listening pcb, which is shorter. */
    inet_sending_mss = pcb && pcb->state != LISTEN ? inet_tcp_real_mss(pcb) : 0;
    return options;
}

/* ---- TIME_WAIT ----------------------------------------------------------- */

void inet_tcp_syn(const ip_addr_t *from, uint16_t from_port,
                  const ip_addr_t *to, uint16_t to_port, uint32_t seqno)
{
    for (struct tcp_pcb *pcb = tcp_tw_pcbs; pcb; pcb = pcb->next) {
        if (pcb->remote_port != from_port || pcb->local_port != to_port ||
            !ip_addr_cmp(&pcb->remote_ip, from) ||
            !ip_addr_cmp(&pcb->local_ip, to))
            continue;
        /* RFC 1122, 4.2.2.13: what comes is newer than all of the old one. */
        if (TCP_SEQ_GT(seqno, pcb->rcv_nxt)) {
            tcp_pcb_remove(&tcp_tw_pcbs, pcb);
            tcp_free(pcb);
        }
        return;
    }
}

/* New ones are in front. */
void inet_tcp_trim(void)
{
    struct tcp_pcb *pcb = tcp_tw_pcbs, *next;
    unsigned count = 1;

    while (pcb && count < TIME_WAIT_MAX) {
        pcb = pcb->next;
        count++;
    }
    if (!pcb)
        return;
    for (next = pcb->next, pcb->next = NULL; next;) {
        pcb = next;
        next = pcb->next;
        tcp_pcb_purge(pcb);
        tcp_free(pcb);
    }
}
