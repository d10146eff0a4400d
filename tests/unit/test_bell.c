/* SPDX-License-Identifier: MIT */
/* The bell: when it rings, and what a sleep costs that was not needed. */
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>

#include "vmm/base/bell.h"
#include "vmm/base/os.h"

static struct bell bell;

static void set_up(void)
{
    cr_assert_eq(bell_init(&bell), 0);
}

static void tear_down(void)
{
    bell_fini(&bell);
}

TestSuite(bell, .init = set_up, .fini = tear_down, .timeout = 60);

/* Whether a sleep would end at once. */
static bool is_readable(void)
{
    struct pollfd file = {.fd = bell.fd, .events = POLLIN};

    return os_poll(&file, 1, 0) == 1;
}

/* Sleeps as an owner does. */
static void sleep_on_bell(void)
{
    struct pollfd file = {.fd = bell.fd, .events = POLLIN};

    cr_assert_eq(os_poll(&file, 1, -1), 1);
    bell_wake(&bell, true);
}

Test(bell, is_not_heard_by_who_is_awake)
{
    unsigned long calls = os_calls;

    cr_assert_not(bell_ring(&bell));
    cr_assert_eq(os_calls, calls, "no system call");
    cr_assert_not(is_readable());
}

Test(bell, wakes_who_is_about_to_sleep)
{
    bell_prepare(&bell);
    cr_assert_not(is_readable());
    cr_assert(bell_ring(&bell));
    cr_assert(is_readable());
    sleep_on_bell();
    cr_assert_not(is_readable(), "emptied");
}

Test(bell, rings_once_a_sleep)
{
    bell_prepare(&bell);
    cr_assert(bell_ring(&bell));
    unsigned long calls = os_calls;
    cr_assert_not(bell_ring(&bell));
    cr_assert_not(bell_ring(&bell));
    cr_assert_eq(os_calls, calls, "no system call");
}

Test(bell, is_silent_for_who_found_work_by_itself)
{
    bell_prepare(&bell);
    bell_wake(&bell, false);
    cr_assert_not(bell_ring(&bell));
    cr_assert_not(is_readable());
}

/* The ringer has taken the mark, and writes only after the sleeper woke. */
Test(bell, that_comes_late_costs_one_short_sleep)
{
    bell_prepare(&bell);
    cr_assert(bell_ring(&bell));
    bell_wake(&bell, false); /* it had looked before that */

    bell_prepare(&bell);
    sleep_on_bell(); /* over at once */
    bell_prepare(&bell);
    cr_assert_not(is_readable(), "a long sleep again");
    cr_assert(bell_ring(&bell), "from which it can be woken");
    cr_assert(is_readable());
}

Test(bell, wakes_nobody_when_it_was_not_rung)
{
    unsigned long calls;

    bell_prepare(&bell);
    calls = os_calls;
    bell_wake(&bell, false);
    cr_assert_eq(os_calls, calls, "the file is not looked at");
}

/* ---- Two threads -------------------------------------------------------- */

#define HANDOVERS 20000u

static atomic_uint work;

static void *worker_main(void *unused)
{
    (void)unused;
    for (unsigned done = 0; done < HANDOVERS;) {
        bell_prepare(&bell);
        if (atomic_load_explicit(&work, memory_order_relaxed) == done)
            sleep_on_bell();
        else
            bell_wake(&bell, false);
        done = atomic_load(&work);
    }
    return NULL;
}

Test(bell, loses_no_work_between_two_threads)
{
    pthread_t worker;
    unsigned rung = 0;

    cr_assert_eq(pthread_create(&worker, NULL, worker_main, NULL), 0);
    for (unsigned i = 1; i <= HANDOVERS; i++) {
        atomic_store_explicit(&work, i, memory_order_relaxed);
        rung += bell_ring(&bell);
    }
    cr_assert_eq(pthread_join(worker, NULL), 0);
    cr_assert_leq(rung, HANDOVERS);
}
