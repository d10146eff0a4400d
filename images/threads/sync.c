/* SPDX-License-Identifier: MIT */
/* Mutexes, condition variables and what else threads wait on each other by. */
#include "test.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <threads.h>
#include <time.h>

#define THREADS 8
#define ROUNDS  2000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long count;

static void run_all(void *(*run)(void *))
{
    pthread_t threads[THREADS];

    for (long i = 0; i < THREADS; i++)
        threads[i] = start(run, (void *)i);
    for (unsigned i = 0; i < THREADS; i++)
        finish(threads[i]);
}

/* ---- Mutexes ------------------------------------------------------------ */

/* Gives way inside, so that the others find it locked. */
static void *add_locked(void *unused)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        unsigned long seen = count;
        if (i % 16 == 0)
            sched_yield();
        count = seen + 1;
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

static void check_mutex_type(int type, int second_lock, int foreign_unlock)
{
    pthread_mutexattr_t attribute;

    pthread_mutexattr_init(&attribute);
    CHECK(pthread_mutexattr_settype(&attribute, type) == 0);
    CHECK(pthread_mutex_init(&lock, &attribute) == 0);
    CHECK(pthread_mutex_lock(&lock) == 0);
    CHECK(pthread_mutex_lock(&lock) == second_lock);
    if (second_lock == 0)
        CHECK(pthread_mutex_unlock(&lock) == 0);
    CHECK(pthread_mutex_unlock(&lock) == 0);
    CHECK(pthread_mutex_unlock(&lock) == foreign_unlock);
    CHECK(pthread_mutex_trylock(&lock) == 0);
    pthread_mutex_unlock(&lock);
}

void test_mutex(void)
{
    count = 0;
    run_all(add_locked);
    CHECK(count == THREADS * ROUNDS);
    check_mutex_type(PTHREAD_MUTEX_RECURSIVE, 0, EPERM);
    check_mutex_type(PTHREAD_MUTEX_ERRORCHECK, EDEADLK, EPERM);
}

static void *die_locked(void *unused)
{
    CHECK(pthread_mutex_lock(&lock) == 0);
    sleep_ms(5);
    return unused;
}

/* An owner that ends leaves its mutex to others, who are told. */
static void check_robust(int protocol)
{
    pthread_mutexattr_t attribute;
    pthread_t thread;

    pthread_mutexattr_init(&attribute);
    pthread_mutexattr_setrobust(&attribute, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attribute, PTHREAD_PROCESS_SHARED);
    CHECK(pthread_mutexattr_setprotocol(&attribute, protocol) == 0);
    CHECK(pthread_mutex_init(&lock, &attribute) == 0);
    thread = start(die_locked, NULL);
    sched_yield(); /* it has the mutex */
    CHECK(pthread_mutex_lock(&lock) == EOWNERDEAD);
    CHECK(pthread_mutex_consistent(&lock) == 0);
    CHECK(pthread_mutex_unlock(&lock) == 0);
    finish(thread);
    finish(start(die_locked, NULL));
    CHECK(pthread_mutex_trylock(&lock) == EOWNERDEAD);
    CHECK(pthread_mutex_unlock(&lock) == 0);
    CHECK(pthread_mutex_lock(&lock) == ENOTRECOVERABLE);
    memset(&lock, 0, sizeof(lock));
}

void test_robust(void)
{
    check_robust(PTHREAD_PRIO_NONE);
    check_robust(PTHREAD_PRIO_INHERIT);
}

void test_inherit(void)
{
    pthread_mutexattr_t attribute;
    struct timespec end;

    pthread_mutexattr_init(&attribute);
    CHECK(pthread_mutexattr_setprotocol(&attribute, PTHREAD_PRIO_INHERIT) == 0);
    CHECK(pthread_mutex_init(&lock, &attribute) == 0);
    count = 0;
    run_all(add_locked);
    CHECK(count == THREADS * ROUNDS);

    pthread_t thread = start(die_locked, NULL);
    sched_yield();
    end = soon(CLOCK_REALTIME, 1000000);
    CHECK(pthread_mutex_timedlock(&lock, &end) == ETIMEDOUT);
    finish(thread);
    memset(&lock, 0, sizeof(lock));
}

/* ---- Condition variables ------------------------------------------------ */

static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static pthread_cond_t taken = PTHREAD_COND_INITIALIZER;
static unsigned in_box, got;

static void *take(void *unused)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        while (in_box == 0)
            pthread_cond_wait(&filled, &lock);
        in_box--;
        got++;
        pthread_cond_signal(&taken);
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

static void *put(void *unused)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        while (in_box == 3)
            pthread_cond_wait(&taken, &lock);
        in_box++;
        if (i % 2)
            pthread_cond_signal(&filled);
        else
            pthread_cond_broadcast(&filled);
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

static void *put_or_take(void *which)
{
    return (long)which % 2 ? put(NULL) : take(NULL);
}

void test_condition(void)
{
    in_box = got = 0;
    run_all(put_or_take);
    CHECK(in_box == 0 && got == THREADS / 2 * ROUNDS);
}

/* ---- Barriers, semaphores, rwlocks --------------------------------------- */

static pthread_barrier_t barrier;
static unsigned arrived, serial;

static void *cross(void *unused)
{
    for (unsigned i = 1; i <= ROUNDS / 10; i++) {
        __atomic_fetch_add(&arrived, 1, __ATOMIC_SEQ_CST);
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            serial++;
        CHECK(__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) >= i * THREADS);
    }
    return unused;
}

