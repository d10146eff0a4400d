/* SPDX-License-Identifier: MIT */
/* netpeer: the reference, a host process on the same tap. */
#include "tests/bench/netpeer.h"

#include <linux/virtio_net.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct arp_frame {
    struct ethhdr ether;
    struct ether_arp arp;
} __attribute__((packed));

struct echo_frame {
    struct ethhdr ether;
    struct iphdr ip;
    struct icmphdr icmp;
} __attribute__((packed));

static in_addr_t own_address;

static bool answer_arp(struct arp_frame *frame, size_t bytes)
{
    if (bytes < sizeof(*frame) || frame->ether.h_proto != htons(ETH_P_ARP) ||
        frame->arp.arp_op != htons(ARPOP_REQUEST) ||
        memcmp(frame->arp.arp_tpa, &own_address, sizeof(own_address)) != 0)
        return false;
    frame->arp.arp_op = htons(ARPOP_REPLY);
    memcpy(frame->arp.arp_tha, frame->arp.arp_sha, ETH_ALEN);
    memcpy(frame->arp.arp_tpa, frame->arp.arp_spa, sizeof(own_address));
    memcpy(frame->arp.arp_sha, options.mac, ETH_ALEN);
    memcpy(frame->arp.arp_spa, &own_address, sizeof(own_address));
    return true;
}

static bool answer_echo(struct echo_frame *frame, size_t bytes)
{
    uint32_t sum;

    if (bytes < sizeof(*frame) || frame->ether.h_proto != htons(ETH_P_IP) ||
        frame->ip.ihl != 5 || frame->ip.protocol != IPPROTO_ICMP ||
        frame->ip.daddr != own_address || frame->icmp.type != ICMP_ECHO)
        return false;
    frame->ip.daddr = frame->ip.saddr;
    frame->ip.saddr = own_address;
    frame->icmp.type = ICMP_ECHOREPLY;
    sum = (uint32_t)frame->icmp.checksum + htons(ICMP_ECHO << 8);
    frame->icmp.checksum = (uint16_t)(sum + (sum >> 16));
    return true;
}

/* What a guest would do with it. Returns whether it is to be sent. */
static bool turn(unsigned char *frame, size_t bytes)
{
    struct ethhdr *ether = (struct ethhdr *)frame;

    if (bytes < sizeof(*ether))
        return false;
    if (ether->h_proto != htons(TYPE) &&
        !answer_arp((struct arp_frame *)frame, bytes) &&
        !answer_echo((struct echo_frame *)frame, bytes))
        return false;
    memcpy(ether->h_dest, ether->h_source, ETH_ALEN);
    memcpy(ether->h_source, options.mac, ETH_ALEN);
    return true;
}

int answer(void)
{
    static unsigned char frame[FRAME_MAX];
    size_t header = sizeof(struct virtio_net_hdr_v1);
    unsigned long received = 0, answered = 0;
    unsigned bits;
    int fd = open_tap(options.name);

    own_address =
        options.address ? parse_address(strdup(options.address), &bits) : 0;
    if (!options.has_mac)
        memcpy(options.mac, (uint8_t[]){2, 0, 0, 0, 0, 0x99}, ETH_ALEN);
    puts("answer ready");
    fflush(stdout);
    while (answered < options.count && !stopped) {
        ssize_t bytes = read(fd, frame, sizeof(frame));

        if (bytes < (ssize_t)header)
            continue;
        received++;
        if (!turn(frame + header, (size_t)bytes - header))
            continue;
        memset(frame, 0, header);
        if (write(fd, frame, (size_t)bytes) == bytes)
            answered++;
    }
    printf("answer received=%lu answered=%lu cpu_us=%llu\n", received, answered,
           (unsigned long long)cpu_us());
    return 0;
}
