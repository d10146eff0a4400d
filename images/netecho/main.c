/* SPDX-License-Identifier: MIT */
/* Sends every frame back: netecho [-n FRAMES] [-i IDLE_SECONDS] */
#include <arpa/inet.h>
#include <errno.h>
#include <mayfly/net.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * Source and destination are swapped: of Ethernet, and of IPv4 and UDP where
 * the frame is that, whose checksums that does not change. Frames for groups of
 * stations that are not UDP, as neighbours' solicitations are, are dropped: the
 * answer would look as if it came from a group. It ends after as many frames
 * (-n), or when none has come for so long (-i).
 */

#define BATCH 256

struct udp_frame {
    struct ether_header ether;
    struct iphdr ip;
    struct udphdr udp;
} __attribute__((packed));

static struct nic_info card;
static unsigned long received, echoed, groups;

static void swap(void *a, void *b, size_t bytes)
{
    unsigned char kept[ETH_ALEN];

    memcpy(kept, a, bytes);
    memcpy(a, b, bytes);
    memcpy(b, kept, bytes);
}

static bool is_udp(const struct nic_buffer *frame)
{
    const struct udp_frame *udp = (const void *)frame->data;

    return frame->bytes >= sizeof(*udp) &&
           udp->ether.ether_type == htons(ETHERTYPE_IP) &&
           udp->ip.version == 4 && udp->ip.ihl == 5 &&
           udp->ip.protocol == IPPROTO_UDP &&
           !(udp->ip.frag_off & htons(IP_OFFMASK));
}

/* Turns the frame round. Returns false if it is not to be sent. */
static bool turn(struct nic_buffer *frame)
{
    struct udp_frame *udp = (void *)frame->data;

    if (is_udp(frame)) {
        swap(&udp->ip.saddr, &udp->ip.daddr, sizeof(udp->ip.saddr));
        swap(&udp->udp.uh_sport, &udp->udp.uh_dport, sizeof(udp->udp.uh_sport));
    } else if (udp->ether.ether_dhost[0] & 1) {
        groups++;
        return false;
    }
    memcpy(udp->ether.ether_dhost, udp->ether.ether_shost, ETH_ALEN);
    memcpy(udp->ether.ether_shost, card.mac, ETH_ALEN);
    return true;
}

/* Sends a frame when there is room for it. Returns 0 or -errno. */
static int forward(struct nic_buffer *frame)
{
    int error;

    while ((error = nic_forward(0, frame)) == -EAGAIN) {
        error = nic_wait_room(0, card.buffers / 2);
        if (error)
            break;
    }
    return error;
}

static void handle(struct nic_buffer *frame)
{
    received++;
    if (turn(frame)) {
        if (forward(frame) == 0) {
            echoed++;
            return;
        }
    }
    nic_release(0, &frame, 1);
}

static uint64_t deadline_in(unsigned seconds)
{
    struct timespec now;

    if (seconds == 0)
        return NIC_FOREVER;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((uint64_t)now.tv_sec + seconds) * 1000000000u +
           (uint64_t)now.tv_nsec;
}

static int serve(unsigned long wanted, unsigned idle_seconds)
{
    struct nic_buffer *frames[BATCH];

    while (wanted == 0 || echoed < wanted) {
        long count = nic_receive(0, frames, BATCH, deadline_in(idle_seconds));

        if (count < 0)
            return (int)count;
        if (count == 0 && idle_seconds > 0)
            break;
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
    printf("netecho received=%lu echoed=%lu lost=%lu groups=%lu errors=%llu "
           "flushes=%llu kicks=%llu waits=%llu\n",
           received, echoed, received - echoed - groups, groups,
           (unsigned long long)stats.errors, (unsigned long long)stats.flushes,
           (unsigned long long)stats.kicks, (unsigned long long)stats.waits);
}

int main(int argc, char **argv)
{
    unsigned long wanted = 0;
    unsigned idle_seconds = 0;
    int error, option;

    while ((option = getopt(argc, argv, "n:i:")) != -1)
        switch (option) {
        case 'n':
            wanted = strtoul(optarg, NULL, 0);
            break;
        case 'i':
            idle_seconds = (unsigned)atoi(optarg);
            break;
        default:
            fputs("usage: netecho [-n FRAMES] [-i IDLE_SECONDS]\n", stderr);
            return 2;
        }
    error = nic_open(0, &card);
    if (!error) {
        puts("netecho ready");
        fflush(stdout);
        error = serve(wanted, idle_seconds);
        report();
    }
    if (error)
        fprintf(stderr, "netecho: %s\n", strerror(-error));
    return error != 0;
}
