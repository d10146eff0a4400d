/* SPDX-License-Identifier: MIT */
/* Timers that send signals. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int failures;

static void check(const char *what, bool right)
{
    printf("%-4s %s\n", right ? "ok" : "BAD", what);
    failures += !right;
}

static volatile sig_atomic_t calls;
static siginfo_t last;
static int first_overrun; /* of the first call */

static void note(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    last = *info;
    if (calls++ == 0)
        first_overrun = info->si_overrun;
}

static void handle(int number)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};

    sigaction(number, &action, NULL);
    calls = 0;
}

/* Of signals that come again: one may come just before a pause. */
static void await(int count)
{
    while (calls < count)
        pause();
}

static void compute_until(int count)
{
    while (calls < count)
        continue;
}

#define MS 1000000L

static struct itimerspec spec(long first_ns, long interval_ns)
{
    return (struct itimerspec){{0, interval_ns}, {0, first_ns}};
}

/* ---- setitimer ---------------------------------------------------------- */

static void check_intervals(void)
{
    struct itimerval every = {{0, 2000}, {0, 1000}}, none = {{0, 0}, {0, 0}};
    struct itimerval now, bad = {{0, 0}, {0, 1000000}};

    handle(SIGALRM);
    setitimer(ITIMER_REAL, &every, NULL);
    await(3);
    check("an interval timer comes again and again",
          last.si_signo == SIGALRM && last.si_code == SI_KERNEL);
    compute_until(6);
    check("in a program that computes, too", true);
    getitimer(ITIMER_REAL, &now);
    check("getitimer tells the interval",
          now.it_interval.tv_usec == 2000 && now.it_value.tv_usec <= 2000);
    setitimer(ITIMER_REAL, &none, &now);
    calls = 0;
    usleep(5000);
    check("it stops", calls == 0 && now.it_interval.tv_usec == 2000);
    check("a bad time is refused",
          setitimer(ITIMER_REAL, &bad, NULL) == -1 && errno == EINVAL);

    alarm(100);
    check("alarm says what was left", alarm(0) == 100 && alarm(0) == 0);

    handle(SIGVTALRM);
    setitimer(ITIMER_VIRTUAL, &every, NULL);
    compute_until(2);
    setitimer(ITIMER_VIRTUAL, &none, NULL);
    handle(SIGPROF);
    setitimer(ITIMER_PROF, &every, NULL);
    compute_until(2);
    setitimer(ITIMER_PROF, &none, NULL);
    check("timers of processor time", last.si_signo == SIGPROF);

    /* One that comes again: the first may be over before there is a sleep. */
    struct timespec left, day = {86400, 0};

    handle(SIGALRM);
    setitimer(ITIMER_REAL, &every, NULL);
    check("a sleep is interrupted", nanosleep(&day, &left) == -1 &&
                                        errno == EINTR && calls >= 1 &&
                                        left.tv_sec >= 86000);
    setitimer(ITIMER_REAL, &none, NULL);
}

/* ---- timer_create ------------------------------------------------------- */

static timer_t make(clockid_t clock, int notify, int number)
{
    struct sigevent event = {
        .sigev_notify = notify,
        .sigev_signo = number,
        .sigev_value.sival_int = 42,
    };
    timer_t timer = NULL;

    if (timer_create(clock, &event, &timer))
        printf("timer_create: %s\n", strerror(errno));
    return timer;
}

static void check_signal_timer(void)
{
    struct itimerspec every = spec(MS, 2 * MS), none = spec(0, 0), now;
    timer_t timer;

    handle(SIGRTMIN);
    timer = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN);
    timer_gettime(timer, &now);
    check("a new timer is stopped", now.it_value.tv_nsec == 0);
    timer_settime(timer, 0, &every, NULL);
    await(2);
    check("a timer hands over its value",
          last.si_code == SI_TIMER && last.si_value.sival_int == 42);
    timer_settime(timer, 0, &none, &now);
    check("and tells its interval", now.it_interval.tv_nsec == 2 * MS);
    calls = 0;
    usleep(5000);
    check("it stops", calls == 0);
    check("timer_delete", timer_delete(timer) == 0);
    check("only once", timer_delete(timer) != 0);
    check("timer_settime knows it no more",
          timer_settime(timer, 0, &every, NULL) == -1 && errno == EINVAL);
}

