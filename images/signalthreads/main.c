/* SPDX-License-Identifier: MIT */
/* Signals between threads: computing, blocked and waiting ones. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static int failures;

static void check(const char *what, bool right)
{
    printf("%-4s %s\n", right ? "ok" : "BAD", what);
    failures += !right;
}

static volatile sig_atomic_t calls;
static pthread_t handled_by;
static sem_t ready;

static void note(int number)
{
    (void)number;
    handled_by = pthread_self();
    calls++;
}

static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    sigaction(number, &action, NULL);
    calls = 0;
}

static sigset_t set_of(int number)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static pthread_t start(void *(*run)(void *), void *argument)
{
    pthread_t thread;

    pthread_create(&thread, NULL, run, argument);
    sem_wait(&ready);
    return thread;
}

static void *join(pthread_t thread)
{
    void *result;

    pthread_join(thread, &result);
    return result;
}

/* ---- One that computes -------------------------------------------------- */

static void *compute(void *unused)
{
    double sum = 1;

    sem_post(&ready);
    while (!calls)
        sum = sum * 1.5 + 1 - sum * 1.5; /* stays 1, if nobody touches it */
    return sum == 1 ? unused : NULL;
}

static void spoil(int number)
{
    volatile double other = number;

    for (int i = 0; i < 100; i++)
        other = other * 3 + 1;
    note(number);
}

static void check_computing(void)
{
    int mark;
    pthread_t thread;

    handle(SIGUSR1, spoil, 0);
    thread = start(compute, &mark);
    pthread_kill(thread, SIGUSR1);
    check("a thread that computes is interrupted",
          join(thread) == &mark && pthread_equal(handled_by, thread));
}

static void leave(int number, siginfo_t *info, void *context)
{
    ucontext_t *at = context;

    (void)number;
    (void)info;
    /* Out of the loop below: rcx says where. */
    at->uc_mcontext.gregs[REG_RIP] = at->uc_mcontext.gregs[REG_RCX];
    at->uc_mcontext.gregs[REG_RAX] = 42;
    at->uc_mcontext.fpregs->_xmm[5].element[0] = 7;
}

static void *loop(void *unused)
{
    uint64_t result;
    uint32_t vector;

    (void)unused;
    sem_post(&ready);
    __asm__ volatile("lea 2f(%%rip), %%rcx\n"
                     "1: jmp 1b\n"
                     "2: movd %%xmm5, %1"
                     : "=a"(result), "=r"(vector)
                     :
                     : "rcx", "xmm5", "memory");
    return (void *)(uintptr_t)(result + vector);
}

static void check_registers(void)
{
    struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO};
    pthread_t thread;

    sigaction(SIGUSR1, &action, NULL);
    thread = start(loop, NULL);
    usleep(20000); /* so that it is in the loop */
    pthread_kill(thread, SIGUSR1);
    check("and goes on with what the handler leaves",
          join(thread) == (void *)49);
}

static sigjmp_buf place[2];
static volatile int jumps[2];
static pthread_t jumpers[2];

static void jump(int number)
{
    (void)number;
    siglongjmp(place[pthread_equal(pthread_self(), jumpers[1])], 1);
}

static void *keep_jumping(void *argument)
{
    int self = (int)(intptr_t)argument;

    sem_post(&ready);
    sigsetjmp(place[self], 1);
    jumps[self]++;
    while (jumps[self] < 50)
        continue;
    return NULL;
}

static void check_jumps(void)
{
    handle(SIGUSR2, jump, 0);
    for (int i = 0; i < 2; i++)
        jumpers[i] = start(keep_jumping, (void *)(intptr_t)i);
    usleep(20000);
    for (int i = 0; jumps[0] < 50 || jumps[1] < 50; i++) {
        if (jumps[i & 1] < 50)
            pthread_kill(jumpers[i & 1], SIGUSR2);
        sched_yield();
    }
    signal(SIGUSR2, SIG_IGN);
    join(jumpers[0]);
    join(jumpers[1]);
    check("siglongjmp out of computing threads", true);
}

/* ---- Those that block --------------------------------------------------- */

static sem_t never;

static void *wait_interrupted(void *unused)
{
    (void)unused;
    sem_post(&ready);
    return (void *)(intptr_t)(sem_wait(&never) == -1 ? errno : 0);
}

static int pipe_ends[2];

static void *read_pipe(void *unused)
{
    char byte = 0;
    long got;

    (void)unused;
    sem_post(&ready);
    got = read(pipe_ends[0], &byte, 1);
    return (void *)(intptr_t)(got == 1 ? byte : -errno);
}

