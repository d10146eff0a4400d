/* SPDX-License-Identifier: MIT */
/* Signals: sending, pending, default actions. */
#include "signals.h"

#include <errno.h>
#include <string.h>

#include "runtime.h"
#include "thread.h"

struct signal_action mf_signal_actions[SIGNALS];

/* Signals to the process that no thread has taken yet. */
static struct signal_queue process;

void (*mf_signal_sent)(void);

/* ---- Actions ------------------------------------------------------------ */

/* Signals that Linux writes a core dump for: here they are crash reports. */
static bool dumps_core(int number)
{
    static const uint64_t set = 1ull << (SIGQUIT - 1) | 1ull << (SIGILL - 1) |
                                1ull << (SIGTRAP - 1) | 1ull << (SIGABRT - 1) |
                                1ull << (SIGBUS - 1) | 1ull << (SIGFPE - 1) |
                                1ull << (SIGSEGV - 1) | 1ull << (SIGXCPU - 1) |
                                1ull << (SIGXFSZ - 1) | 1ull << (SIGSYS - 1);

    return set & signal_bit(number);
}

/* Signals that do nothing by default; a stop would be one for ever. */
static bool ignored_by_default(int number)
{
    static const uint64_t set = 1ull << (SIGCHLD - 1) | 1ull << (SIGURG - 1) |
                                1ull << (SIGWINCH - 1) | 1ull << (SIGCONT - 1) |
                                1ull << (SIGSTOP - 1) | 1ull << (SIGTSTP - 1) |
                                1ull << (SIGTTIN - 1) | 1ull << (SIGTTOU - 1);

    return set & signal_bit(number);
}

static bool has_default(int number)
{
    return mf_signal_actions[number - 1].handler == (void *)SIG_DFL;
}

bool signal_is_ignored(int number)
{
    return has_default(number)
               ? ignored_by_default(number)
               : mf_signal_actions[number - 1].handler == (void *)SIG_IGN;
}

/* The default action of a signal that is not ignored. */
static _Noreturn void end_by(int number)
{
    if (dumps_core(number))
        mf_abort((uint32_t)number);
    mf_exit(128 + number); /* as a shell has it */
}

/* ---- Queues ------------------------------------------------------------- */

/* The link to the oldest entry of this signal, or to the end. */
static struct signal_entry **find_entry(struct signal_entry **link, int number)
{
    while (*link && (*link)->info.number != number)
        link = &(*link)->next;
    return link;
}

/* Takes one signal out of a queue. */
static void dequeue(struct signal_queue *queue, int number,
                    struct signal_info *info, bool taken)
{
    struct signal_entry **link = find_entry(&queue->first, number);
    struct signal_entry *entry = *link;

    *info = (struct signal_info){.number = number, .code = SI_USER};
    if (entry) {
        *link = entry->next;
        if (entry->done)
            entry->done(entry, taken);
        *info = entry->info;
        if (!entry->done)
            signal_entry_put(entry);
    }
    if (!*find_entry(&queue->first, number))
        queue->pending &= ~signal_bit(number);
}

static void discard_from(struct signal_queue *queue, int number)
{
    struct signal_info unused;

    while (queue->pending & signal_bit(number))
        dequeue(queue, number, &unused, false);
}

void signal_discard(int number)
{
    struct thread *each = &thread_main;

    discard_from(&process, number);
    do
        discard_from(&each->signals.queue, number);
    while ((each = each->next) != &thread_main);
}

uint64_t signal_pending(void)
{
    return thread_current->signals.queue.pending | process.pending;
}

/* Faults first, as on Linux; then the lowest number. */
static int first_of(uint64_t set)
{
    static const uint64_t faults =
        1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGILL - 1) |
        1ull << (SIGTRAP - 1) | 1ull << (SIGFPE - 1) | 1ull << (SIGSYS - 1);

    if (set & faults)
        set &= faults;
    return set ? __builtin_ctzll(set) + 1 : 0;
}

int signal_take(uint64_t set, struct signal_info *info)
{
    struct signal_queue *queue = &thread_current->signals.queue;
    int number = first_of(queue->pending & set);

    if (!number) {
        queue = &process;
        number = first_of(queue->pending & set);
    }
    if (number)
        dequeue(queue, number, info, true);
    return number;
}

