/* SPDX-License-Identifier: MIT */
/* Counts what comes: netsink [-n FRAMES] [-t SECONDS] [-i IDLE_SECONDS] */
#include <mayfly/net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * It ends after as many frames, so many seconds, or when none has come for so
 * long; the time that it prints is from the first frame to the last one.
 */

#define BATCH 256

static unsigned long frames_wanted = -1ul;
static uint64_t seconds, idle_seconds;
static uint64_t frames, bytes, first_ns, last_ns;

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The earlier of two ends, either of which may be none. */
static uint64_t next_deadline(uint64_t end_ns)
{
    uint64_t idle_ns =
        idle_seconds ? now_ns() + idle_seconds * 1000000000u : NIC_FOREVER;

    return idle_ns < end_ns ? idle_ns : end_ns;
}

static int count_all(void)
{
    struct nic_buffer *batch[BATCH];
    uint64_t end_ns = seconds ? now_ns() + seconds * 1000000000u : NIC_FOREVER;

    while (frames < frames_wanted && now_ns() < end_ns) {
        long count = nic_receive(0, batch, BATCH, next_deadline(end_ns));

        if (count < 0)
            return (int)count;
        if (count == 0 && idle_seconds)
            break;
        if (count == 0)
            continue;
        last_ns = now_ns();
        if (frames == 0)
            first_ns = last_ns;
        frames += (uint64_t)count;
        for (long i = 0; i < count; i++)
            bytes += batch[i]->frame_bytes;
        nic_release(0, batch, (unsigned)count);
        nic_flush(0);
    }
    return 0;
}

static void report(void)
{
    struct nic_stats stats = {0};

    nic_read_stats(0, &stats);
    printf("netsink frames=%llu bytes=%llu us=%llu errors=%llu flushes=%llu "
           "kicks=%llu waits=%llu\n",
           (unsigned long long)frames, (unsigned long long)bytes,
           (unsigned long long)(last_ns - first_ns) / 1000,
           (unsigned long long)stats.errors, (unsigned long long)stats.flushes,
           (unsigned long long)stats.kicks, (unsigned long long)stats.waits);
}

int main(int argc, char **argv)
{
    struct nic_info card;
    int error, option;

    while ((option = getopt(argc, argv, "n:t:i:")) != -1)
        switch (option) {
        case 'n':
            frames_wanted = strtoul(optarg, NULL, 0);
            break;
        case 't':
            seconds = strtoul(optarg, NULL, 0);
            break;
        case 'i':
            idle_seconds = strtoul(optarg, NULL, 0);
            break;
        default:
            fputs("usage: netsink [-n FRAMES] [-t SECONDS] [-i SECONDS]\n",
                  stderr);
            return 2;
        }
    error = nic_open(0, &card);
    if (!error) {
        puts("netsink ready");
        fflush(stdout);
        error = count_all();
        report();
    }
    if (error)
        fprintf(stderr, "netsink: %s\n", strerror(-error));
    return error != 0;
}
