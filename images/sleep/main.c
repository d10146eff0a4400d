/* SPDX-License-Identifier: MIT */
/* Sleeps and checks that the time has passed. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

int main(int argc, char **argv)
{
    long ms = argc > 1 ? atol(argv[1]) : 100;
    struct timespec wanted = {ms / 1000, ms % 1000 * 1000000};
    int64_t start = now_ns(), passed;

    nanosleep(&wanted, NULL);
    passed = now_ns() - start;
    printf("slept %.3f ms of %ld\n", (double)passed / 1e6, ms);
    return passed < ms * 1000000;
}
