/* SPDX-License-Identifier: MIT */
/* Threads: what POSIX promises of them, a test by a name. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void *run(void *argument)
{
    printf("in a thread %ld\n", (long)argument);
    return (void *)((long)argument + 1);
}

int main(void)
{
    for (long i = 0; i < 3; i++) {
        pthread_t thread;
        void *result;
        int error = pthread_create(&thread, NULL, run, (void *)i);

        printf("create %d\n", error);
        error = pthread_join(thread, &result);
        printf("join %d %ld\n", error, (long)result);
    }
    return 0;
}