void test_barrier(void)
{
    arrived = serial = 0;
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    run_all(cross);
    CHECK(serial == ROUNDS / 10);
    CHECK(pthread_barrier_destroy(&barrier) == 0);
}

static sem_t ping, pong;

static void *answer(void *unused)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        sem_wait(&ping);
        count++;
        sem_post(&pong);
    }
    return unused;
}

void test_semaphore(void)
{
    pthread_t thread;

    count = 0;
    sem_init(&ping, 0, 0);
    sem_init(&pong, 0, 0);
    thread = start(answer, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        CHECK(count == i);
        sem_post(&ping);
        sem_wait(&pong);
    }
    finish(thread);
    CHECK(sem_trywait(&pong) < 0 && errno == EAGAIN);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static unsigned long left_half, right_half;

static void *read_or_write(void *which)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        if ((long)which % 4 == 0) {
            pthread_rwlock_wrlock(&rwlock);
            left_half++;
            if (i % 16 == 0)
                sched_yield();
            right_half++;
        } else {
            pthread_rwlock_rdlock(&rwlock);
            CHECK(left_half == right_half);
            if (i % 16 == 0)
                sched_yield();
            CHECK(left_half == right_half);
        }
        pthread_rwlock_unlock(&rwlock);
    }
    return NULL;
}

void test_rwlock(void)
{
    left_half = right_half = 0;
    run_all(read_or_write);
    CHECK(left_half == THREADS / 4 * ROUNDS);
    CHECK(pthread_rwlock_rdlock(&rwlock) == 0);
    CHECK(pthread_rwlock_tryrdlock(&rwlock) == 0);
    CHECK(pthread_rwlock_trywrlock(&rwlock) == EBUSY);
    pthread_rwlock_unlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
}

/* ---- Once, thread-local storage ------------------------------------------ */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void count_slowly(void)
{
    sleep_ms(2);
    count++;
}

static void *do_once(void *unused)
{
    pthread_once(&once, count_slowly);
    CHECK(count == 1);
    return unused;
}

void test_once(void)
{
    count = 0;
    run_all(do_once);
    CHECK(count == 1);
}

static pthread_key_t key;
static _Thread_local long local = 7;
static _Thread_local char page[5000];

static void destroy(void *value)
{
    __atomic_fetch_add(&count, (unsigned long)value, __ATOMIC_SEQ_CST);
}

static void *use_locals(void *which)
{
    CHECK(local == 7 && page[4999] == 0 && !pthread_getspecific(key));
    for (long i = 0; i < 20; i++) {
        local = (long)which + i;
        errno = (int)(long)which;
        page[4999] = (char)(long)which;
        sched_yield();
        CHECK(local == (long)which + i && errno == (int)(long)which);
        CHECK(page[4999] == (char)(long)which);
    }
    pthread_setspecific(key, (void *)((long)which + 1));
    return NULL;
}

void test_tls(void)
{
    count = 0;
    CHECK(pthread_key_create(&key, destroy) == 0);
    run_all(use_locals);
    CHECK(count == THREADS * (THREADS + 1) / 2);
    CHECK(pthread_key_delete(key) == 0);
}

/* ---- Timeouts ----------------------------------------------------------- */

#define WAIT_NS 2000000u

/* A wait that nobody ends takes as long as it was told. */
static void check_timeout(int (*wait)(const struct timespec *end))
{
    struct timespec end = soon(CLOCK_REALTIME, WAIT_NS);
    uint64_t start_ns = now_ns(CLOCK_MONOTONIC);

    CHECK(wait(&end) == ETIMEDOUT);
    CHECK(now_ns(CLOCK_MONOTONIC) - start_ns >= WAIT_NS / 2);
    end.tv_sec -= 1;
    CHECK(wait(&end) == ETIMEDOUT);
}

static int wait_mutex(const struct timespec *end)
{
    return pthread_mutex_timedlock(&lock, end);
}

static int wait_condition(const struct timespec *end)
{
    return pthread_cond_timedwait(&filled, &lock, end);
}

static int wait_semaphore(const struct timespec *end)
{
    return sem_timedwait(&ping, end) == 0 ? 0 : errno;
}

static int wait_rwlock(const struct timespec *end)
{
    return pthread_rwlock_timedwrlock(&rwlock, end);
}

static int wait_monotonic(const struct timespec *unused)
{
    struct timespec end = soon(CLOCK_MONOTONIC, WAIT_NS);
    pthread_condattr_t attribute;
    pthread_cond_t condition;

    (void)unused;
    pthread_condattr_init(&attribute);
    pthread_condattr_setclock(&attribute, CLOCK_MONOTONIC);
    pthread_cond_init(&condition, &attribute);
    return pthread_cond_timedwait(&condition, &lock, &end);
}

void test_timeouts(void)
{
    sem_init(&ping, 0, 0);
    pthread_mutex_lock(&lock);
    pthread_rwlock_rdlock(&rwlock);
    check_timeout(wait_mutex);
    check_timeout(wait_condition);
    check_timeout(wait_semaphore);
    check_timeout(wait_rwlock);
    check_timeout(wait_monotonic);
    pthread_rwlock_unlock(&rwlock);
    pthread_mutex_unlock(&lock);
}
