/* SPDX-License-Identifier: MIT */
/* Threads: what POSIX and Linux promise of them, a test by its name. */
#include "test.h"

#include <string.h>
#include <time.h>

/*
 *   threads [TEST...]
 *
 * prints "TEST ok" for each, without arguments for all but those that need
 * input or do not return.
 */

static const struct test {
    const char *name;
    void (*run)(void);
    bool alone; /* only if it is asked for */
} tests[] = {
    {"mutex", test_mutex, false},
    {"robust", test_robust, false},
    {"inherit", test_inherit, false},
    {"condition", test_condition, false},
    {"barrier", test_barrier, false},
    {"semaphore", test_semaphore, false},
    {"rwlock", test_rwlock, false},
    {"once", test_once, false},
    {"tls", test_tls, false},
    {"timeouts", test_timeouts, false},
    {"join", test_join, false},
    {"detach", test_detach, false},
    {"attributes", test_attributes, false},
    {"clocks", test_clocks, false},
    {"calls", test_calls, false},
    {"cancel", test_cancel, false},
    {"yield", test_yield, false},
    {"fair", test_fair, false},
    {"preempt", test_preempt, false},
    {"naps", test_naps, false},
    {"wake", test_wake, false},
    {"state", test_state, false},
    {"futex", test_futex, false},
    {"many", test_many, true},
    {"input", test_input, true},
    {"exit", test_exit, true},
};

#define TESTS (sizeof(tests) / sizeof(tests[0]))

pthread_t start(void *(*run)(void *), void *argument)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, run, argument) == 0);
    return thread;
}

void *finish(pthread_t thread)
{
    void *result;

    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

uint64_t now_ns(clockid_t clock)
{
    struct timespec now;

    CHECK(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct timespec soon(clockid_t clock, uint64_t ns)
{
    ns += now_ns(clock);
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
}

void sleep_ms(unsigned ms)
{
    struct timespec nap = {.tv_nsec = (long)ms * 1000000};

    nanosleep(&nap, NULL);
}

static void run_test(const struct test *test)
{
    test->run();
    printf("%s ok\n", test->name);
}

static void run_named(const char *name)
{
    for (unsigned i = 0; i < TESTS; i++)
        if (strcmp(name, tests[i].name) == 0) {
            run_test(&tests[i]);
            return;
        }
    printf("no test %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run_named(argv[i]);
    for (unsigned i = 0; argc == 1 && i < TESTS; i++)
        if (!tests[i].alone)
            run_test(&tests[i]);
    return 0;
}
