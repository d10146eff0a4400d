/* SPDX-License-Identifier: MIT */
/* Signals that a program of one thread sends itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <fenv.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static int failures;

static void check(const char *what, bool right)
{
    printf("%-4s %s\n", right ? "ok" : "BAD", what);
    failures += !right;
}

/* ---- What handlers see -------------------------------------------------- */

static volatile sig_atomic_t calls;
static siginfo_t last;
static int order[16];
static ucontext_t seen;

static void note(int number, siginfo_t *info, void *context)
{
    if (calls < 16)
        order[calls] = number;
    calls++;
    last = *info;
    seen = *(ucontext_t *)context;
}

#define ALL_MASKED 0x100 /* beside sigaction's flags */

static void handle(int number, void (*handler)(int, siginfo_t *, void *),
                   int flags)
{
    struct sigaction action = {
        .sa_sigaction = handler,
        .sa_flags = flags | SA_SIGINFO,
    };

    if (flags & ALL_MASKED)
        sigfillset(&action.sa_mask);
    action.sa_flags &= ~ALL_MASKED;
    sigaction(number, &action, NULL);
    calls = 0;
}

static sigset_t set_of(int number)
{
    sigset_t set;

    sigemptyset(&set);
    if (number)
        sigaddset(&set, number);
    return set;
}

static void block(int number)
{
    sigset_t set = set_of(number);

    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void unblock(int number)
{
    sigset_t set = set_of(number);

    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static bool is_blocked(int number)
{
    sigset_t now;

    sigprocmask(SIG_BLOCK, NULL, &now);
    return sigismember(&now, number);
}

static bool is_pending(int number)
{
    sigset_t now;

    sigpending(&now);
    return sigismember(&now, number);
}

/* ---- Sending ------------------------------------------------------------ */

static void check_senders(void)
{
    union sigval value = {.sival_int = 4711};

    handle(SIGUSR1, note, 0);
    kill(getpid(), SIGUSR1);
    check("kill says who and how", calls == 1 && last.si_signo == SIGUSR1 &&
                                       last.si_code == SI_USER &&
                                       last.si_pid == getpid());
    raise(SIGUSR1);
    check("raise says SI_TKILL", calls == 2 && last.si_code == SI_TKILL);
    sigqueue(getpid(), SIGUSR1, value);
    check("sigqueue hands over a value", calls == 3 &&
                                             last.si_code == SI_QUEUE &&
                                             last.si_value.sival_int == 4711);
    check("signal 0 only looks", kill(getpid(), 0) == 0 && calls == 3);
    check("kill refuses a bad number",
          kill(getpid(), 65) == -1 && errno == EINVAL);
    check("kill knows no other process",
          kill(getpid() + 1, SIGUSR1) == -1 && errno == ESRCH);
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    check("an ignored signal does nothing", calls == 3);
}

static void check_queue(void)
{
    const int real = SIGRTMIN + 1;
    union sigval value;
    int sent = 0;

    handle(real, note, 0);
    handle(SIGUSR1, note, 0);
    block(real);
    block(SIGUSR1);
    for (int i = 0; i < 3; i++) {
        value.sival_int = i;
        sigqueue(getpid(), real, value);
        kill(getpid(), SIGUSR1);
    }
    check("blocked signals are pending",
          is_pending(real) && is_pending(SIGUSR1) && calls == 0);
    unblock(SIGUSR1);
    check("an ordinary signal is pending once", calls == 1);
    unblock(real);
    check("one for real time as often as it was sent",
          calls == 4 && last.si_value.sival_int == 2 && !is_pending(real));

    block(real);
    errno = 0;
    while (sigqueue(getpid(), real, value) == 0)
        sent++;
    check("up to a limit", errno == EAGAIN && sent >= 32 && sent <= 65536);
    signal(real, SIG_IGN);
    check("which SIG_IGN clears", !is_pending(real));
    unblock(real);
}

static void check_order(void)
{
    handle(SIGRTMIN + 3, note, ALL_MASKED);
    handle(SIGRTMIN + 1, note, ALL_MASKED);
    handle(SIGUSR2, note, ALL_MASKED);
    sigset_t all, before;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    raise(SIGRTMIN + 3);
    raise(SIGRTMIN + 1);
    raise(SIGUSR2);
    sigprocmask(SIG_SETMASK, &before, NULL);
    check("the lowest number is first", calls == 3 && order[0] == SIGUSR2 &&
                                            order[1] == SIGRTMIN + 1 &&
                                            order[2] == SIGRTMIN + 3);
}

/* ---- Flags and masks ---------------------------------------------------- */

static bool was_blocked, was_blocked_too;

static void look_at_mask(int number, siginfo_t *info, void *context)
{
    note(number, info, context);
    was_blocked = is_blocked(number);
    was_blocked_too = is_blocked(SIGUSR2);
}

static void again(int number, siginfo_t *info, void *context)
{
    note(number, info, context);
    if (calls < 4)
        raise(number);
}

static void check_flags(void)
{
    struct sigaction action = {
        .sa_sigaction = look_at_mask,
        .sa_flags = SA_SIGINFO,
        .sa_mask = set_of(SIGUSR2),
    };
    struct sigaction now;

    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    check("a handler's mask holds in it", was_blocked && was_blocked_too);
    check("and not after it", !is_blocked(SIGUSR1) && !is_blocked(SIGUSR2));

    handle(SIGUSR1, again, SA_NODEFER);
    raise(SIGUSR1);
    check("SA_NODEFER nests", calls == 4);

    handle(SIGUSR1, note, (int)SA_RESETHAND);
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &now);
    check("SA_RESETHAND is for one signal",
          calls == 1 && now.sa_handler == SIG_DFL);

    check("SIGKILL cannot be handled",
          signal(SIGKILL, SIG_IGN) == SIG_ERR && errno == EINVAL);
    block(SIGKILL);
    check("nor blocked", !is_blocked(SIGKILL));
}

/* ---- Contexts ----------------------------------------------------------- */

static void block_more(int number, siginfo_t *info, void *context)
{
    note(number, info, context);
    sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2);
}

