/* SPDX-License-Identifier: MIT */
/* Runs the tests of the I/O thread's hand-over: threads [ROUNDS] [NAME]. */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/threads/machine.h"

/*
 * No test framework: ThreadSanitizer wants a program that does not fork. One
 * line a test on standard output, as TAP has them; the first failure ends it.
 */

#define ROUNDS_DEFAULT 50000u
#define HALT_SECONDS   30 /* without progress */

static const char *test_name;
static atomic_ullong progress;

/* ---- Checks ------------------------------------------------------------- */

void check_failed(const char *condition, int line, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s: line %d: %s: ", test_name, line, condition);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    machine_dump();
    printf("not ok - %s\n", test_name);
    fflush(stdout);
    _exit(1);
}

void note_progress(void)
{
    atomic_fetch_add_explicit(&progress, 1, memory_order_relaxed);
}

/*
 * A thread of its own, because a signal would wake a guest whose wake-up was
 * lost.
 */
static void *watchdog_main(void *unused)
{
    const struct timespec second = {1, 0};
    unsigned long long seen = 0;
    unsigned seconds = 0;

    (void)unused;
    for (;;) {
        nanosleep(&second, NULL);
        unsigned long long now = atomic_load(&progress);
        seconds = now == seen ? seconds + 1 : 0;
        seen = now;
        if (seconds == HALT_SECONDS)
            check_failed("progress", __LINE__,
                         "halted after %llu: a wake-up was lost", now);
    }
    return NULL;
}

static void start_watchdog(void)
{
    sigset_t all, before;
    pthread_t thread;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if (pthread_create(&thread, NULL, watchdog_main, NULL))
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

uint32_t random_below(uint64_t *state, uint32_t bound)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)((*state >> 32) * bound >> 32);
}

void spin(uint32_t pauses)
{
    while (pauses-- > 0)
        __builtin_ia32_pause();
}

/* ---- Tests -------------------------------------------------------------- */

struct test {
    const char *name;
    void (*run)(uint64_t rounds, const struct machine_options *options);
    unsigned part; /* rounds are divided by this */
    struct machine_options options;
};

static const struct test tests[] = {
    {"round trips, never looking", test_round_trips, 8, {.poll_ns = 0}},
    {"round trips, looking for 3 us", test_round_trips, 4, {.poll_ns = 3000}},
    {"round trips, looking for 50 us", test_round_trips, 2, {.poll_ns = 50000}},
    {"round trips by flags, never looking",
     test_round_trips,
     16,
     {.by_flag = true}},
    {"round trips by flags, looking for 50 us",
     test_round_trips,
     16,
     {.poll_ns = 50000, .by_flag = true}},
    {"short serves, never looking",
     test_round_trips,
     32,
     {.short_serves = true}},
    {"short serves, looking for 50 us",
     test_round_trips,
     32,
     {.poll_ns = 50000, .short_serves = true}},
    {"parking, never looking", test_parking, 16, {.parks = true}},
    {"parking, looking for 50 us",
     test_parking,
     16,
     {.poll_ns = 50000, .parks = true}},
    {"resets, never looking", test_resets, 32, {.poll_ns = 0}},
    {"resets, looking for 50 us", test_resets, 32, {.poll_ns = 50000}},
    {"stops, never looking", test_stops, 1000, {.poll_ns = 0}},
    {"stops, looking for 50 us", test_stops, 1000, {.poll_ns = 50000}},
    {"upcalls, never looking", test_upcalls, 100, {.poll_ns = 0}},
    {"upcalls, looking for 50 us", test_upcalls, 100, {.poll_ns = 50000}},
};

static double now_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run(const struct test *test, uint64_t rounds)
{
    const struct mayfly *vm = &machine.vm;
    double start = now_seconds();

    test_name = test->name;
    test->run(rounds, &test->options);
    fprintf(stderr,
            "%s: %llu rounds in %.1f s; in the last VM %llu kicks, %llu waits, "
            "%llu sleeps, %llu parks\n",
            test->name, (unsigned long long)rounds, now_seconds() - start,
            (unsigned long long)machine.kicks,
            (unsigned long long)machine.waits,
            (unsigned long long)vm->io.stats.sleeps,
            (unsigned long long)vm->io.stats.parks);
    printf("ok - %s\n", test->name);
    fflush(stdout);
}

int main(int count, char **arguments)
{
    uint64_t rounds =
        count > 1 ? strtoull(arguments[1], NULL, 10) : ROUNDS_DEFAULT;
    const char *filter = count > 2 ? arguments[2] : "";

    start_watchdog();
    for (unsigned i = 0; i < ARRAY_SIZE(tests); i++)
        if (strstr(tests[i].name, filter))
            run(&tests[i], max_u64(rounds / tests[i].part, 1));
    return 0;
}