/* ---- Who gets it -------------------------------------------------------- */

struct thread *signal_find_thread(int tid)
{
    if (thread_find)
        return thread_find(tid);
    return tid == MF_PID ? &thread_main : NULL;
}

static bool wants(const struct thread *thread, int number)
{
    return (~thread->signals.blocked | thread->signals.awaited) &
           signal_bit(number);
}

/* Whom a signal to the process interrupts: main if it can, as on Linux. */
static struct thread *choose(int number)
{
    struct thread *each = &thread_main;

    do
        if (wants(each, number))
            return each;
    while ((each = each->next) != &thread_main);
    return NULL;
}

/* Makes a thread look at its signals as soon as it can. */
static void tell(struct thread *thread)
{
    thread->signals.due = true;
    if (sched_interrupt)
        sched_interrupt(thread);
    else
        mf_runtime_lock.due = true;
}

/* Tells others of what is pending for the process and was told to a thread. */
static void tell_others(uint64_t set)
{
    for (set &= process.pending; set; set &= set - 1) {
        struct thread *thread = choose(__builtin_ctzll(set) + 1);

        if (thread)
            tell(thread);
    }
}

/* ---- Sending ------------------------------------------------------------ */

static int enqueue(struct signal_queue *queue, const struct signal_info *info,
                   struct signal_entry *entry)
{
    struct signal_entry **link = &queue->first;

    /* Signals that are not for real time are pending once. */
    if (info->number < 32 && queue->pending & signal_bit(info->number)) {
        if (entry)
            entry->done(entry, false);
        return 0;
    }
    if (!entry)
        entry = signal_entry_get();
    if (entry) {
        entry->next = NULL;
        entry->info = *info;
        while (*link)
            link = &(*link)->next;
        *link = entry;
    } else if (info->number >= 32 && info->code != SI_USER) {
        return -EAGAIN;
    }
    queue->pending |= signal_bit(info->number);
    return 0;
}

int signal_send(struct thread *to, const struct signal_info *info,
                struct signal_entry *entry)
{
    int number = info->number, error;
    struct thread *thread = to ? to : choose(number);
    bool arrives = thread && wants(thread, number) &&
                   !(thread->signals.awaited & signal_bit(number));

    if (arrives && signal_is_ignored(number)) {
        if (entry)
            entry->done(entry, false);
        return 0;
    }
    if (arrives && has_default(number))
        end_by(number);
    error = enqueue(to ? &to->signals.queue : &process, info, entry);
    if (error)
        return error;
    if (thread && wants(thread, number))
        tell(thread);
    if (mf_signal_sent)
        mf_signal_sent();
    return 0;
}

/* ---- Masks -------------------------------------------------------------- */

bool signal_is_cancelled(void)
{
    return thread_current->cancel && *thread_current->cancel;
}

bool signal_has_handler(void)
{
    return signal_pending() & ~thread_current->signals.blocked;
}

void signal_refresh(void)
{
    struct thread_signals *self = &thread_current->signals;
    uint64_t ready = signal_pending() & ~self->blocked;

    for (uint64_t left = ready; left; left &= left - 1) {
        int number = first_of(left & -left);

        if (signal_is_ignored(number))
            signal_discard(number);
        else if (has_default(number))
            end_by(number);
    }
    self->due = signal_has_handler();
    if (self->due || self->has_saved_mask)
        mf_runtime_lock.due = true;
}

void signal_set_mask(uint64_t blocked)
{
    struct thread_signals *self = &thread_current->signals;
    uint64_t before = self->blocked;
    uint64_t closed = signal_pending();

    self->blocked = blocked & ~SIGNALS_UNBLOCKABLE;
    closed &= self->blocked & ~before;
    signal_refresh();
    /* What this thread would have taken is another one's now. */
    tell_others(closed);
}

/* ---- Threads ------------------------------------------------------------ */

bool signal_is_due(const struct thread *thread)
{
    return thread->signals.due;
}

void signal_thread_end(struct thread *thread)
{
    struct thread_signals *signals = &thread->signals;

    for (int number = 1; number <= SIGNALS; number++)
        discard_from(&signals->queue, number);
    signals->blocked = ~0ull;
    signals->awaited = 0;
    signals->due = false;
    tell_others(~0ull);
}