static jmp_buf elsewhere;

static _Noreturn void escape(int value)
{
    longjmp(elsewhere, value);
}

/* Goes on in escape(7), as if that had been called. */
static void redirect(int number, siginfo_t *info, void *context)
{
    greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;

    note(number, info, context);
    gregs[REG_RIP] = (greg_t)escape;
    gregs[REG_RDI] = 7;
    gregs[REG_RSP] = ((gregs[REG_RSP] - 128) & -16) - 8;
}

static int rounding;

static void set_rounding(int number, siginfo_t *info, void *context)
{
    note(number, info, context);
    rounding = fegetround();
    fesetround(FE_DOWNWARD);
}

static void check_contexts(void)
{
    handle(SIGUSR1, block_more, 0);
    raise(SIGUSR1);
    check("a mask that the handler leaves", calls == 1 && is_blocked(SIGUSR2));
    unblock(SIGUSR2);

    handle(SIGUSR1, redirect, 0);
    int value = setjmp(elsewhere);
    if (value == 0)
        raise(SIGUSR1);
    check("registers that the handler leaves", value == 7 && calls == 1);
    unblock(SIGUSR1);

    handle(SIGUSR1, set_rounding, 0);
    fesetround(FE_UPWARD);
    raise(SIGUSR1);
    check("a handler has a fresh FPU", rounding == FE_TONEAREST);
    check("and leaves the program its own", fegetround() == FE_UPWARD);
    check("which its context has",
          seen.uc_mcontext.fpregs &&
              (seen.uc_mcontext.gregs[REG_CSGSFS] & 3) == 3);
    fesetround(FE_TONEAREST);
}

static sigjmp_buf place;

static void jump(int number, siginfo_t *info, void *context)
{
    note(number, info, context);
    siglongjmp(place, number);
}

static void check_jumps(void)
{
    volatile int jumps = 0;

    handle(SIGUSR1, jump, 0);
    for (int i = 0; i < 1000; i++)
        if (sigsetjmp(place, 1) == 0)
            raise(SIGUSR1);
        else
            jumps++;
    check("siglongjmp out of handlers", jumps == 1000 && !is_blocked(SIGUSR1));
}

/* ---- The alternate stack ------------------------------------------------ */

static char stack[16384];
static bool on_stack, refused;
static int flags_within;

static void look_at_stack(int number, siginfo_t *info, void *context)
{
    char here;
    stack_t now, none = {.ss_flags = SS_DISABLE};

    note(number, info, context);
    on_stack = &here >= stack && &here < stack + sizeof(stack);
    sigaltstack(NULL, &now);
    flags_within = now.ss_flags;
    refused = sigaltstack(&none, NULL) == -1 && errno == EPERM;
}

static void check_stack(void)
{
    stack_t mine = {.ss_sp = stack, .ss_size = sizeof(stack)}, now;
    stack_t small = {.ss_sp = stack, .ss_size = 1024};

    check("a stack that is too small is refused",
          sigaltstack(&small, NULL) == -1 && errno == ENOMEM);
    sigaltstack(&mine, &now);
    check("there is no alternate stack at first", now.ss_flags == SS_DISABLE);
    handle(SIGUSR1, look_at_stack, 0);
    raise(SIGUSR1);
    check("only SA_ONSTACK uses it", !on_stack && flags_within == 0);
    sigaltstack(&mine, NULL);
    handle(SIGUSR1, look_at_stack, SA_ONSTACK);
    raise(SIGUSR1);
    check("which does", on_stack && flags_within == SS_ONSTACK);
    check("and it stays while it is used", refused);
    mine.ss_flags = SS_DISABLE;
    sigaltstack(&mine, NULL);
    raise(SIGUSR1);
    check("until it is given up", !on_stack);
}

