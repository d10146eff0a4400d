/* SPDX-License-Identifier: MIT */
/* The event word: how the monitor tells a guest that something happened. */
#include "virtio/event.h"

#include <errno.h>

int event_init(struct event_word *events, const struct gmem *mem, gpa_t at)
{
    void *host;
    int error;

    if (at.raw % sizeof(*events->word) != 0)
        return -EINVAL;
    error = gmem_map(mem, at, sizeof(*events->word), &host);
    if (error)
        return error;
    *events = (struct event_word){.word = host};
    return 0;
}

void event_release(struct event_word *events, unsigned bit)
{
    bug_on(bit >= 64);
    if (atomic_load_explicit(&events->held, memory_order_relaxed))
        atomic_fetch_and(&events->held, ~(UINT64_C(1) << bit));
}

void event_raise(struct event_word *events, unsigned bit)
{
    event_release(events, bit);
    /*
     * Release: the used index that the bit announces is visible first.
     * Partner: the guest's acquire when it clears the bit.
     */
    __atomic_fetch_or(events->word, UINT64_C(1) << bit, __ATOMIC_RELEASE);
    if (events->listener)
        events->listener->raised(events->listener);
}

bool event_hold(struct event_word *events, unsigned bit)
{
    bug_on(bit >= 64);
    /* Partner: event_await(). One of the two sees what the other has set. */
    atomic_fetch_or(&events->held, UINT64_C(1) << bit);
    return !atomic_load(&events->awaited);
}

bool event_await(struct event_word *events)
{
    atomic_store(&events->awaited, true);
    return atomic_load(&events->held) != 0;
}

void event_stop_waiting(struct event_word *events)
{
    atomic_store(&events->awaited, false);
}

uint64_t event_read(const struct event_word *events)
{
    return __atomic_load_n(events->word, __ATOMIC_ACQUIRE);
}
