/* SPDX-License-Identifier: MIT */
/* Takes signals of the host while it does this or that. */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int numbers[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1,
                              SIGUSR2, SIGTERM, SIGWINCH};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static volatile sig_atomic_t came;

static void on_signal(int number)
{
    came = number;
}

static sigset_t all(void)
{
    sigset_t set;

    sigemptyset(&set);
    for (unsigned i = 0; i < NUMBERS; i++)
        sigaddset(&set, numbers[i]);
    return set;
}

static void handle(void (*handler)(int))
{
    for (unsigned i = 0; i < NUMBERS; i++)
        signal(numbers[i], handler);
}

static void say(const char *what)
{
    puts(what);
    fflush(stdout);
}

static int loop(void)
{
    while (!came)
        continue;
    return came;
}

static int do_sleep(void)
{
    while (!came)
        sleep(1000);
    return came;
}

static int do_pause(void)
{
    while (!came)
        pause();
    return came;
}

static int wait_for_one(void)
{
    sigset_t set = all();
    int number;

    sigwait(&set, &number);
    return number;
}

/* Waits for a signal that was sent when it was only blocked. */
static int late(void)
{
    sigset_t set;
    int any = 0;

    while (!any) {
        usleep(10000);
        sigpending(&set);
        for (unsigned i = 0; i < NUMBERS; i++)
            any |= sigismember(&set, numbers[i]);
    }
    return wait_for_one();
}

static void *compute(void *unused)
{
    for (;;)
        continue;
    return unused;
}

/* Main waits; another thread has the processor. */
static int thread(void)
{
    pthread_t computing;

    pthread_create(&computing, NULL, compute, NULL);
    return wait_for_one();
}

/* Wants signals, and never takes one. */
static int deaf(void)
{
    sigset_t set = all();

    sigprocmask(SIG_BLOCK, &set, NULL);
    pause();
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    static const struct {
        const char *name;
        int (*run)(void);
    } modes[] = {
        {"loop", loop},     {"sleep", do_sleep},    {"pause", do_pause},
        {"thread", thread}, {"wait", wait_for_one}, {"ignore", do_sleep},
        {"deaf", deaf},     {"late", late},
    };
    sigset_t set = all();
    bool waits = !strcmp(mode, "wait") || !strcmp(mode, "thread");
    bool is_late = !strcmp(mode, "late");

    if (!is_late)
        handle(!strcmp(mode, "ignore") ? SIG_IGN : on_signal);
    if (waits || is_late)
        sigprocmask(SIG_BLOCK, &set, NULL);
    for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(mode, modes[i].name) != 0)
            continue;
        say("ready");
        int number = modes[i].run();
        printf("got %d\n", number);
        return number;
    }
    return 99;
}
