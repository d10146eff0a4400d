/* SPDX-License-Identifier: MIT */
/* Where work comes from: devices and timers, looked at, armed, slept on. */
#include "guest_rt/sched_private.h"

#include <errno.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/poll.h"
#include "guest_rt/runtime.h"
#include "guest_rt/sched_timer.h"
#include "guest_rt/upcall.h"

/*
 * While all threads are blocked, the one that blocked last is in sched_idle():
 * it looks at the sources for a while (poll.h), then asks for events and sleeps
 * in the monitor.
 *
 * While a thread runs, sources are looked at in passing, when threads switch. A
 * thread that computes is interrupted for them: the upcall's deadline is never
 * further away than SCHED_SLICE_NS while there are sources, and the first
 * upcall asks for events (source_arm()), which then interrupt it at once. A
 * thread of which it is known that it computes has them asked for from the
 * start. To ask always would cost an interruption for each completion while
 * threads run for microseconds; those find it by looking.
 */

/* Between two looks in passing. */
#define LOOK_NS 20000u

/* A deadline that the monitor sees by itself is this far away. */
#define TICK_NS 10000000u

/*
 * From one interruption of a thread that computes to the next one for a timer.
 * To tell the monitor of it and to be interrupted takes some 70 us: sleeps that
 * are no longer than that would leave that thread nothing at all.
 */
#define LEFT_ALONE_NS 200000u

/* What one of these takes at most; when it is longer, the host is busy. */
#define KICK_NS_MAX 1000000u

static struct source *sources;
static struct source *cursor;  /* the next to be looked at */
static uint64_t source_events; /* of all sources */
static unsigned asked_count;   /* sources that are not quiet */
static bool looking, idle;
static uint64_t looked_ns; /* when all were looked at last */
static uint64_t slice_ns;  /* the upcall's deadline as it was set; 0: none */
static uint64_t kicked_ns; /* the last one that a kick was made for */
static uint64_t kick_ns;   /* what a kick takes, on average */
static uint64_t interrupted_ns; /* when an upcall came last */
static struct poll idle_poll;

/* ---- Sources ------------------------------------------------------------ */

void source_add(struct source *source)
{
    source->armed = false;
    source->next = sources;
    source->link = &sources;
    if (sources)
        sources->link = &source->next;
    sources = source;
    source_events |= source->event;
    asked_count += !source->quiet;
}

void source_remove(struct source *source)
{
    if (!source->link)
        return;
    if (cursor == source)
        cursor = source->next;
    asked_count -= !source->quiet;
    *source->link = source->next;
    if (source->next)
        source->next->link = source->link;
    source->link = NULL;
    source_events = 0;
    for (source = sources; source; source = source->next)
        source_events |= source->event;
}

bool source_is_any(void)
{
    return sources || timer_next_ns() != WAIT_NO_END;
}

static void serve(struct source *source)
{
    source->armed = false;
    source->serve(source);
}

void source_look(uint64_t now_ns)
{
    if (looking)
        return;
    looking = true;
    looked_ns = now_ns;
    timer_fire_until(now_ns);
    for (struct source *source = sources; source; source = cursor) {
        cursor = source->next;
        if (source->ready(source))
            serve(source);
    }
    looking = false;
}

void source_look_sometimes(uint64_t now_ns)
{
    if (now_ns - looked_ns >= LOOK_NS || timer_next_ns() <= now_ns)
        source_look(now_ns);
}

bool source_is_looking(void)
{
    return looking;
}

void source_poll(void)
{
    source_look(mf_clock_monotonic());
}

bool source_begin_exit(void)
{
    static bool inside;

    /* Whoever was looking, or idle, does not go on. */
    inside |= looking || idle;
    looking = idle = false;
    return inside;
}

/* Asks for events. Serves what is there already; returns whether any was. */
static bool arm_all(void)
{
    bool found = false;

    looking = true;
    for (struct source *source = sources; source; source = cursor) {
        cursor = source->next;
        if (source->armed)
            continue;
        source->armed = true;
        if (source->arm(source)) {
            found = true;
            serve(source);
        }
    }
    looking = false;
    return found;
}

/* Those whose event has come have to be asked again. */
static void disarm(uint64_t events)
{
    if (!events)
        return;
    for (struct source *source = sources; source; source = source->next)
        if (source->event & events)
            source->armed = false;
}

bool source_arm(void)
{
    if (!sources)
        return false;
    upcall_watch(source_events);
    return arm_all();
}

bool source_begin_due(uint64_t now_ns)
{
    uint64_t came = upcall_take_watched();

    if (!came)
        return false;
    slice_ns = 0; /* the monitor may have cleared it */
    interrupted_ns = now_ns;
    disarm(came);
    return true;
}

/* ---- Interrupting the running thread ------------------------------------ */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* When a thread that computes may be interrupted again. */
static uint64_t left_alone_until(void)
{
    return interrupted_ns + max_u64(LEFT_ALONE_NS, 3 * kick_ns);
}

/* Tells the monitor of it now, and notes what that takes on this host. */
static void set_slice_exactly(uint64_t at_ns, uint64_t now_ns)
{
    uint64_t took_ns;

    kicked_ns = at_ns;
    upcall_set_slice(at_ns, true);
    took_ns = min_u64(mf_clock_monotonic() - now_ns, KICK_NS_MAX);
    kick_ns = (3 * kick_ns + took_ns) / 4;
}

