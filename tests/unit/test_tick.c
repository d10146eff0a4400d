/* SPDX-License-Identifier: MIT */
/* The tick: armed sooner and never later, and silent when disarmed. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "vmm/base/os.h"
#include "vmm/tick.h"

#define SIGNAL  SIGUSR1
#define FAR_NS  (100 * TICK_NS)
#define SOON_NS (TICK_NS / 4)

static struct tick tick;
static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static void set_up(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    cr_assert_eq(sigaction(SIGNAL, &action, NULL), 0);
    cr_assert_eq(tick_create(&tick, gettid(), SIGNAL), 0);
}

static void tear_down(void)
{
    tick_destroy(&tick);
}

TestSuite(tick, .init = set_up, .fini = tear_down, .timeout = 60);

/* The kernel's word on a timer: ns until its next signal, or 0. */
static uint64_t left_of(const struct tick *one)
{
    struct itimerspec left;

    cr_assert_eq(os_syscall(SYS_timer_gettime, one->timer, &left), 0);
    return (uint64_t)left.it_value.tv_sec * 1000000000u +
           (uint64_t)left.it_value.tv_nsec;
}

static uint64_t left_ns(void)
{
    return left_of(&tick);
}

static void wait_for_signals(int count)
{
    while (signals < count)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

Test(tick, begins_disarmed)
{
    cr_assert(tick.made);
    cr_assert_eq(tick.next_ns, 0);
    cr_assert_eq(left_ns(), 0);
}

Test(tick, comes_again_and_again)
{
    cr_assert_eq(tick_arm(&tick, UINT64_MAX), 0);
    cr_assert_neq(left_ns(), 0);
    cr_assert_leq(left_ns(), TICK_NS);
    wait_for_signals(3);
}

Test(tick, that_is_armed_costs_no_system_call)
{
    cr_assert_eq(tick_arm(&tick, UINT64_MAX), 0);
    uint64_t next_ns = tick.next_ns;
    unsigned long calls = os_calls;

    cr_assert_eq(tick_arm(&tick, UINT64_MAX), 0);
    cr_assert_eq(tick_arm(&tick, next_ns), 0, "not sooner");
    cr_assert_eq(os_calls, calls);
    cr_assert_eq(tick.next_ns, next_ns);
}

Test(tick, is_armed_for_what_is_due_sooner)
{
    cr_assert_eq(tick_arm(&tick, UINT64_MAX), 0);
    uint64_t due_ns = tick.next_ns - 1;
    unsigned long calls = os_calls;

    cr_assert_eq(tick_arm(&tick, due_ns), 0);
    cr_assert_eq(os_calls, calls + 1);
    cr_assert_leq(tick.next_ns, due_ns);
    wait_for_signals(1);
}

Test(tick, comes_at_once_for_what_is_overdue)
{
    cr_assert_eq(tick_arm(&tick, 1), 0);
    wait_for_signals(1);
}

Test(tick, is_never_put_off)
{
    cr_assert_eq(tick_arm(&tick, os_now_ns() + SOON_NS), 0);
    uint64_t next_ns = tick.next_ns;

    cr_assert_eq(tick_arm(&tick, os_now_ns() + FAR_NS), 0);
    cr_assert_eq(tick.next_ns, next_ns);
    wait_for_signals(2);
}

/* What the kernel does next is at most this far away: it repeats by itself. */
Test(tick, knows_when_the_next_one_comes_at_the_latest)
{
    cr_assert_eq(tick_arm(&tick, UINT64_MAX), 0);
    wait_for_signals(1);
    uint64_t now_ns = os_now_ns();

    tick_came(&tick, now_ns);
    cr_assert_eq(tick.next_ns, now_ns + TICK_NS);
    cr_assert_leq(left_ns(), TICK_NS);
    unsigned long calls = os_calls;
    cr_assert_eq(tick_arm(&tick, UINT64_MAX), 0);
    cr_assert_eq(os_calls, calls, "armed by itself");
}

Test(tick, is_silent_when_it_is_disarmed)
{
    cr_assert_eq(tick_arm(&tick, UINT64_MAX), 0);
    cr_assert_eq(tick_disarm(&tick), 0);
    cr_assert_eq(tick.next_ns, 0);
    cr_assert_eq(left_ns(), 0);
    unsigned long calls = os_calls;
    cr_assert_eq(tick_disarm(&tick), 0);
    cr_assert_eq(os_calls, calls, "once is enough");
}

Test(tick, can_be_armed_again)
{
    cr_assert_eq(tick_arm(&tick, UINT64_MAX), 0);
    cr_assert_eq(tick_disarm(&tick), 0);
    int before = signals;
    cr_assert_eq(tick_arm(&tick, UINT64_MAX), 0);
    wait_for_signals(before + 1);
}

Test(tick, says_when_it_cannot_be_made)
{
    struct tick other = {0};

    cr_assert_eq(tick_create(&other, gettid(), 1000), -EINVAL);
    cr_assert_not(other.made);
    tick_destroy(&other);
}

/* ---- A thread's own ------------------------------------------------------ */

static struct tick *join(void)
{
    struct tick *own = NULL;
    pid_t thread = 0;

    cr_assert_eq(tick_join(SIGNAL, &own, &thread), 0);
    cr_assert_eq(thread, gettid());
    return own;
}

Test(tick, is_one_for_all_of_a_thread)
{
    struct tick *first = join();
    unsigned long calls = os_calls;

    cr_assert_eq(join(), first);
    cr_assert_eq(os_calls, calls + 1, "it asks who it is");
    cr_assert_eq(tick_arm(first, UINT64_MAX), 0);
    tick_leave();
    cr_assert_neq(left_of(first), 0);
    tick_leave();
    cr_assert_eq(left_of(first), 0);
    cr_assert_eq(first->next_ns, 0);
}

Test(tick, that_strays_does_not_come_again)
{
    struct tick *own = join();

    cr_assert_eq(tick_arm(own, UINT64_MAX), 0);
    errno = EXDEV;
    tick_stray(own->timer);
    cr_assert_eq(errno, EXDEV);
    cr_assert_eq(left_of(own), 0);
    cr_assert_eq(tick_arm(own, UINT64_MAX), 0);
    cr_assert_neq(left_of(own), 0);
}

static void *join_and_end(void *timer)
{
    struct tick *own = join();

    cr_assert_eq(tick_arm(own, UINT64_MAX), 0);
    *(int *)timer = own->timer;
    return NULL;
}

Test(tick, goes_with_its_thread)
{
    int mine = join()->timer, timer;
    struct itimerspec left;
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, join_and_end, &timer), 0);
    pthread_join(thread, NULL);
    cr_assert_neq(timer, mine);
    cr_assert_eq(os_syscall(SYS_timer_gettime, timer, &left), -EINVAL);
}

/* Timers are not inherited, but what is known of them is. */
Test(tick, of_a_forked_child_is_another_one)
{
    int status;

    join();
    pid_t child = fork();
    if (child == 0) {
        struct tick *own = join();

        _exit(tick_arm(own, UINT64_MAX) != 0 || left_of(own) == 0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}
