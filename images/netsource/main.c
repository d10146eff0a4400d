/* SPDX-License-Identifier: MIT */
/* Sends frames: netsource [-n FRAMES] [-s BYTES] [-d MAC] */
#include <errno.h>
#include <mayfly/net.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * Each frame has its number behind the Ethernet header, in network order, and
 * the type for local experiments. They are sent from SLOTS places in turn, and
 * one is used again once the card has its frame.
 */

#define TYPE        0x88b5
#define SLOTS       128u
#define FLUSH_EVERY 64u
#define BYTES_MAX   9014u

struct head {
    struct ether_header ether;
    uint32_t number;
} __attribute__((packed));

static unsigned char slots[SLOTS][BYTES_MAX];

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fill_slots(const uint8_t *from, const uint8_t *to)
{
    struct ether_header ether = {.ether_type = htons(TYPE)};

    memcpy(ether.ether_dhost, to, ETH_ALEN);
    memcpy(ether.ether_shost, from, ETH_ALEN);
    for (unsigned i = 0; i < SLOTS; i++)
        memcpy(slots[i], &ether, sizeof(ether));
}

static int send_all(unsigned long count, size_t bytes)
{
    for (unsigned long i = 0; i < count; i++) {
        unsigned char *slot = slots[i % SLOTS];
        struct iovec piece = {slot, bytes};
        int error = 0;

        if (i % FLUSH_EVERY == 0)
            error = nic_wait_room(0, SLOTS - FLUSH_EVERY);
        if (error)
            return error;
        ((struct head *)(void *)slot)->number = htonl((uint32_t)i);
        while ((error = nic_send(0, &piece, 1, NULL, NULL)) == -EAGAIN) {
            error = nic_wait_room(0, 0);
            if (error)
                return error;
        }
        if (error)
            return error;
    }
    return nic_wait_room(0, 0);
}

static void report(size_t bytes, uint64_t ns)
{
    struct nic_stats stats = {0};

    nic_read_stats(0, &stats);
    printf("netsource frames=%llu bytes=%llu us=%llu flushes=%llu kicks=%llu\n",
           (unsigned long long)stats.sent,
           (unsigned long long)(stats.sent * bytes),
           (unsigned long long)ns / 1000, (unsigned long long)stats.flushes,
           (unsigned long long)stats.kicks);
}

static bool parse_mac(const char *text, uint8_t *mac)
{
    return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1],
                  &mac[2], &mac[3], &mac[4], &mac[5]) == ETH_ALEN;
}

int main(int argc, char **argv)
{
    uint8_t to[ETH_ALEN] = {255, 255, 255, 255, 255, 255};
    unsigned long count = 100000, bytes = 60;
    struct nic_info card;
    uint64_t start;
    bool wrong = false;
    int error, option;

    while ((option = getopt(argc, argv, "n:s:d:")) != -1)
        switch (option) {
        case 'n':
            count = strtoul(optarg, NULL, 0);
            break;
        case 's':
            bytes = strtoul(optarg, NULL, 0);
            break;
        case 'd':
            wrong = wrong || !parse_mac(optarg, to);
            break;
        default:
            wrong = true;
        }
    if (wrong || bytes < sizeof(struct head) || bytes > BYTES_MAX) {
        fputs("usage: netsource [-n FRAMES] [-s BYTES] [-d MAC]\n", stderr);
        return 2;
    }
    error = nic_open(0, &card);
    if (!error) {
        fill_slots(card.mac, to);
        start = now_ns();
        error = send_all(count, bytes);
        report(bytes, now_ns() - start);
    }
    if (error)
        fprintf(stderr, "netsource: %s\n", strerror(-error));
    return error != 0;
}
