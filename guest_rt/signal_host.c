/* SPDX-License-Identifier: MIT */
/* Signals that the monitor's process got and passes on. */
#include "hypercall.h"
#include "signals.h"
#include "thread.h"
#include "upcall.h"

#define EVENT (UINT64_C(1) << MF_EVENT_SIGNAL)

/* Makes the image's note ask for signals (mayfly.ld). */
__asm__(".globl mf_needs_signals\n.set mf_needs_signals, 1");

void source_add(struct source *source) __attribute__((weak));

/*
 * A signal stays in signals_came until a thread takes it, so that the monitor
 * knows who does not listen. Until then its entry is queued.
 */
#define NUMBERS 32

static struct signal_entry entries[NUMBERS];
static uint64_t queued;

static uint64_t handled; /* signals that have an action other than default */
static uint64_t awaited; /* that were ever waited for, or blocked */

static void note_done(struct signal_entry *entry, bool taken)
{
    uint64_t bit = UINT64_C(1) << (entry - entries);

    (void)taken;
    queued &= ~bit;
    __atomic_fetch_and(&mf_boot_page()->signals_came, ~bit, __ATOMIC_RELEASE);
}

static uint64_t fresh(void)
{
    return __atomic_load_n(&mf_boot_page()->signals_came, __ATOMIC_ACQUIRE) &
           UINT32_MAX & ~queued;
}

static bool is_ready(struct source *source)
{
    (void)source;
    return fresh();
}

static void serve(struct source *source)
{
    (void)source;
    for (uint64_t left = fresh(); left; left &= left - 1) {
        unsigned index = (unsigned)__builtin_ctzll(left);
        struct signal_info info = {
            .number = (int)index + 1,
            .code = SI_USER, /* by process 0, which is none of this VM's */
        };

        queued |= UINT64_C(1) << index;
        entries[index].done = note_done;
        signal_send(NULL, &info, &entries[index]);
    }
}

static struct source host = {
    .event = EVENT,
    .quiet = true,
    .ready = is_ready,
    .arm = is_ready,
    .serve = serve,
};

void signal_host_look(void)
{
    if (is_ready(&host))
        serve(&host);
}

static void tell_monitor(void)
{
    static bool listening;

    if (!listening) {
        listening = true;
        upcall_watch_always(EVENT);
        if (source_add)
            source_add(&host);
    }
    __atomic_store_n(&mf_boot_page()->signals_wanted, handled | awaited,
                     __ATOMIC_RELAXED);
}

void signal_host_handle(int number, bool wanted)
{
    uint64_t before = handled;

    handled =
        wanted ? handled | signal_bit(number) : handled & ~signal_bit(number);
    if (handled != before)
        tell_monitor();
}

void signal_host_await(uint64_t set)
{
    if (~awaited & set) {
        awaited |= set;
        tell_monitor();
    }
}