static void check_blocked(void)
{
    pthread_t thread;

    handle(SIGUSR1, note, 0);
    thread = start(wait_interrupted, NULL);
    while (!calls) {
        pthread_kill(thread, SIGUSR1);
        usleep(1000);
    }
    /* It may have come before the wait. */
    pthread_kill(thread, SIGUSR1);
    usleep(5000);
    pthread_kill(thread, SIGUSR1);
    check("a blocked thread is interrupted", join(thread) == (void *)EINTR);

    if (pipe(pipe_ends)) {
        check("pipe", false);
        return;
    }
    handle(SIGUSR1, note, SA_RESTART);
    thread = start(read_pipe, NULL);
    usleep(5000);
    pthread_kill(thread, SIGUSR1);
    usleep(5000);
    check("SA_RESTART runs the handler", calls == 1);
    check("a byte", write(pipe_ends[1], "x", 1) == 1);
    check("and reads on", join(thread) == (void *)'x');

    handle(SIGUSR1, note, 0);
    thread = start(read_pipe, NULL);
    usleep(5000);
    pthread_kill(thread, SIGUSR1);
    check("without it, it does not", join(thread) == (void *)(intptr_t)-EINTR);

    check("SIGPIPE", close(pipe_ends[0]) == 0);
    handle(SIGPIPE, note, 0);
    check("of a pipe that nobody reads",
          write(pipe_ends[1], "x", 1) == -1 && errno == EPIPE && calls == 1);
}

/* ---- Whose signal it is ------------------------------------------------- */

static void *wait_for_signal(void *unused)
{
    sigset_t set = set_of(SIGUSR1);
    int number = 0;

    (void)unused;
    sem_post(&ready);
    sigwait(&set, &number);
    return (void *)(intptr_t)number;
}

static void *pause_once(void *unused)
{
    sigset_t set = set_of(SIGUSR1);

    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    sem_post(&ready);
    while (!calls)
        usleep(1000);
    return unused;
}

static void check_choice(void)
{
    sigset_t set = set_of(SIGUSR1);
    pthread_t thread;

    pthread_sigmask(SIG_BLOCK, &set, NULL);
    thread = start(wait_for_signal, NULL);
    kill(getpid(), SIGUSR1);
    check("a signal to the process is the one's that waits for it",
          join(thread) == (void *)SIGUSR1);

    handle(SIGUSR1, note, 0);
    thread = start(pause_once, NULL);
    kill(getpid(), SIGUSR1);
    join(thread);
    check("or the one's that does not block it",
          calls == 1 && pthread_equal(handled_by, thread));
    check("pthread_kill of a thread that has ended is no crash",
          pthread_kill(pthread_self(), 0) == 0);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- What musl does by signals ------------------------------------------ */

static void *compute_for_ever(void *unused)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    sem_post(&ready);
    for (;;)
        continue;
    return unused;
}

static void *sleep_for_ever(void *unused)
{
    sem_post(&ready);
    for (;;)
        sleep(1000);
    return unused;
}

/*
 * A handler leaves a cancellation point by siglongjmp: what comes then is none,
 * and a thread that cannot be cancelled waits there.
 */
static int lock_for_two[2];
static sigjmp_buf behind_pause;

static void jump_behind_pause(int number)
{
    siglongjmp(behind_pause, number);
}

static void *lock_after_jump(void *unused)
{
    (void)unused;
    handle(SIGUSR2, jump_behind_pause, 0);
    if (!sigsetjmp(behind_pause, 1)) {
        sem_post(&ready);
        for (;;)
            pause();
    }
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    sem_post(&ready);
    return (void *)(long)flock(lock_for_two[1], LOCK_EX);
}

static void check_jump_from_point(void)
{
    const char *name = "/tmp/lock";
    pthread_t thread;

    for (int i = 0; i < 2; i++)
        lock_for_two[i] = open(name, O_RDWR | O_CREAT, 0600);
    flock(lock_for_two[0], LOCK_EX);
    thread = start(lock_after_jump, NULL);
    pthread_kill(thread, SIGUSR2);
    sem_wait(&ready);
    pthread_cancel(thread);
    usleep(20000);
    flock(lock_for_two[0], LOCK_UN);
    check("a jump out of a cancellation point leaves it", join(thread) == NULL);
}

static void check_musl(void)
{
    pthread_t computing = start(compute_for_ever, NULL);
    pthread_t sleeping = start(sleep_for_ever, NULL);

    check("setuid reaches all threads", setuid(1000) == 0);
    pthread_cancel(computing);
    check("a computing thread is cancelled",
          join(computing) == PTHREAD_CANCELED);
    pthread_cancel(sleeping);
    check("a sleeping one, too", join(sleeping) == PTHREAD_CANCELED);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    sem_init(&ready, 0, 0);
    sem_init(&never, 0, 0);
    check_computing();
    check_registers();
    check_jumps();
    check_blocked();
    check_choice();
    check_jump_from_point();
    check_musl();
    printf("%d failed\n", failures);
    return failures > 0;
}
