/* SPDX-License-Identifier: MIT */
/* Signals: what is sent, to whom, and when it arrives. */
#ifndef GUEST_RT_SIGNALS_H
#define GUEST_RT_SIGNALS_H

/*
 * A signal is sent to the process or to one thread and stays pending there
 * until a thread takes it: to run its handler, or because it waits for it
 * (sigwait, signalfd). Handlers run on the thread that takes the signal, as a
 * call from one of three places, all without the runtime's lock:
 *
 *   - the end of a system call: mf_unlock() and mf_due(),
 *   - the end of an upcall that came upon a computing thread: mf_due(), too,
 *   - a fault: signal_fault() (fault.h).
 *
 * Each hands the handler a context as Linux lays it out; what the handler
 * changes there the thread goes on with. A handler may also leave by
 * siglongjmp(): nothing is held while it runs, and the frames are on the stack
 * that it leaves.
 *
 * Default actions happen where the signal is sent or unblocked. A program that
 * installs no handler does not contain the code that calls one.
 *
 * Each thread has a struct thread_signals (thread.h). Sets have bit n - 1 for
 * signal n. What is not said to be otherwise is called with the lock held.
 */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct thread;
struct upcall_frame;

#define SIGNALS 64

/* What nobody can block or handle. */
#define SIGNALS_UNBLOCKABLE (1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1))

static inline uint64_t signal_bit(int number)
{
    return 1ull << (number - 1);
}

/* What a handler is told beside the number: the start of a siginfo_t. */
struct signal_info {
    int32_t number;
    int32_t error;
    int32_t code; /* SI_USER, SI_QUEUE, ... */
    int32_t padding;
    uint64_t words[4]; /* sender, value, address: by the code */
};

/* A pending signal's information. */
struct signal_entry {
    struct signal_entry *next;
    struct signal_info info;
    /*
     * Not NULL: the entry belongs to who sent it, who is told that it is out of
     * the queue, and with `taken` that it is about to be delivered, which may
     * complete the information.
     */
    void (*done)(struct signal_entry *entry, bool taken);
};

/* Where signals are pending: a thread, or the process. */
struct signal_queue {
    uint64_t pending;
    struct signal_entry *first; /* the oldest */
};

/* What a thread has. All zero is a new one's, but for its parent's mask. */
struct thread_signals {
    uint64_t blocked;
    struct signal_queue queue; /* sent to it, and not to the process */
    bool due;                  /* a handler may have to run */
    bool restart;              /* all that ran last have SA_RESTART */
    bool handled;              /* one has run at least */
    bool has_saved_mask;
    uint64_t saved_mask; /* becomes `blocked` once handlers have run */
    uint64_t awaited;    /* what it waits for, and takes though it is blocked */
    uint64_t stack_base; /* the alternate stack, if it has bytes */
    uint64_t stack_bytes;
    uint32_t stack_flags; /* SS_AUTODISARM or 0 */
};

/* ---- For the scheduler -------------------------------------------------- */

/*
 * Whether this thread has a handler to run, so that it does not block, or is
 * to be interrupted where it computes.
 */
bool signal_is_due(const struct thread *thread) __attribute__((weak));

/*
 * Runs the handlers that are due in the running thread: where it was when an
 * upcall came, if it is in one. Without the lock; upcalls may come.
 */
void signal_deliver_due(void) __attribute__((weak));

/* Takes the host's signals, if there are any. */
void signal_host_look(void) __attribute__((weak));

/* Whether a call that this interrupted is made again. */
bool signal_restarts(void) __attribute__((weak));

/* A thread that will not run again, and what was pending for it. */
void signal_thread_end(struct thread *thread) __attribute__((weak));

/* ---- Sending ------------------------------------------------------------ */

/*
 * Sends a signal to a thread, or, without one, to the process. `entry` is NULL,
 * or an entry of the sender's that is in no queue. Returns 0, or -EAGAIN if
 * `info` has to be queued and there is no room.
 */
int signal_send(struct thread *to, const struct signal_info *info,
                struct signal_entry *entry);

/* SIGPIPE, to the running thread. Files call it before they return -EPIPE. */
void signal_pipe(void);

/* ---- Masks and waiting -------------------------------------------------- */

/*
 * For ppoll, pselect6 and epoll_pwait: blocks the signals in the set at
 * `wanted` (0: does nothing) until the system call returns; a handler that then
 * runs is called with that mask still in force. Returns 0, -EINVAL or -EFAULT.
 */
