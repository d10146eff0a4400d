/* SPDX-License-Identifier: MIT */
/* Cancelling threads, wherever they are. */
#include "test.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static sem_t nothing;
static volatile unsigned long spins;
static bool cleaned;

static void clean(void *unused)
{
    (void)unused;
    cleaned = true;
}

static void unlock(void *unused)
{
    (void)unused;
    cleaned = pthread_mutex_unlock(&lock) == 0;
}

static void *in_sleep(void *unused)
{
    pthread_cleanup_push(clean, NULL);
    for (;;)
        sleep(1000);
    pthread_cleanup_pop(0);
    return unused;
}

static void *in_semaphore(void *unused)
{
    pthread_cleanup_push(clean, NULL);
    sem_wait(&nothing);
    pthread_cleanup_pop(0);
    return unused;
}

/* The mutex is locked again before the handler runs. */
static void *in_condition(void *unused)
{
    pthread_mutex_lock(&lock);
    pthread_cleanup_push(unlock, NULL);
    for (;;)
        pthread_cond_wait(&never, &lock);
    pthread_cleanup_pop(0);
    return unused;
}

static void *in_loop(void *unused)
{
    pthread_cleanup_push(clean, NULL);
    for (;;) {
        spins++;
        pthread_testcancel();
    }
    pthread_cleanup_pop(0);
    return unused;
}

/* No cancellation point at all: only asynchronously. */
static void *in_computation(void *unused)
{
    pthread_cleanup_push(clean, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;)
        spins++;
    pthread_cleanup_pop(0);
    return unused;
}

static void check(void *(*run)(void *), unsigned wait_ms)
{
    pthread_t thread;

    cleaned = false;
    thread = start(run, NULL);
    if (wait_ms)
        sleep_ms(wait_ms);
    CHECK(pthread_cancel(thread) == 0);
    CHECK(finish(thread) == PTHREAD_CANCELED);
    CHECK(cleaned);
}

static void check_disabled(void);

void test_cancel(void)
{
    sem_init(&nothing, 0, 0);
    check(in_sleep, 2);
    check(in_semaphore, 2);
    check(in_condition, 2);
    check(in_loop, 2);
    check(in_computation, 30);
    check_disabled();
}

/* Cancelled while that is disabled: only the signal is noticed, as on Linux. */
static void *later(void *state)
{
    struct timespec nap = {.tv_nsec = 5000000};
    uint64_t start_ns = now_ns(CLOCK_MONOTONIC);

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    *(volatile bool *)state = true;
    while (nanosleep(&nap, &nap) != 0)
        CHECK(errno == EINTR);
    CHECK(now_ns(CLOCK_MONOTONIC) - start_ns >= 5000000);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    pthread_testcancel();
    return NULL;
}

static void check_disabled(void)
{
    volatile bool begun = false;
    pthread_t thread = start(later, (void *)&begun);

    while (!begun)
        sched_yield();
    CHECK(pthread_cancel(thread) == 0);
    CHECK(finish(thread) == PTHREAD_CANCELED);
}