/* Sets the upcall's deadline to what it ought to be. */
static void set_slice(const struct thread *running, uint64_t now_ns)
{
    bool computes = sched_computes(running), exact = false;
    uint64_t timer_ns = timer_next_ns(), at_ns;

    if (computes)
        timer_ns = max_u64(timer_ns, left_alone_until());
    at_ns = timer_ns;
    if (sched_has_ready())
        at_ns = min_u64(at_ns, sched_slice_end_ns());
    if (asked_count > 0)
        at_ns = min_u64(at_ns, now_ns + TICK_NS);
    if (at_ns == WAIT_NO_END)
        at_ns = 0;
    /* A near timer is kept if the running thread will not look by itself. */
    if (at_ns == timer_ns && at_ns != kicked_ns && at_ns < now_ns + TICK_NS &&
        computes)
        exact = true;
    if (at_ns == slice_ns && !exact)
        return;
    slice_ns = at_ns;
    if (exact)
        set_slice_exactly(at_ns, now_ns);
    else
        upcall_set_slice(at_ns, false);
}

bool source_watch(const struct thread *thread, uint64_t now_ns)
{
    bool found = sources && sched_computes(thread) && source_arm();

    set_slice(thread, now_ns);
    return found;
}

void source_note_ready(void)
{
    if (!idle && (slice_ns == 0 || slice_ns > sched_slice_end_ns())) {
        slice_ns = sched_slice_end_ns();
        upcall_set_slice(slice_ns, false);
    }
}

void source_keep_slice(void)
{
    uint64_t at_ns = sched_slice_end_ns();

    if (slice_ns)
        at_ns = min_u64(at_ns, slice_ns);
    if (at_ns == slice_ns && at_ns == kicked_ns)
        return;
    slice_ns = kicked_ns = at_ns;
    upcall_set_slice(at_ns, true);
}

void timer_root_changed(void)
{
    if (!idle && (slice_ns == 0 || slice_ns > timer_next_ns()))
        set_slice(thread_current, mf_clock_monotonic());
}

/* ---- Nobody can run ----------------------------------------------------- */

static bool is_due(void *context)
{
    (void)context;
    for (struct source *source = sources; source; source = source->next)
        if (source->ready(source))
            return true;
    return timer_next_ns() != WAIT_NO_END &&
           timer_next_ns() <= mf_clock_monotonic();
}

/* Sleeps until there may be work. poll_wait() says why nothing is lost. */
static void sleep_for_work(void)
{
    uint64_t until_ns = mf_sleep_deadline(timer_next_ns());
    uint64_t *events = &mf_boot_page()->events;
    uint64_t seen;

    if (sched_has_ready())
        return;
    seen = __atomic_and_fetch(events, ~source_events, __ATOMIC_ACQ_REL);
    disarm(~UINT64_C(0));
    if (arm_all())
        return;
    mf_hypercall(MF_HC_WAIT, seen, until_ns);
}

struct thread *sched_idle(void)
{
    bool masked = mf_upcall_mask();
    struct thread *next;

    idle = true;
    slice_ns = 0;
    upcall_set_slice(0, false);
    upcall_watch(0);
    for (;;) {
        source_look(mf_clock_monotonic());
        next = sched_take_ready();
        if (next)
            break;
        if (asked_count > 0 && poll_spin(&idle_poll, is_due, NULL))
            continue;
        sleep_for_work();
        if (asked_count > 0)
            poll_woke(&idle_poll);
    }
    idle = false;
    mf_upcall_restore(masked);
    return next;
}

/* ---- Drivers that wait -------------------------------------------------- */

struct poll_source {
    struct source source;
    struct thread *thread;
    bool (*ready)(void *context);
    bool (*arm)(void *context);
    void *context;
    bool found;
};

static bool poll_source_ready(struct source *source)
{
    const struct poll_source *self = (struct poll_source *)source;

    return !self->found && self->ready(self->context);
}

static bool poll_source_arm(struct source *source)
{
    const struct poll_source *self = (struct poll_source *)source;

    return !self->found && self->arm(self->context);
}

static void poll_source_serve(struct source *source)
{
    struct poll_source *self = (struct poll_source *)source;

    self->found = true;
    sched_wake(self->thread);
}

bool sched_poll_wait(uint64_t event, bool (*ready)(void *context),
                     bool (*arm)(void *context), void *context,
                     uint64_t deadline_ns)
{
    struct poll_source self = {
        .source = {.event = event,
                   .ready = poll_source_ready,
                   .arm = poll_source_arm,
                   .serve = poll_source_serve},
        .thread = thread_current,
        .ready = ready,
        .arm = arm,
        .context = context,
    };

    bool found;

    if (ready(context))
        return true;
    mf_lock();
    source_add(&self.source);
    while (!self.found && sched_block_uninterrupted(deadline_ns) != -ETIMEDOUT)
        continue;
    source_remove(&self.source);
    found = self.found || ready(context);
    mf_unlock();
    return found;
}

int sched_wait_for_device(const struct device *device, struct ring *ring)
{
    struct poll unused = {0};

    return poll_ring(&unused, device, ring);
}
