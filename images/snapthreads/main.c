/* SPDX-License-Identifier: MIT */
/* Two threads that a snapshot finds in the middle: one sleeps, one computes. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>

static void *sleep_often(void *argument)
{
    for (int i = 0; i < 20; i++) {
        struct timespec pause = {.tv_nsec = 20000000};

        nanosleep(&pause, NULL);
        printf("tick %d\n", i);
        fflush(stdout);
    }
    return argument;
}

static void *compute(void *argument)
{
    double sum = 0;

    for (int i = 1; i <= 200000000; i++)
        sum += 1.0 / ((double)i * i);
    printf("sum %.6f\n", sum);
    return argument;
}

int main(void)
{
    pthread_t threads[2];

    pthread_create(&threads[0], NULL, sleep_often, NULL);
    pthread_create(&threads[1], NULL, compute, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    return 3;
}
