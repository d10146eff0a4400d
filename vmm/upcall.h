/* SPDX-License-Identifier: MIT */
/* The upcall line: which events interrupt a computing guest, and when. */
#ifndef VMM_UPCALL_H
#define VMM_UPCALL_H

/*
 * The guest arms, masks and sets a deadline in its boot page; devices and the
 * deadline raise bits of the event word there. This module reads those hints,
 * each once, and says whether an upcall is due now. Delivering it is the
 * vCPU's business. What the guest writes can cost it its own upcalls, or one
 * at each stop of its vCPU, and nothing else.
 *
 * Belongs to the thread that runs the VM, but for upcall_due(): any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "virtio/event.h"
#include "vmm/base/gmem.h"
#include "vmm/base/util.h"

struct mf_boot;

struct upcall_line {
    struct mf_boot *boot;      /* in guest memory */
    struct event_word *events; /* the word that the bits are in */
    uint64_t entry;            /* the handler, from the image; 0: none */
};

/*
 * `entry` is the image's handler or 0. `events` outlives the line. Returns 0,
 * or -EFAULT if there is no boot page.
 */
MUST_CHECK int upcall_init(struct upcall_line *line, const struct gmem *mem,
                           struct event_word *events, uint64_t entry);

/* When the guest wants its timer event: guest monotonic time; 0: never. */
uint64_t upcall_deadline(const struct upcall_line *line);

/*
 * Raises the timer event if its deadline is not after `now_ns` (guest monotonic
 * time). Waits see it too; it needs no handler.
 */
void upcall_check_timer(struct upcall_line *line, uint64_t now_ns);

/*
 * The events for which an upcall is due: armed and raised, while upcalls are
 * not masked and there is a handler.
 */
uint64_t upcall_due(const struct upcall_line *line);

/* The events that shall cause an upcall, masked or not; 0 without a handler. */
uint64_t upcall_armed(const struct upcall_line *line);

/* Masks upcalls: one is being delivered. */
void upcall_begin(struct upcall_line *line);

#endif
