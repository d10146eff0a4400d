/* SPDX-License-Identifier: MIT */
/* Upcalls: masking, and calling the handler. */
#include <mayfly/upcall.h>

#include "guest_rt/asm.h"
#include "guest_rt/hypercall.h"

_Static_assert(ASM_BOOT_XCR0 == MF_BOOT_PAGE + offsetof(struct mf_boot, xcr0),
               "asm.h");

/* Called by upcall.S, with upcalls masked. */
void mf_upcall_dispatch(void);

/* Who links this file gets upcall.S too, for which the note asks weakly. */
extern const char mf_upcall_entry[];
static const char *const entry __attribute__((used)) = mf_upcall_entry;

static mf_upcall_handler *current;

/* Takes the raised bits that are armed. */
static uint64_t take_events(struct mf_boot *boot)
{
    uint64_t armed = __atomic_load_n(&boot->upcall_events, __ATOMIC_RELAXED);
    uint64_t before =
        __atomic_fetch_and(&boot->events, ~armed, __ATOMIC_ACQ_REL);

    return before & armed;
}

static bool has_events(const struct mf_boot *boot)
{
    return __atomic_load_n(&boot->events, __ATOMIC_ACQUIRE) &
           __atomic_load_n(&boot->upcall_events, __ATOMIC_RELAXED);
}

void mf_upcall_dispatch(void)
{
    struct mf_boot *boot = mf_boot_page();

    do {
        uint64_t events = take_events(boot);

        if (events)
            current(events);
        /* Partner: the monitor's look at the mask, in upcall_is_due(). */
        __atomic_store_n(&boot->upcall_masked, 0, __ATOMIC_SEQ_CST);
    } while (has_events(boot) && !mf_upcall_mask());
}

bool mf_upcall_mask(void)
{
    return __atomic_exchange_n(&mf_boot_page()->upcall_masked, 1,
                               __ATOMIC_SEQ_CST);
}

void mf_upcall_restore(bool masked)
{
    if (!masked)
        mf_upcall_dispatch();
}

void mf_upcall_arm(mf_upcall_handler *handler, uint64_t events)
{
    bool masked = mf_upcall_mask();

    current = handler;
    __atomic_store_n(&mf_boot_page()->upcall_events, events, __ATOMIC_RELAXED);
    mf_upcall_restore(masked);
}

void mf_upcall_set_timer(uint64_t deadline_ns)
{
    __atomic_store_n(&mf_boot_page()->upcall_deadline_ns, deadline_ns,
                     __ATOMIC_RELAXED);
    if (deadline_ns)
        mf_hypercall(MF_HC_KICK, 0, 0);
}
