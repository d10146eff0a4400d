/* SPDX-License-Identifier: MIT */
/* Prints both clocks, checks them, and measures what reading one costs. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define READS 1000000

static int64_t now_ns(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

int main(void)
{
    int64_t start = now_ns(CLOCK_MONOTONIC), last = start;
    time_t today = time(NULL);
    char text[32];

    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", gmtime(&today));
    printf("realtime  %lld ns (%s UTC)\n", (long long)now_ns(CLOCK_REALTIME),
           text);
    printf("monotonic %lld ns\n", (long long)start);
    for (int i = 0; i < READS; i++) {
        int64_t now = now_ns(CLOCK_MONOTONIC);

        if (now < last) {
            printf("time went back by %lld ns\n", (long long)(last - now));
            return 1;
        }
        last = now;
    }
    printf("clock_gettime %.1f ns a call\n", (double)(last - start) / READS);
    return 0;
}