long signal_mask_for_call(long wanted, long bytes) __attribute__((weak));

/*
 * Takes the pending signal of the set that is due first out of the running
 * thread's queue or the process's. Returns its number, or 0.
 */
int signal_take(uint64_t set, struct signal_info *info);

/* What is pending for the running thread, process-wide signals included. */
uint64_t signal_pending(void);

/* Whether one of the set is, for the running thread. */
static inline bool signal_is_any_pending(uint64_t set)
{
    return signal_pending() & set;
}

/* Told about each signal that was sent, if it is not NULL (signal_fd.c). */
extern void (*mf_signal_sent)(void);

/* Fills a siginfo_t, of which the information is the start. */
void signal_fill_info(siginfo_t *to, const struct signal_info *info);

/* ---- Within signal*.c --------------------------------------------------- */

/* The kernel's struct sigaction on x86-64. */
struct signal_action {
    void (*handler)(int, siginfo_t *, void *);
    uint64_t flags;
    void (*restorer)(void);
    uint64_t mask;
};

extern struct signal_action mf_signal_actions[SIGNALS];

/* Whether the signal does nothing when it arrives. */
bool signal_is_ignored(int number);

/* Takes back what is pending for anybody. */
void signal_discard(int number);

/* Whether the running thread has a handler to run, ignored signals aside. */
bool signal_has_handler(void);

/* Whether it is to end at the call that it is in (cancel.c). */
bool signal_is_cancelled(void);

/* The running thread's mask, or an action, has changed. */
void signal_refresh(void);

/* Sets the running thread's mask. */
void signal_set_mask(uint64_t blocked);

/* An entry for what has none of its own, or NULL: there are none left. */
struct signal_entry *signal_entry_get(void);

void signal_entry_put(struct signal_entry *entry);

/* How many there are: RLIMIT_SIGPENDING. */
#define SIGNAL_ENTRIES 1024u

/* The information of a signal that kill or tkill sends. */
struct signal_info signal_info_from_here(int number, int code);

/* Whether the thread's alternate stack is in use by code at this address. */
static inline bool signal_is_on_stack(const struct thread_signals *thread,
                                      uint64_t rsp)
{
    return rsp - 1 - thread->stack_base < thread->stack_bytes &&
           !thread->stack_flags;
}

/* Linux's SS_AUTODISARM */
#define SIGNAL_AUTODISARM (1u << 31)

/* The alternate stack as sigaltstack and contexts have it. */
static inline stack_t signal_stack(const struct thread_signals *thread)
{
    if (!thread->stack_bytes)
        return (stack_t){.ss_flags = SS_DISABLE};
    return (stack_t){
        .ss_sp = (void *)thread->stack_base,
        .ss_flags = (int)thread->stack_flags,
        .ss_size = thread->stack_bytes,
    };
}

static inline void signal_set_stack(struct thread_signals *thread,
                                    const stack_t *stack)
{
    bool none = (unsigned)stack->ss_flags & SS_DISABLE;

    thread->stack_base = none ? 0 : (uint64_t)stack->ss_sp;
    thread->stack_bytes = none ? 0 : stack->ss_size;
    thread->stack_flags = (unsigned)stack->ss_flags & SIGNAL_AUTODISARM;
}

/* The thread with this number, or NULL. */
struct thread *signal_find_thread(int tid);

/* A number that kill may be given: 0 means only to look. */
static inline bool signal_is_sendable(int number)
{
    return number >= 0 && number <= SIGNALS;
}

/*
 * signal_host.c: the signal has an action that is not the default one; somebody
 * waits for signals of the set, or blocks them. From then on those of the host
 * are the guest's.
 */
void signal_host_handle(int number, bool wanted);
void signal_host_await(uint64_t set);

/* Does nothing but link signal_deliver.c, which others name as weak. */
void signal_link_deliver(void);

/*
 * Builds a frame of its caller's registers and calls `body` with it; goes on
 * with what that leaves there (signal_frame.S).
 */
void signal_call_with_frame(void (*body)(struct upcall_frame *frame,
                                         void *vectors));

/*
 * Calls a handler as Linux does, with the floating-point unit as after a reset,
 * on the stack below `stack_top` or, if that is 0, on this one.
 */
void signal_call_handler(int number, siginfo_t *info, void *context,
                         void (*handler)(int, siginfo_t *, void *),
                         uint64_t stack_top);

#endif
