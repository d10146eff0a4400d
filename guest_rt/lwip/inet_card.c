/* SPDX-License-Identifier: MIT */
/* A network card as one of lwIP's interfaces. */
#include <errno.h>
#include <string.h>

#include "guest_rt/lwip/inet.h"
#include "guest_rt/runtime.h"
#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/inet_chksum.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/ip4.h"
#include "lwip/prot/tcp.h"

#define BATCH         64u
#define ROUNDS_MAX    16u /* of a batch: then others have their turn */
#define FLUSH_FRAMES  32u
#define FLUSH_BUFFERS 32u
#define FLUSH_NS      50000u

#define UNVERIFIED                                         \
    (NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP | \
     NETIF_CHECKSUM_CHECK_ICMP | NETIF_CHECKSUM_CHECK_ICMP6)

/* A receive buffer as a pbuf. */
struct card_pbuf {
    struct pbuf_custom pbuf; /* first: lwIP frees by it */
    struct inet_card *card;
    struct nic_buffer *buffer;
};

/* ---- Headers ------------------------------------------------------------- */

/* Where things are in a frame's first piece. */
struct frame_view {
    uint8_t *ip;
    uint8_t *transport;    /* NULL: no TCP or UDP there, or only part of it */
    unsigned header_bytes; /* in front of the transport's header */
    unsigned bytes;        /* of the transport's header and payload */
    uint8_t protocol;
    bool ip6;
};

static unsigned read16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* Looks at `bytes` bytes of a frame of `total`. */
static struct frame_view view_frame(uint8_t *data, unsigned bytes,
                                    unsigned total)
{
    struct frame_view view = {.ip = data + SIZEOF_ETH_HDR};
    unsigned ip_bytes, least;

    if (bytes < SIZEOF_ETH_HDR + 40)
        return view;
    view.ip6 = read16(data + 12) == ETHTYPE_IPV6;
    if (view.ip6) {
        ip_bytes = 40;
        view.protocol = view.ip[6];
    } else {
        ip_bytes = 4u * (view.ip[0] & 15u);
        view.protocol = view.ip[9];
        /* Of a fragment nothing is known. */
        if (read16(data + 12) != ETHTYPE_IP || ip_bytes < 20 ||
            read16(view.ip + 6) & (IP_MF | IP_OFFMASK))
            return view;
    }
    view.header_bytes = SIZEOF_ETH_HDR + ip_bytes;
    least = view.protocol == IP_PROTO_TCP ? 20 : 8;
    if ((view.protocol == IP_PROTO_TCP || view.protocol == IP_PROTO_UDP) &&
        bytes >= view.header_bytes + least && total >= view.header_bytes) {
        view.transport = data + view.header_bytes;
        view.bytes = total - view.header_bytes;
    }
    return view;
}

/* ---- Receiving ----------------------------------------------------------- */

static void release_buffer(struct pbuf *pbuf)
{
    struct card_pbuf *mine = (struct card_pbuf *)pbuf;

    mine->card->held--;
    nic_release(mine->card->index, &mine->buffer, 1);
}

/* A frame that is not worth its buffers, or may not keep them. */
static struct pbuf *copy_frame(struct inet_card *card, struct nic_buffer *frame)
{
    struct pbuf *pbuf =
        pbuf_alloc(PBUF_RAW, (u16_t)frame->frame_bytes, PBUF_RAM);
    unsigned at = 0;

    for (struct nic_buffer *each = frame; pbuf && each; each = each->next) {
        memcpy((uint8_t *)pbuf->payload + at, each->data, each->bytes);
        at += each->bytes;
    }
    nic_release(card->index, &frame, 1);
    return pbuf;
}

/* The frame's buffers as they are. */
static struct pbuf *wrap_frame(struct inet_card *card, struct nic_buffer *frame)
{
    struct pbuf *first = NULL, *last = NULL;
    unsigned left = frame->frame_bytes;

    while (frame) {
        struct card_pbuf *mine = &card->pbufs[frame - card->nic->buffers];
        struct nic_buffer *next = frame->next;
        struct pbuf *pbuf;

        mine->card = card;
        mine->buffer = frame;
        mine->pbuf.custom_free_function = release_buffer;
        frame->next = NULL; /* each goes back by itself */
        pbuf =
            pbuf_alloced_custom(PBUF_RAW, (u16_t)frame->bytes, PBUF_REF,
                                &mine->pbuf, frame->data, (u16_t)frame->bytes);
        card->held++;
        pbuf->tot_len = (u16_t)left;
        left -= frame->bytes;
        if (last)
            last->next = pbuf;
        else
            first = pbuf;
        last = pbuf;
        frame = next;
    }
    return first;
}

