/* SPDX-License-Identifier: MIT */
/* Answers ARP and ping for one IPv4 address: netping [-n N] ADDRESS[/BITS] */
#include <arpa/inet.h>
#include <mayfly/net.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Frames are answered in the buffers that they came in. It ends when the VM is
 * stopped, or with -n after as many echoes.
 */

#define BATCH 64

struct arp_frame {
    struct ether_header ether;
    struct ether_arp arp;
} __attribute__((packed));

struct echo_frame {
    struct ether_header ether;
    struct iphdr ip;
    struct icmphdr icmp;
} __attribute__((packed));

static struct nic_info card;
static in_addr_t address;
static unsigned long arps, echoes, others, refused;

static void send_back(void *frame)
{
    struct ether_header *ether = frame;

    memcpy(ether->ether_dhost, ether->ether_shost, ETH_ALEN);
    memcpy(ether->ether_shost, card.mac, ETH_ALEN);
}

/* Turns a request for our address into its answer. */
static bool answer_arp(struct arp_frame *frame)
{
    if (frame->ether.ether_type != htons(ETHERTYPE_ARP) ||
        frame->arp.arp_op != htons(ARPOP_REQUEST) ||
        memcmp(frame->arp.arp_tpa, &address, sizeof(address)) != 0)
        return false;
    send_back(frame);
    frame->arp.arp_op = htons(ARPOP_REPLY);
    memcpy(frame->arp.arp_tha, frame->arp.arp_sha, ETH_ALEN);
    memcpy(frame->arp.arp_tpa, frame->arp.arp_spa, sizeof(address));
    memcpy(frame->arp.arp_sha, card.mac, ETH_ALEN);
    memcpy(frame->arp.arp_spa, &address, sizeof(address));
    arps++;
    return true;
}

/* RFC 1624: the new checksum when one 16-bit word changes. */
static uint16_t update_checksum(uint16_t sum, uint16_t from, uint16_t to)
{
    uint32_t value = (uint16_t)~sum + (uint32_t)(uint16_t)~from + to;

    value = (value & 0xffff) + (value >> 16);
    return (uint16_t) ~((value & 0xffff) + (value >> 16));
}

/* Turns an echo request for us into its answer. */
static bool answer_echo(struct echo_frame *frame)
{
    if (frame->ether.ether_type != htons(ETHERTYPE_IP) ||
        frame->ip.version != 4 || frame->ip.ihl != 5 ||
        frame->ip.protocol != IPPROTO_ICMP || frame->ip.daddr != address ||
        frame->ip.frag_off & htons(IP_MF | IP_OFFMASK) ||
        frame->icmp.type != ICMP_ECHO)
        return false;
    send_back(frame);
    frame->ip.daddr = frame->ip.saddr; /* the sum over both stays the same */
    frame->ip.saddr = address;
    frame->icmp.type = ICMP_ECHOREPLY;
    frame->icmp.checksum =
        update_checksum(frame->icmp.checksum, htons(ICMP_ECHO << 8), 0);
    echoes++;
    return true;
}

static void handle(struct nic_buffer *frame)
{
    bool answered = (frame->bytes >= sizeof(struct arp_frame) &&
                     answer_arp((struct arp_frame *)(void *)frame->data)) ||
                    (frame->bytes >= sizeof(struct echo_frame) &&
                     answer_echo((struct echo_frame *)(void *)frame->data));

    if (answered && nic_forward(0, frame) == 0)
        return;
    answered ? refused++ : others++;
    nic_release(0, &frame, 1);
}

static int serve(unsigned long wanted)
{
    struct nic_buffer *frames[BATCH];

    while (wanted == 0 || echoes < wanted) {
        long count = nic_receive(0, frames, BATCH, NIC_FOREVER);

        if (count < 0)
            return (int)count;
        for (long i = 0; i < count; i++)
            handle(frames[i]);
        nic_flush(0);
    }
    return nic_wait_room(0, 0);
}

static void report(void)
{
    struct nic_stats stats = {0};

    nic_read_stats(0, &stats);
    printf("netping echoes=%lu arps=%lu others=%lu refused=%lu flushes=%llu "
           "kicks=%llu waits=%llu\n",
           echoes, arps, others, refused, (unsigned long long)stats.flushes,
           (unsigned long long)stats.kicks, (unsigned long long)stats.waits);
}

int main(int argc, char **argv)
{
    unsigned long wanted = 0;
    int error, option;

    while ((option = getopt(argc, argv, "n:")) == 'n')
        wanted = strtoul(optarg, NULL, 0);
    if (option == '?' || optind != argc - 1) {
        fputs("usage: netping [-n N] ADDRESS[/BITS]\n", stderr);
        return 2;
    }
    strtok(argv[optind], "/");
    if (inet_pton(AF_INET, argv[optind], &address) != 1) {
        fprintf(stderr, "netping: '%s' is no IPv4 address\n", argv[optind]);
        return 2;
    }
    error = nic_open(0, &card);
    if (!error) {
        puts("netping ready");
        fflush(stdout);
        error = serve(wanted);
        report();
    }
    if (error)
        fprintf(stderr, "netping: %s\n", strerror(-error));
    return error != 0;
}
