/* SPDX-License-Identifier: MIT */
/* Uses names that the runtime uses, too, for other things. */
#include <pthread.h>
#include <stdio.h>

int mutex_lock = 1, timer_start = 2, file_get = 3, socket_create = 4;

/* Called by nobody but main. */
void sched_wake(int *calls);

void sched_wake(int *calls)
{
    ++*calls;
}

static void *touch_file(void *name)
{
    FILE *file = fopen(name, "w");

    return file && fclose(file) == 0 ? name : NULL;
}

int main(void)
{
    static char name[] = "/tmp/name";
    pthread_t thread;
    void *result = NULL;
    int calls = 0;

    if (pthread_create(&thread, NULL, touch_file, name) ||
        pthread_join(thread, &result) || !result)
        return 1;
    sched_wake(&calls);
    printf("%d %d\n", calls,
           mutex_lock + timer_start + file_get + socket_create);
    return 0;
}