/* ---- Waiting ------------------------------------------------------------ */

static void check_waits(void)
{
    const struct timespec soon = {.tv_nsec = 1000000}, now = {0};
    sigset_t set = set_of(SIGUSR1), none = set_of(0);
    union sigval value = {.sival_int = 17};
    siginfo_t info;
    int number = 0;

    handle(SIGUSR1, note, 0);
    block(SIGUSR1);
    check("sigtimedwait without a signal",
          sigtimedwait(&set, &info, &now) == -1 && errno == EAGAIN);
    check("ends in time",
          sigtimedwait(&set, &info, &soon) == -1 && errno == EAGAIN);
    sigqueue(getpid(), SIGUSR1, value);
    check("sigtimedwait takes one",
          sigtimedwait(&set, &info, &soon) == SIGUSR1 &&
              info.si_value.sival_int == 17 && calls == 0 &&
              !is_pending(SIGUSR1));
    raise(SIGUSR1);
    check("so does sigwait", sigwait(&set, &number) == 0 && number == SIGUSR1);
    raise(SIGUSR1);
    check("sigsuspend lets one in",
          sigsuspend(&none) == -1 && errno == EINTR && calls == 1);
    check("and restores the mask", is_blocked(SIGUSR1));
    check("which the handler's context had",
          sigismember(&seen.uc_sigmask, SIGUSR1));
    unblock(SIGUSR1);
}

/* ---- Files -------------------------------------------------------------- */

static void check_files(void)
{
    struct signalfd_siginfo records[3];
    union sigval value = {.sival_int = 99};
    struct pollfd poll_one = {.events = POLLIN};
    sigset_t set = set_of(SIGUSR1), real = set_of(SIGRTMIN);
    int fd;

    sigprocmask(SIG_BLOCK, &set, NULL);
    sigprocmask(SIG_BLOCK, &real, NULL);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    poll_one.fd = fd;
    check("signalfd", fd >= 0);
    check("has nothing at first", read(fd, records, sizeof(records)) == -1 &&
                                      errno == EAGAIN &&
                                      poll(&poll_one, 1, 0) == 0);
    sigqueue(getpid(), SIGUSR1, value);
    check("polls", poll(&poll_one, 1, -1) == 1);
    check("reads a signal",
          read(fd, records, sizeof(records)) == sizeof(records[0]) &&
              records[0].ssi_signo == SIGUSR1 && records[0].ssi_int == 99 &&
              records[0].ssi_pid == (uint32_t)getpid());
    check("once", !is_pending(SIGUSR1));
    check("takes another set", signalfd(fd, &real, 0) == fd);
    sigqueue(getpid(), SIGRTMIN, value);
    sigqueue(getpid(), SIGRTMIN, value);
    check("reads two",
          read(fd, records, sizeof(records)) == 2 * sizeof(records[0]));
    check("refuses a small buffer",
          read(fd, records, 100) == -1 && errno == EINVAL);
    check("refuses other files", signalfd(0, &set, 0) == -1 && errno == EINVAL);
    close(fd);
    unblock(SIGUSR1);
    unblock(SIGRTMIN);
}

static void check_masks_of_calls(void)
{
    sigset_t none = set_of(0);
    struct timespec second = {.tv_sec = 1};

    handle(SIGUSR1, note, 0);
    block(SIGUSR1);
    raise(SIGUSR1);
    check("ppoll lets signals in",
          ppoll(NULL, 0, &second, &none) == -1 && errno == EINTR && calls == 1);
    check("and restores the mask", is_blocked(SIGUSR1));
    raise(SIGUSR1);
    check("so does pselect",
          pselect(0, NULL, NULL, NULL, &second, &none) == -1 &&
              errno == EINTR && calls == 2);
    second.tv_sec = 0;
    check("that ends in time",
          ppoll(NULL, 0, &second, &none) == 0 && is_blocked(SIGUSR1));
    unblock(SIGUSR1);
}

int main(void)
{
    check_senders();
    check_queue();
    check_order();
    check_flags();
    check_contexts();
    check_jumps();
    check_stack();
    check_waits();
    check_files();
    check_masks_of_calls();
    printf("%d failed\n", failures);
    return failures > 0;
}