static void check_overrun(void)
{
    struct itimerspec every = spec(MS, MS), none = spec(0, 0);
    timer_t timer;
    sigset_t set;

    handle(SIGUSR1);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    timer = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1);
    timer_settime(timer, 0, &every, NULL);
    usleep(20000);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    timer_settime(timer, 0, &none, NULL);
    check("intervals that nobody saw are the overrun",
          calls >= 1 && first_overrun >= 5 && timer_getoverrun(timer) >= 0);
    handle(SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    timer_settime(timer, 0, &every, NULL);
    usleep(20000);
    timer_settime(timer, 0, &every, NULL);
    siginfo_t info;
    sigwaitinfo(&set, &info);
    usleep(20000);
    sigwaitinfo(&set, &info);
    check("which the signal tells",
          info.si_overrun >= 5 && timer_getoverrun(timer) == info.si_overrun);
    timer_delete(timer);
    signal(SIGUSR1, SIG_IGN);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void check_clocks(void)
{
    struct itimerspec now, at = spec(0, 0), soon = spec(MS, 0);
    timer_t timer;

    handle(SIGUSR2);
    timer = make(CLOCK_REALTIME, SIGEV_SIGNAL, SIGUSR2);
    clock_gettime(CLOCK_REALTIME, &at.it_value);
    at.it_value.tv_sec -= 10;
    timer_settime(timer, TIMER_ABSTIME, &at, NULL);
    compute_until(1);
    check("a time that is over comes at once", calls == 1);
    at.it_value.tv_sec += 1000;
    timer_settime(timer, TIMER_ABSTIME, &at, NULL);
    timer_gettime(timer, &now);
    check("a real time lies ahead",
          now.it_value.tv_sec > 980 && now.it_value.tv_sec <= 990);
    timer_delete(timer);

    handle(SIGUSR2);
    timer = make(CLOCK_THREAD_CPUTIME_ID, SIGEV_SIGNAL, SIGUSR2);
    timer_settime(timer, 0, &soon, NULL);
    compute_until(1);
    check("a timer of a thread's time", calls == 1);
    timer_delete(timer);

    timer = make(CLOCK_MONOTONIC, SIGEV_NONE, 0);
    soon = spec(500 * MS, 0);
    soon.it_value.tv_sec = 100;
    timer_settime(timer, 0, &soon, NULL);
    timer_gettime(timer, &now);
    check("one that tells nobody", now.it_value.tv_sec >= 90);
    timer_delete(timer);

    check("clocks that there are not",
          timer_create(99, NULL, &timer) == -1 && errno == EINVAL);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int notified, notified_value;

static void notify(union sigval value)
{
    pthread_mutex_lock(&lock);
    notified++;
    notified_value = value.sival_int;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void check_thread(void)
{
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD,
        .sigev_notify_function = notify,
        .sigev_value.sival_int = 11,
    };
    struct itimerspec every = spec(MS, MS);
    timer_t timer;

    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &every, NULL);
    pthread_mutex_lock(&lock);
    while (notified < 3)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    check("SIGEV_THREAD calls a function", notified_value == 11);
    timer_delete(timer);
}

int main(void)
{
    struct timespec now;

    setvbuf(stdout, NULL, _IOLBF, 0);
    check_intervals();
    check_signal_timer();
    check_overrun();
    check_clocks();
    check_thread();
    clock_gettime(CLOCK_REALTIME, &now);
    check("clocks cannot be set",
          clock_settime(CLOCK_REALTIME, &now) == -1 && errno == EPERM);
    printf("%d failed\n", failures);
    return failures > 0;
}
