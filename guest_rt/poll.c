/* SPDX-License-Identifier: MIT */
/* Waiting: look at shared memory for a while, then sleep. */
#include "poll.h"

#include <errno.h>

#include "hypercall.h"
#include "thread.h"

bool poll_alone;

/* ---- Looking ------------------------------------------------------------ */

/* Nanoseconds in ticks; 0 where the TSC's rate is not known. */
static uint64_t ticks_from_ns(uint64_t ns)
{
    uint32_t khz =
        __atomic_load_n(&mf_boot_page()->clock.tsc_khz, __ATOMIC_RELAXED);

    return (uint64_t)((unsigned __int128)ns * khz / 1000000u);
}

static uint64_t limit_of(const struct poll *poll)
{
    if (poll->halvings > POLL_HALVINGS_MAX)
        return 0;
    return poll->most >> poll->halvings;
}

static void lengthen(struct poll *poll)
{
    if (poll->halvings > 0)
        poll->halvings--;
}

static void shorten(struct poll *poll)
{
    if (poll->halvings <= POLL_HALVINGS_MAX)
        poll->halvings++;
}

bool poll_spin(struct poll *poll, bool (*ready)(void *context), void *context)
{
    uint64_t most_ns =
        __atomic_load_n(&mf_boot_page()->poll_ns, __ATOMIC_RELAXED);

    poll->most = 0;
    /* Most answers are there already: these cost one look and no clock. */
    if (ready(context))
        return true;
    if (most_ns == 0)
        return false;
    poll->most = ticks_from_ns(most_ns);
    poll->start = mf_tsc();
    for (uint64_t limit = limit_of(poll); mf_tsc() - poll->start < limit;) {
        __builtin_ia32_pause();
        if (ready(context)) {
            lengthen(poll);
            return true;
        }
    }
    return false;
}

void poll_woke(struct poll *poll)
{
    if (poll->most == 0)
        return; /* nothing is to be learnt while looking is off */
    if (mf_tsc() - poll->start < 2 * poll->most)
        lengthen(poll);
    else
        shorten(poll);
}

/* ---- Sleeping ----------------------------------------------------------- */

/* Sleeps until `arm` finds work or the deadline is over. Returns which. */
static bool sleep_for_work(uint64_t event, bool (*arm)(void *context),
                           void *context, uint64_t deadline_ns)
{
    uint64_t *events = &mf_boot_page()->events;

    for (;;) {
        uint64_t until_ns = mf_sleep_deadline(deadline_ns);
        /* Partner: event_raise(). See poll_wait() for why nothing is lost. */
        uint64_t seen = __atomic_and_fetch(events, ~event, __ATOMIC_ACQ_REL);

        if (arm(context))
            return true;
        /* An unchanged word means that only the time was waited for. */
        if ((uint64_t)mf_hypercall(MF_HC_WAIT, seen, until_ns) == seen &&
            until_ns == deadline_ns && deadline_ns != MF_WAIT_FOREVER)
            return arm(context);
    }
}

bool poll_wait(struct poll *poll, uint64_t event, bool (*ready)(void *context),
               bool (*arm)(void *context), void *context, uint64_t deadline_ns)
{
    bool found;

    if (sched_poll_wait && !poll_alone)
        return sched_poll_wait(event, ready, arm, context, deadline_ns);
    found = poll_spin(poll, ready, context);
    if (!found) {
        found = sleep_for_work(event, arm, context, deadline_ns);
        poll_woke(poll);
    }
    return found;
}

/* ---- One ring ----------------------------------------------------------- */

struct ring_wait {
    const struct device *device;
    struct ring *ring;
    uint16_t reaped; /* when the wait began: others may take chains, too */
};

static bool ring_is_ready(void *context)
{
    const struct ring_wait *wait = context;

    return ring_has_used(wait->ring) || wait->ring->reaped != wait->reaped;
}

/* Whether the device has given up is not looked at in between: it may exit. */
static bool arm_ring(void *context)
{
    const struct ring_wait *wait = context;

    return ring_want_event(wait->ring) || ring_is_ready(context) ||
           device_is_broken(wait->device);
}

int poll_ring(struct poll *poll, const struct device *device, struct ring *ring)
{
    struct ring_wait wait = {device, ring, ring->reaped};

    poll_wait(poll, device_event(device), ring_is_ready, arm_ring, &wait,
              MF_WAIT_FOREVER);
    ring_refuse_event(ring);
    return ring_is_ready(&wait) ? 0 : -EIO;
}