/* A SYN may be for a connection of which the last one is in TIME_WAIT. */
static void notice_syn(struct nic_buffer *frame)
{
    struct frame_view view =
        view_frame(frame->data, frame->bytes, frame->frame_bytes);
    const struct tcp_hdr *tcp = (const struct tcp_hdr *)view.transport;
    ip_addr_t from, to;

    if (!tcp || view.protocol != IP_PROTO_TCP ||
        (TCPH_FLAGS(tcp) & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
        return;
    if (view.ip6) {
        ip6_addr_t address;

        memcpy(address.addr, view.ip + 8, 16);
        ip6_addr_clear_zone(&address);
        ip_addr_copy_from_ip6(from, address);
        memcpy(address.addr, view.ip + 24, 16);
        ip_addr_copy_from_ip6(to, address);
    } else {
        ip4_addr_t address;

        memcpy(&address.addr, view.ip + 12, 4);
        ip_addr_copy_from_ip4(from, address);
        memcpy(&address.addr, view.ip + 16, 4);
        ip_addr_copy_from_ip4(to, address);
    }
    inet_tcp_syn(&from, lwip_ntohs(tcp->src), &to, lwip_ntohs(tcp->dest),
                 lwip_ntohl(tcp->seqno));
}

/* lwIP reads these headers without asking whether all of them is there. */
static bool is_too_short(const struct nic_buffer *frame)
{
    unsigned least = SIZEOF_ETH_HDR;

    switch (read16(frame->data + 12)) {
    case ETHTYPE_ARP:
        least += SIZEOF_ETHARP_HDR;
        break;
    case ETHTYPE_IP:
        least += IP_HLEN;
        break;
    case ETHTYPE_IPV6:
        least += IP6_HLEN;
    }
    return frame->bytes < least;
}

static void take_frame(struct inet_card *card, struct nic_buffer *frame)
{
    struct netif *netif = &card->netif;
    bool verified =
        frame->offload.flags & (NIC_OFFLOAD_CHECKSUM | NIC_OFFLOAD_VALID);
    struct pbuf *pbuf = NULL;

    /* A pbuf's length has 16 bits. */
    if (frame->frame_bytes > UINT16_MAX || is_too_short(frame)) {
        nic_release(card->index, &frame, 1);
        return;
    }
    if (tcp_tw_pcbs)
        notice_syn(frame);
    pbuf = card->held > card->buffer_count / 2 ? copy_frame(card, frame)
                                               : wrap_frame(card, frame);
    if (!pbuf)
        return;
    if (verified)
        netif->chksum_flags &= (u16_t)~UNVERIFIED;
    else
        netif->chksum_flags |= UNVERIFIED;
    if (netif->input(pbuf, netif) != ERR_OK)
        pbuf_free(pbuf);
}

/* ---- Sending ------------------------------------------------------------- */

/* Buffers given back that the card does not know of. */
static unsigned count_unshown(const struct inet_card *card)
{
    const struct ring *ring = &card->nic->rings[NIC_RX];

    return (uint16_t)(ring->added - ring->published);
}

void inet_card_flush(struct inet_card *card, bool now)
{
    unsigned unshown = count_unshown(card);

    if (!card->unflushed && !unshown)
        return;
    if (!now && card->unflushed < FLUSH_FRAMES && unshown < FLUSH_BUFFERS &&
        (!card->unflushed ||
         mf_clock_monotonic() - card->flushed_ns < FLUSH_NS))
        return;
    card->unflushed = 0;
    nic_flush(card->index);
    /* The time that a kick takes is not the program's. */
    card->flushed_ns = mf_clock_monotonic();
}

/* The sum that the card goes on with: of the pseudo header. */
static uint16_t sum_pseudo_header(const struct frame_view *view)
{
    const uint8_t *addresses = view->ip + (view->ip6 ? 8 : 12);
    uint32_t sum = inet_checksum(addresses, view->ip6 ? 32 : 8);

    sum += lwip_htons(view->protocol);
    sum += lwip_htons((u16_t)view->bytes);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Of a frame larger than the link takes: what the card has to know. */
static void describe_segments(struct nic_offload *offload,
                              const struct frame_view *view)
{
    unsigned tcp_bytes = 4u * (view->transport[12] >> 4);

    offload->gso_type = view->ip6 ? NIC_GSO_TCP6 : NIC_GSO_TCP4;
    offload->header_bytes = (uint16_t)(view->header_bytes + tcp_bytes);
    /* What has waited for a neighbour's address: 536 fits everywhere. */
    offload->gso_bytes = inet_sending_mss ? inet_sending_mss : 536;
}

void inet_card_expect(struct inet_card *card, unsigned bytes)
{
    bool cuts = card->can & (NIC_CAN_TSO4_OUT | NIC_CAN_TSO6_OUT) &&
                bytes + 60 > card->mtu;

    /* Without an MTU, IP cuts nothing. Set back when the frame comes here. */
    card->netif.mtu = card->netif.mtu6 = cuts ? 0 : card->mtu;
}

/* Leaves to the card what it can do. Returns whether that is something. */
static bool offload_frame(const struct inet_card *card, struct pbuf *pbuf,
                          struct nic_offload *offload)
{
    struct frame_view view =
        view_frame(pbuf->payload, pbuf->len, pbuf->tot_len);
    unsigned at = view.protocol == IP_PROTO_TCP ? 16 : 6;
    uint16_t sum;

    *offload = (struct nic_offload){.flags = NIC_OFFLOAD_CHECKSUM};
    if (!view.transport || !(card->can & NIC_CAN_CHECKSUM_OUT))
        return false;
    /* Datagrams that were cut have had theirs computed before. */
    if (view.transport[at] || view.transport[at + 1])
        return false;
    sum = sum_pseudo_header(&view);
    memcpy(view.transport + at, &sum, sizeof(sum));
    offload->csum_start = (uint16_t)view.header_bytes;
    offload->csum_offset = (uint16_t)at;
    if (view.protocol == IP_PROTO_TCP &&
        pbuf->tot_len > card->mtu + SIZEOF_ETH_HDR)
        describe_segments(offload, &view);
    return true;
}

/* The pieces of a frame; 0 if they are too many. */
static unsigned list_pieces(const struct pbuf *pbuf, struct iovec *pieces)
{
    unsigned count = 0;

    for (; pbuf; pbuf = pbuf->next) {
        if (pbuf->len == 0)
            continue;
        if (count == NIC_PIECES_MAX)
            return 0;
        pieces[count++] = (struct iovec){pbuf->payload, pbuf->len};
    }
    return count;
}

/* The card is done with it. */
static void frame_sent(void *cookie)
{
    pbuf_free(cookie);
}

/* As nic_send() does, but makes room by telling the card. */
static int send_pieces(struct inet_card *card, const struct iovec *pieces,
                       unsigned count, const struct nic_offload *offload,
                       void *cookie)
{
    int error = nic_send(card->index, pieces, count, offload, cookie);

    if (error == -EAGAIN) {
        inet_card_flush(card, true);
        error = nic_send(card->index, pieces, count, offload, cookie);
        card->blocked = error == -EAGAIN;
    }
    return error;
}

static err_t send_frame(struct netif *netif, struct pbuf *pbuf)
{
    struct inet_card *card = netif->state;
    struct iovec pieces[NIC_PIECES_MAX];
    struct nic_offload offload;
    bool offloaded = offload_frame(card, pbuf, &offload);
    unsigned count = list_pieces(pbuf, pieces);
    int error;

    inet_sending_mss = 0;
    netif->mtu = netif->mtu6 = card->mtu;
    if (count) {
        pbuf_ref(pbuf);
    } else {
        pbuf = pbuf_clone(PBUF_RAW, PBUF_RAM, pbuf);
        if (!pbuf)
            return ERR_MEM;
        count = list_pieces(pbuf, pieces);
    }
    error = send_pieces(card, pieces, count, offloaded ? &offload : NULL, pbuf);
    if (error) {
        pbuf_free(pbuf);
        return error == -EAGAIN ? ERR_MEM : ERR_IF;
    }
    card->unflushed++;
    return ERR_OK;
}

/* There is room again for what found none. */
static void unblock(struct inet_card *card)
{
    struct tcp_pcb *next;

    nic_flush(card->index);
    if (card->nic->rings[NIC_TX].free_count < NIC_PIECES_MAX + 1)
        return;
    card->blocked = false;
    for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = next) {
        next = pcb->next;
        if (pcb->unsent && !card->blocked)
            tcp_output(pcb);
    }
}

/* ---- The source ---------------------------------------------------------- */

static struct inet_card *card_of_source(struct source *source)
{
    return (struct inet_card *)((char *)source -
                                offsetof(struct inet_card, source));
}

/* Looking begins when there is nothing else to do: that is told first. */
static bool card_ready(struct source *source)
{
    struct inet_card *card = card_of_source(source);

    inet_card_flush(card, true);
    return ring_has_used(&card->nic->rings[NIC_RX]) ||
           (card->blocked && ring_has_used(&card->nic->rings[NIC_TX]));
}

static bool card_arm(struct source *source)
{
    struct inet_card *card = card_of_source(source);
    bool found;

    card->unflushed = 0;
    found = nic_arm(card->index) > 0;
    if (card->blocked && ring_want_event(&card->nic->rings[NIC_TX]))
        found = true;
    return found || nic_read_link(card->nic) != netif_is_link_up(&card->netif);
}

static void follow_link(struct inet_card *card)
{
    bool up = nic_read_link(card->nic);

    if (up == (bool)netif_is_link_up(&card->netif))
        return;
    if (up)
        netif_set_link_up(&card->netif);
    else
        netif_set_link_down(&card->netif);
}

static void card_serve(struct source *source)
{
    struct inet_card *card = card_of_source(source);
    struct ring *receive = &card->nic->rings[NIC_RX];
    struct nic_buffer *frames[BATCH];
    unsigned rounds = 0;

    ring_refuse_event(receive);
    ring_refuse_event(&card->nic->rings[NIC_TX]);
    inet_enter();
    follow_link(card);
    while (ring_has_used(receive) && rounds++ < ROUNDS_MAX) {
        long count = nic_receive(card->index, frames, BATCH, 0);

        for (long i = 0; i < count; i++)
            take_frame(card, frames[i]);
    }
    if (card->blocked)
        unblock(card);
    inet_leave();
}

/* ---- Opening ------------------------------------------------------------- */

static err_t init_netif(struct netif *netif)
{
    struct inet_card *card = netif->state;
    u16_t flags = NETIF_CHECKSUM_ENABLE_ALL;

    if (card->can & NIC_CAN_CHECKSUM_OUT)
        flags &= (u16_t) ~(NETIF_CHECKSUM_GEN_TCP | NETIF_CHECKSUM_GEN_UDP);
    netif->chksum_flags = flags;
    netif->name[0] = 'e';
    netif->name[1] = 't';
    netif->output = etharp_output;
    netif->output_ip6 = ethip6_output;
    netif->linkoutput = send_frame;
    netif->hwaddr_len = NIC_MAC_BYTES;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP |
                   NETIF_FLAG_ETHERNET | NETIF_FLAG_IGMP | NETIF_FLAG_MLD6;
    return ERR_OK;
}

int inet_card_open(struct inet_card *card, unsigned index)
{
    struct nic_info info;
    size_t pbufs;
    int error = nic_open(index, &info);

    if (error)
        return error;
    pbufs = (info.buffers * sizeof(struct card_pbuf) + MF_PAGE_BYTES - 1) &
            -(size_t)MF_PAGE_BYTES;
    card->pbufs = mf_pages_alloc(pbufs);
    if (!card->pbufs)
        return -ENOMEM;
    card->nic = nic_get(index);
    card->index = index;
    card->can = info.can;
    card->buffer_count = info.buffers;
    netif_add_noaddr(&card->netif, card, init_netif, netif_input);
    card->mtu = card->netif.mtu = card->netif.mtu6 = info.mtu;
    memcpy(card->netif.hwaddr, info.mac, NIC_MAC_BYTES);
    /* IPv6 finds neighbours by groups. A card that cannot choose has them. */
    nic_set_all_multicast(index, true);
    nic_on_sent(index, frame_sent);
    card->source = (struct source){.event = nic_event(index),
                                   .ready = card_ready,
                                   .arm = card_arm,
                                   .serve = card_serve};
    source_add(&card->source);
    return 0;
}
