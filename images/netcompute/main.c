/* SPDX-License-Identifier: MIT */
/* Computes, and echoes frames in upcalls, which are what is measured. */
#include <mayfly/net.h>
#include <mayfly/upcall.h>
#include <net/ethernet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 *   netcompute [-n FRAMES] [-t SECONDS] [-p PACKETS] [-u USECS]
 *
 * The program adds up a table again and again and never waits. Frames for one
 * station interrupt it and are sent back. -p and -u moderate the interruptions
 * (nic_set_coalescing()). It ends after as many frames, or so many seconds.
 */

#define BATCH 256
#define WORDS 512u

static struct nic_info card;
static volatile unsigned long packets, echoed, upcalls;
static volatile int failed;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void echo(struct nic_buffer *frame)
{
    struct ether_header *ether = (void *)frame->data;

    packets++;
    if (!(ether->ether_dhost[0] & 1)) {
        memcpy(ether->ether_dhost, ether->ether_shost, ETH_ALEN);
        memcpy(ether->ether_shost, card.mac, ETH_ALEN);
        if (nic_forward(0, frame) == 0) {
            echoed++;
            return;
        }
    }
    nic_release(0, &frame, 1);
}

/* Takes all that is there, and asks for the next upcall. */
static void on_frames(uint64_t events)
{
    struct nic_buffer *frames[BATCH];
    long count;

    (void)events;
    upcalls++;
    do {
        while ((count = nic_receive(0, frames, BATCH, 0)) > 0) {
            for (long i = 0; i < count; i++)
                echo(frames[i]);
            nic_flush(0);
        }
        if (count < 0)
            failed = (int)count;
    } while (!failed && nic_arm(0) > 0);
}

/* A checksum that nobody needs. Returns how often it was made. */
static uint64_t compute(unsigned long wanted, uint64_t end_ns)
{
    static uint32_t table[WORDS];
    volatile uint64_t sum = 0;
    uint64_t rounds = 0;

    while (packets < wanted && !failed && now_ns() < end_ns) {
        uint64_t a = 1, b = rounds;

        for (unsigned i = 0; i < WORDS; i++) {
            table[i] += (uint32_t)i;
            a += table[i];
            b += a;
        }
        sum = sum + (a ^ b);
        rounds++;
    }
    return rounds;
}

static int run(unsigned long wanted, uint64_t seconds)
{
    uint64_t start = now_ns(), rounds;
    struct nic_stats stats = {0};
    bool masked = mf_upcall_mask();

    mf_upcall_arm(on_frames, nic_event(0));
    if (nic_arm(0) > 0)
        on_frames(0);
    puts("netcompute ready");
    fflush(stdout);
    mf_upcall_restore(masked);
    rounds = compute(wanted, seconds ? start + seconds * 1000000000u : -1ull);
    mf_upcall_mask();
    nic_wait_room(0, 0);
    nic_read_stats(0, &stats);
    printf("netcompute packets=%lu echoed=%lu upcalls=%lu rounds=%llu us=%llu "
           "flushes=%llu kicks=%llu\n",
           packets, echoed, upcalls, (unsigned long long)rounds,
           (unsigned long long)(now_ns() - start) / 1000,
           (unsigned long long)stats.flushes, (unsigned long long)stats.kicks);
    return failed;
}

int main(int argc, char **argv)
{
    unsigned long wanted = -1ul, moderate_packets = 0, moderate_usecs = 0;
    uint64_t seconds = 0;
    int error, option;

    while ((option = getopt(argc, argv, "n:t:p:u:")) != -1)
        switch (option) {
        case 'n':
            wanted = strtoul(optarg, NULL, 0);
            break;
        case 't':
            seconds = strtoul(optarg, NULL, 0);
            break;
        case 'p':
            moderate_packets = strtoul(optarg, NULL, 0);
            break;
        case 'u':
            moderate_usecs = strtoul(optarg, NULL, 0);
            break;
        default:
            fputs("usage: netcompute [-n FRAMES] [-t SECONDS] [-p PACKETS] "
                  "[-u USECS]\n",
                  stderr);
            return 2;
        }
    error = nic_open(0, &card);
    if (!error && (moderate_packets || moderate_usecs))
        error = nic_set_coalescing(0, (uint32_t)moderate_packets,
                                   (uint32_t)moderate_usecs);
    if (!error)
        error = run(wanted, seconds);
    if (error)
        fprintf(stderr, "netcompute: %s\n", strerror(-error));
    return error != 0;
}
