/* SPDX-License-Identifier: MIT */
/* Who runs when: giving way, fairness, preemption, futexes. */
#include "test.h"

#include <errno.h>
#include <fenv.h>
#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile bool stop;

/* ---- Giving way --------------------------------------------------------- */

#define THREADS 4

static unsigned turns[THREADS];
static volatile unsigned turn;

static void *take_turns(void *which)
{
    for (unsigned i = 0; i < 100; i++) {
        while (turn % THREADS != (unsigned)(long)which)
            sched_yield();
        turns[(long)which]++;
        turn++;
    }
    return NULL;
}

void test_yield(void)
{
    pthread_t threads[THREADS];

    for (long i = 0; i < THREADS; i++)
        threads[i] = start(take_turns, (void *)i);
    for (unsigned i = 0; i < THREADS; i++)
        finish(threads[i]);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(turns[i] == 100);
    CHECK(turn == 100 * THREADS);
}

/* ---- Fairness ----------------------------------------------------------- */

#define TURNS 10

static volatile bool go;
static long preempted[THREADS];

/* How often has the calling thread had to give way? */
static long count_preemptions(void)
{
    struct rusage usage;

    CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
    return usage.ru_nivcsw;
}

/* A turn before all are there, on a busy machine, is nobody's advantage. */
static void *run_along(void *which)
{
    long before, count;

    while (!go)
        sched_yield();
    before = count_preemptions();
    do
        count = count_preemptions() - before;
    while (!stop && count < TURNS);
    stop = true;
    preempted[(long)which] = count;
    return NULL;
}

/* Threads that compute have as many turns as each other. */
void test_fair(void)
{
    pthread_t threads[THREADS];

    stop = go = false;
    for (long i = 0; i < THREADS; i++)
        threads[i] = start(run_along, (void *)i);
    go = true;
    for (unsigned i = 0; i < THREADS; i++)
        finish(threads[i]);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK(preempted[i] >= TURNS - 2 && preempted[i] <= TURNS);
}

/* ---- Preemption --------------------------------------------------------- */

static void *spin(void *count)
{
    while (!stop)
        ++*(volatile unsigned long *)count;
    return NULL;
}

/* Sleeps end, and threads that compute go on, at the same time. */
void test_preempt(void)
{
    volatile unsigned long counts[2] = {0};
    pthread_t first, second;

    stop = false;
    first = start(spin, (void *)&counts[0]);
    second = start(spin, (void *)&counts[1]);
    for (unsigned i = 0; i < 20; i++)
        sleep_ms(3);
    stop = true;
    finish(first);
    finish(second);
    CHECK(counts[0] > 1000 && counts[1] > 1000);
}

#define NAPS 200

static volatile unsigned long steps;

/* Returns during how many naps the thread that computes has got on. */
static void *take_naps(void *unused)
{
    struct timespec nap = {.tv_nsec = 20000};
    unsigned long moved = 0;

    for (unsigned i = 0; i < NAPS; i++) {
        unsigned long before = steps;

        nanosleep(&nap, NULL);
        moved += steps != before;
    }
    stop = true;
    return unused ? unused : (void *)moved;
}

/* Sleeps may be shorter than what it takes to keep them exactly. */
void test_naps(void)
{
    pthread_t thread;
    unsigned long moved;

    stop = false;
    thread = start(take_naps, NULL);
    while (!stop)
        steps++;
    moved = (unsigned long)finish(thread);
    if (moved < NAPS / 2)
        printf("moved during %lu of %d naps\n", moved, NAPS);
    CHECK(moved >= NAPS / 2);
}

#define WAKES 40

static sem_t call;
static volatile unsigned answers;

static void *answer_calls(void *unused)
{
    for (unsigned i = 0; i < WAKES; i++) {
        sem_wait(&call);
        answers++;
    }
    return unused;
}

/* Who is woken by a thread that computes need not wait for its slice's end. */
void test_wake(void)
{
    unsigned prompt = 0, before;
    pthread_t thread;

    CHECK(sem_init(&call, 0, 0) == 0);
    thread = start(answer_calls, NULL);
    for (unsigned i = 0; i < WAKES; i++) {
        uint64_t end_ns;

        before = answers;
        sem_post(&call);
        end_ns = now_ns(CLOCK_MONOTONIC) + 3000000;
        while (now_ns(CLOCK_MONOTONIC) < end_ns)
            continue;
        prompt += answers != before;
    }
    finish(thread);
    /* The first slice is gone before the other one has begun. */
    CHECK(prompt >= WAKES / 2);
}

/* A computing thread's registers survive others' turns. */
static void *sum(void *rounding)
{
    double expected = 0, sum;
    uint64_t numbers = 0;

    CHECK(fesetround((int)(long)rounding) == 0);
    for (unsigned repeat = 0; !stop; repeat++) {
        sum = 0;
        for (unsigned i = 1; i < 100000; i++) {
            sum += 1.0 / i;
            numbers += i;
        }
        if (repeat == 0)
            expected = sum;
        CHECK(memcmp(&sum, &expected, sizeof(sum)) == 0);
        CHECK(fegetround() == (int)(long)rounding);
    }
    return NULL;
}

