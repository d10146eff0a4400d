/* SPDX-License-Identifier: MIT */
/* The host's signals on their way into the guest. */
#include "vmm/signals.h"

#include <mayfly/abi.h>
#include <signal.h>

#define SIGNALS 64

int signals_init(struct signal_line *line, const struct gmem *mem,
                 struct event_word *events)
{
    void *host;
    int error = gmem_map(mem, gpa(MF_BOOT_PAGE), sizeof(struct mf_boot), &host);

    if (error)
        return error;
    *line = (struct signal_line){.boot = host, .events = events};
    return 0;
}

bool signals_send(struct signal_line *line, int number)
{
    uint64_t bit, untaken;

    if (!line->boot || number < 1 || number > SIGNALS)
        return false;
    bit = UINT64_C(1) << (number - 1);
    if (!(__atomic_load_n(&line->boot->signals_wanted, __ATOMIC_RELAXED) & bit))
        return false;
    untaken = __atomic_load_n(&line->boot->signals_came, __ATOMIC_RELAXED);
    untaken |= atomic_fetch_or(&line->sent, bit);
    return !(untaken & bit) || (number != SIGINT && number != SIGTERM);
}

void signals_serve(struct signal_line *line)
{
    uint64_t sent;

    if (!signals_are_waiting(line))
        return;
    /* Shown before they are not `sent` any more: signals_send() sees one. */
    sent = atomic_load(&line->sent);
    __atomic_fetch_or(&line->boot->signals_came, sent, __ATOMIC_RELEASE);
    atomic_fetch_and(&line->sent, ~sent);
    event_raise(line->events, MF_EVENT_SIGNAL);
}

void signals_forget(struct signal_line *line)
{
    atomic_store(&line->sent, 0);
}
