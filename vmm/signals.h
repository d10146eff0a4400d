/* SPDX-License-Identifier: MIT */
/* The host's signals on their way into the guest. */
#ifndef VMM_SIGNALS_H
#define VMM_SIGNALS_H

/*
 * The guest says in its boot page which signals it wants, a signal handler of
 * the process asks whether to pass one on, and the thread that runs the VM
 * shows it to the guest: a bit in the boot page, and an event. What the guest
 * writes there can cost it its own signals and nothing else: a handler only
 * reads it.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio/event.h"
#include "vmm/base/gmem.h"
#include "vmm/base/util.h"

struct mf_boot;

struct signal_line {
    struct mf_boot *boot;      /* in guest memory; NULL: it wants none */
    struct event_word *events; /* the word with MF_EVENT_SIGNAL */
    _Atomic uint64_t sent;     /* and not shown to the guest yet */
};

/*
 * A line for a guest that may want signals. `events` outlives it. Returns 0, or
 * -EFAULT if there is no boot page. All zero is a line for one that does not.
 */
MUST_CHECK int signals_init(struct signal_line *line, const struct gmem *mem,
                            struct event_word *events);

/*
 * Notes signal `number` for the guest. Returns false if that does not want it,
 * or if it is one that ends programs and the same has come before and was not
 * taken. From any thread, and from signal handlers.
 */
bool signals_send(struct signal_line *line, int number);

/* Whether some are not shown to the guest yet. Any thread. */
static inline bool signals_are_waiting(const struct signal_line *line)
{
    return atomic_load_explicit(&line->sent, memory_order_relaxed) != 0;
}

/* The guest for which they came is gone. On the thread that runs the VM. */
void signals_forget(struct signal_line *line);

/* Shows them to the guest. On the thread that runs the VM. */
void signals_serve(struct signal_line *line);

#endif