void test_state(void)
{
    pthread_t up, down;

    stop = false;
    up = start(sum, (void *)(long)FE_UPWARD);
    down = start(sum, (void *)(long)FE_DOWNWARD);
    for (unsigned i = 0; i < 50; i++)
        sleep_ms(2);
    stop = true;
    finish(up);
    finish(down);
    CHECK(fegetround() == FE_TONEAREST);
}

/* Standard input is read while another thread computes. */
void test_input(void)
{
    unsigned long count = 0;
    pthread_t thread;
    char text[64];
    long bytes;

    stop = false;
    thread = start(spin, &count);
    puts("computing");
    fflush(stdout);
    while ((bytes = read(0, text, sizeof(text))) > 0) {
        printf("read %.*s", (int)bytes, text);
        fflush(stdout);
    }
    stop = true;
    finish(thread);
    CHECK(count > 0);
}

/* ---- Futexes ------------------------------------------------------------ */

static uint32_t words[2];

static long futex(uint32_t *word, int operation, uint32_t value,
                  const void *timeout, uint32_t *word2, uint32_t value3)
{
    long result =
        syscall(SYS_futex, word, operation, value, timeout, word2, value3);

    return result < 0 ? -errno : result;
}

static volatile unsigned waiting;

static void *wait_for_bits(void *bits)
{
    waiting++;
    return (void *)futex(&words[0], FUTEX_WAIT_BITSET, 0, NULL, NULL,
                         (uint32_t)(long)bits);
}

static void start_waiters(pthread_t *threads, unsigned count)
{
    waiting = 0;
    for (unsigned i = 0; i < count; i++)
        threads[i] = start(wait_for_bits, (void *)(1l << i));
    /* Then each has had turns to go from there into the call. */
    for (unsigned turns_since = 0; turns_since < 100; turns_since++) {
        sched_yield();
        if (waiting < count)
            turns_since = 0;
    }
}

static void check_errors(void)
{
    struct timespec wrong = {.tv_nsec = -1}, past = {0};

    CHECK(futex(&words[0], FUTEX_WAIT, 1, NULL, NULL, 0) == -EAGAIN);
    CHECK(futex(&words[0], FUTEX_WAIT, 0, &wrong, NULL, 0) == -EINVAL);
    CHECK(futex(&words[0], FUTEX_WAIT_BITSET, 0, &past, NULL, 1) == -ETIMEDOUT);
    CHECK(futex(&words[0], FUTEX_WAIT_BITSET, 0, NULL, NULL, 0) == -EINVAL);
    CHECK(futex((uint32_t *)((char *)words + 1), FUTEX_WAKE, 1, NULL, NULL,
                0) == -EINVAL);
    CHECK(futex(&words[0], FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, NULL, NULL,
                0) == -ENOSYS);
    CHECK(futex(&words[0], 99, 0, NULL, NULL, 0) == -ENOSYS);
    CHECK(futex(&words[0], FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == -EPERM);
}

static void check_bits(void)
{
    pthread_t threads[4];

    start_waiters(threads, 4);
    CHECK(futex(&words[0], FUTEX_WAKE_BITSET, 9, NULL, NULL, 4) == 1);
    CHECK(finish(threads[2]) == 0);
    CHECK(futex(&words[0], FUTEX_WAKE_BITSET, 9, NULL, NULL, 4) == 0);
    CHECK(futex(&words[0], FUTEX_WAKE, 2, NULL, NULL, 0) == 2);
    CHECK(finish(threads[0]) == 0);
    CHECK(finish(threads[1]) == 0);
    CHECK(futex(&words[0], FUTEX_WAKE, 9, NULL, NULL, 0) == 1);
    CHECK(finish(threads[3]) == 0);
}

static void check_requeue(void)
{
    pthread_t threads[4];

    start_waiters(threads, 4);
    CHECK(futex(&words[0], FUTEX_CMP_REQUEUE, 1, (void *)2, &words[1], 5) ==
          -EAGAIN);
    CHECK(futex(&words[0], FUTEX_CMP_REQUEUE, 1, (void *)2, &words[1], 0) == 3);
    CHECK(finish(threads[0]) == 0);
    CHECK(futex(&words[0], FUTEX_WAKE, 9, NULL, NULL, 0) == 1);
    CHECK(finish(threads[3]) == 0);
    CHECK(futex(&words[1], FUTEX_WAKE, 9, NULL, NULL, 0) == 2);
    CHECK(finish(threads[1]) == 0);
    CHECK(finish(threads[2]) == 0);
}

static void check_wake_op(void)
{
    pthread_t threads[2];

    start_waiters(threads, 2);
    words[1] = 5;
    /* words[1] += 3; it was 5: wake there too. */
    CHECK(futex(&words[1], FUTEX_WAKE_OP, 1, (void *)1, &words[0],
                FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 0)) == 1);
    CHECK(words[0] == 3);
    CHECK(futex(&words[0], FUTEX_WAKE, 9, NULL, NULL, 0) == 1);
    finish(threads[0]);
    finish(threads[1]);
    words[0] = words[1] = 0;
}

void test_futex(void)
{
    check_errors();
    check_bits();
    check_requeue();
    check_wake_op();
}
