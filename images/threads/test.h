/* SPDX-License-Identifier: MIT */
/* What the tests of threads share. */
#ifndef IMAGES_THREADS_TEST_H
#define IMAGES_THREADS_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* the lint defines it for all */
#endif

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program if this is not so. */
#define CHECK(condition)                                           \
    do {                                                           \
        if (!(condition)) {                                        \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                               \
        }                                                          \
    } while (0)

/* Starts a thread, which has to work. */
pthread_t start(void *(*run)(void *), void *argument);

/* Waits for its end and returns what it returned. */
void *finish(pthread_t thread);

uint64_t now_ns(clockid_t clock);

/* So many nanoseconds from now on that clock. */
struct timespec soon(clockid_t clock, uint64_t ns);

void sleep_ms(unsigned ms);

/* sync.c */
void test_mutex(void);
void test_robust(void);
void test_inherit(void);
void test_condition(void);
void test_barrier(void);
void test_semaphore(void);
void test_rwlock(void);
void test_once(void);
void test_tls(void);
void test_timeouts(void);

/* life.c */
void test_join(void);
void test_detach(void);
void test_many(void);
void test_attributes(void);
void test_clocks(void);
void test_calls(void);
void test_exit(void);

/* cancel.c */
void test_cancel(void);

/* turns.c */
void test_yield(void);
void test_fair(void);
void test_preempt(void);
void test_naps(void);
void test_wake(void);
void test_state(void);
void test_input(void);
void test_futex(void);

#endif
