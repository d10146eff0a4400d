/* SPDX-License-Identifier: MIT */
/* Signals that a program sends itself. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/syscalls.h"

/*
 * There is nobody else to send a signal, and exceptions are crash reports, so
 * a signal only ever arrives at the call that sends or unblocks it: its
 * handler is an ordinary function call from there.
 */

/* The kernel's struct sigaction on x86-64. */
struct action {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

#define SIGNALS 64

static struct action actions[SIGNALS];
static uint64_t blocked, pending;
static stack_t alternate_stack = {.ss_flags = SS_DISABLE};

static uint64_t bit(int number)
{
    return 1ull << (number - 1);
}

#define UNBLOCKABLE (1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1))

/* Signals that Linux writes a core dump for: here they are crash reports. */
static bool dumps_core(int number)
{
    static const uint64_t set = 1ull << (SIGQUIT - 1) | 1ull << (SIGILL - 1) |
                                1ull << (SIGTRAP - 1) | 1ull << (SIGABRT - 1) |
                                1ull << (SIGBUS - 1) | 1ull << (SIGFPE - 1) |
                                1ull << (SIGSEGV - 1) | 1ull << (SIGXCPU - 1) |
                                1ull << (SIGXFSZ - 1) | 1ull << (SIGSYS - 1);

    return set & bit(number);
}

/* Signals that do nothing by default; a stop would be one for ever. */
static bool ignored_by_default(int number)
{
    static const uint64_t set = 1ull << (SIGCHLD - 1) | 1ull << (SIGURG - 1) |
                                1ull << (SIGWINCH - 1) | 1ull << (SIGCONT - 1) |
                                1ull << (SIGSTOP - 1) | 1ull << (SIGTSTP - 1) |
                                1ull << (SIGTTIN - 1) | 1ull << (SIGTTOU - 1);

    return set & bit(number);
}

static void deliver_default(int number)
{
    if (ignored_by_default(number))
        return;
    if (dumps_core(number))
        mf_abort((uint32_t)number);
    mf_exit(128 + number); /* as a shell has it */
}

static void deliver(int number)
{
    struct action *action = &actions[number - 1], taken = *action;
    uint64_t old_mask = blocked;
    siginfo_t info = {.si_signo = number, .si_code = SI_TKILL};
    ucontext_t context;

    if (taken.handler == (void *)SIG_DFL) {
        deliver_default(number);
        return;
    }
    if (taken.handler == (void *)SIG_IGN)
        return;

    memset(&context, 0, sizeof(context));
    memcpy(&context.uc_sigmask, &blocked, sizeof(blocked));
    info.si_pid = MF_PID;
    if (taken.flags & SA_RESETHAND)
        action->handler = (void *)SIG_DFL;
    blocked |= taken.mask & ~UNBLOCKABLE;
    if (!(taken.flags & SA_NODEFER))
        blocked |= bit(number);
    taken.handler(number, &info, &context);
    blocked = old_mask;
}

static void deliver_pending(void)
{
    uint64_t ready;

    while ((ready = pending & ~blocked)) {
        int number = __builtin_ctzll(ready) + 1;

        pending &= ~bit(number);
        deliver(number);
    }
}

long mf_signal_send(int number)
{
    if (number < 0 || number > SIGNALS)
        return -EINVAL;
    if (number) {
        pending |= bit(number);
        deliver_pending();
    }
    return 0;
}

long __mayfly_sys_kill(long pid, long number)
{
    /* 0, -1 and -MF_PID are this process too. */
    if (pid > MF_PID || pid < -MF_PID)
        return -ESRCH;
    return mf_signal_send((int)number);
}

long __mayfly_sys_tkill(long tid, long number)
{
    return tid == MF_PID ? mf_signal_send((int)number) : -ESRCH;
}

long __mayfly_sys_tgkill(long pid, long tid, long number)
{
    return pid == MF_PID ? __mayfly_sys_tkill(tid, number) : -ESRCH;
}

long __mayfly_sys_rt_sigaction(long number, long wanted, long old, long bytes)
{
    struct action *action;

    if (number < 1 || number > SIGNALS || bytes != sizeof(uint64_t) ||
        (wanted && (bit((int)number) & UNBLOCKABLE)))
        return -EINVAL;
    action = &actions[number - 1];
    if (old)
        *(struct action *)old = *action;
    if (wanted)
        *action = *(const struct action *)wanted;
    return 0;
}

long __mayfly_sys_rt_sigprocmask(long how, long wanted, long old, long bytes)
{
    uint64_t before = blocked, set;

    if (bytes != sizeof(uint64_t))
        return -EINVAL;
    if (wanted) {
        set = *(const uint64_t *)wanted;
        switch (how) {
        case SIG_BLOCK:
            blocked |= set;
            break;
        case SIG_UNBLOCK:
            blocked &= ~set;
            break;
        case SIG_SETMASK:
            blocked = set;
            break;
        default:
            return -EINVAL;
        }
        blocked &= ~UNBLOCKABLE;
    }
    if (old)
        *(uint64_t *)old = before;
    deliver_pending();
    return 0;
}

long __mayfly_sys_rt_sigpending(long result, long bytes)
{
    if ((size_t)bytes > sizeof(pending))
        return -EINVAL;
    memcpy((void *)result, &pending, (size_t)bytes);
    return 0;
}

long __mayfly_sys_sigaltstack(long wanted, long old)
{
    stack_t before = alternate_stack;

    if (wanted)
        alternate_stack = *(const stack_t *)wanted;
    if (old)
        *(stack_t *)old = before;
    return 0;
}
