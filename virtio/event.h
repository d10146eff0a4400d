/* SPDX-License-Identifier: MIT */
/* The event word: how the monitor tells a guest that something happened. */
#ifndef VIRTIO_EVENT_H
#define VIRTIO_EVENT_H

/*
 * One 64-bit word in the boot page. The monitor sets bits, the guest clears
 * them before it looks at what they announce, and MF_HC_WAIT blocks only while
 * the word is what the guest saw last. The word is the guest's memory: its
 * value is a hint about the guest's wishes and nothing depends on it here.
 *
 * All functions may be called from any thread.
 */

#include <stdatomic.h>

#include "vmm/base/gmem.h"

/* Who has to do something about a raised bit: wake or interrupt the guest. */
struct event_listener {
    void (*raised)(
        struct event_listener *listener); /* on the raiser's thread */
};

struct event_word {
    uint64_t *word;                  /* in guest memory */
    struct event_listener *listener; /* NULL: nobody */
    _Atomic uint64_t held;           /* bits that a device puts off raising */
    atomic_bool awaited;             /* the guest sleeps until there is one */
};

/* Finds the word at `at`. Returns 0, -EINVAL if misaligned, or -EFAULT. */
MUST_CHECK int event_init(struct event_word *events, const struct gmem *mem,
                          gpa_t at);

/* Sets bit `bit` (0 to 63), and tells the listener. */
void event_raise(struct event_word *events, unsigned bit);

/*
 * A device has something to tell and puts it off, to tell more at once. That is
 * for a guest that computes: returns false if it sleeps until it hears
 * something, and then nothing is put off.
 */
MUST_CHECK bool event_hold(struct event_word *events, unsigned bit);

/* It does not put it off any more: it was reset. */
void event_release(struct event_word *events, unsigned bit);

/*
 * The guest is about to sleep. Returns whether a device has put something off:
 * whoever serves that device is to do it now.
 */
MUST_CHECK bool event_await(struct event_word *events);

/* It does not sleep any more. */
void event_stop_waiting(struct event_word *events);

/* Returns the word as it is now. */
uint64_t event_read(const struct event_word *events);

#endif
