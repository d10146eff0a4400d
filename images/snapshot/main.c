/* SPDX-License-Identifier: MIT */
/* A guest that is in the middle of things when a snapshot is taken. */

/*
 *   snapshot            holds heap memory and AVX state over a snapshot point
 *   snapshot wait       waits for a line of input
 *   snapshot again      comes to a snapshot point three times
 */
#include <immintrin.h>
#include <mayfly/snapshot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define HEAP_BYTES 100000

static int told;
static unsigned char *heap;

static void on_clone(void *argument)
{
    told = *(int *)argument;
}

static double seconds(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_random(void)
{
    unsigned char bytes[16];

    getrandom(bytes, sizeof(bytes), 0);
    printf("random ");
    for (size_t i = 0; i < sizeof(bytes); i++)
        printf("%02x", bytes[i]);
    printf("\n");
}

/* Whether the heap is as it was left; then it is changed. */
static int take_heap(void)
{
    int whole = 1;

    for (size_t i = 0; i < HEAP_BYTES; i++)
        whole = whole && heap[i] == 0x5a;
    memset(heap, 0xa5, HEAP_BYTES);
    __asm__ volatile("" : : "r"(heap) : "memory"); /* somebody may look */
    return whole;
}

/* Four numbers that the compiler has to leave in a vector register. */
#define HOLD(vector) __asm__ volatile("" : "+x"(vector))

__attribute__((__target__("avx"))) static int hold_state(void)
{
    static int word = 7;
    __m256d vector = _mm256_set_pd(4, 3, 2, 1);
    double lanes[4];

    heap = malloc(HEAP_BYTES);
    memset(heap, 0x5a, HEAP_BYTES);
    mayfly_on_clone(on_clone, &word);
    double before = seconds(CLOCK_MONOTONIC);
    HOLD(vector);
    int restored = mayfly_snapshot_point();
    HOLD(vector);
    double later = seconds(CLOCK_MONOTONIC);
    _mm256_storeu_pd(lanes, vector);
    printf("restored %d told %d heap %d lanes %g %g %g %g\n", restored, told,
           take_heap(), lanes[0], lanes[1], lanes[2], lanes[3]);
    printf("monotonic %d realtime %.0f\n",
           later >= before && later < before + 60, seconds(CLOCK_REALTIME));
    print_random();
    return restored ? 5 : 4;
}

static int wait_for_line(void)
{
    char line[64] = "";

    printf("waiting\n");
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        return 1;
    printf("line %s", line);
    return 6;
}

static int come_again(void)
{
    int restored[3];

    for (int i = 0; i < 3; i++)
        restored[i] = mayfly_snapshot_point();
    printf("restored %d %d %d\n", restored[0], restored[1], restored[2]);
    return 7;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "wait") == 0)
        return wait_for_line();
    return strcmp(what, "again") == 0 ? come_again() : hold_state();
}
