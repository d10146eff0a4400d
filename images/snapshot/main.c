/* SPDX-License-Identifier: MIT */
/* A guest that is in the middle of things when a snapshot is taken. */
#include <immintrin.h>
#include <mayfly/snapshot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static unsigned char *heap;
static int told;

static void on_clone(void *argument)
{
    told = *(int *)argument;
}

static long long now_ms(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

__attribute__((__target__("avx"))) static __m256d sum(__m256d vector)
{
    return _mm256_add_pd(vector, vector);
}

__attribute__((__target__("avx"))) int main(void)
{
    static int word = 7;
    volatile double rounding = 3.0;
    unsigned char bytes[16];
    double lanes[4];
    int restored;

    heap = malloc(100000);
    memset(heap, 0x5a, 100000);
    mayfly_on_clone(on_clone, &word);
    __m256d vector = sum(_mm256_set_pd(4, 3, 2, rounding));
    long long before = now_ms(CLOCK_MONOTONIC);

    printf("before\n");
    fflush(stdout);
    __asm__ volatile("" : "+x"(vector));
    restored = mayfly_snapshot_point();
    __asm__ volatile("" : "+x"(vector));
    _mm256_storeu_pd(lanes, vector);
    for (size_t i = 0; i < 100000; i++)
        if (heap[i] != 0x5a)
            return 2;
    getrandom(bytes, sizeof(bytes), 0);
    printf("restored %d told %d lanes %g %g %g %g\n", restored, told, lanes[0],
           lanes[1], lanes[2], lanes[3]);
    long long later = now_ms(CLOCK_MONOTONIC);
    printf("monotonic %s realtime %lld\n",
           later >= before && later < before + 10000 ? "goes on" : "jumped",
           now_ms(CLOCK_REALTIME) / 1000);
    printf("random ");
    for (size_t i = 0; i < sizeof(bytes); i++)
        printf("%02x", bytes[i]);
    printf("\n");
    return restored ? 5 : 4;
}
