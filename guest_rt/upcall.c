/* SPDX-License-Identifier: MIT */
/* Upcalls: masking, whose they are, and calling the handler. */
#include "guest_rt/upcall.h"

#include "guest_rt/asm.h"
#include "guest_rt/generation.h"
#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/thread.h"

_Static_assert(ASM_BOOT_XCR0 == MF_BOOT_PAGE + offsetof(struct mf_boot, xcr0),
               "asm.h");

/* Called by upcall.S, with upcalls masked. */
void mf_upcall_enter(struct upcall_frame *frame, void *vectors);

/* Who links this file gets upcall.S too, for which the note asks weakly. */
extern const char mf_upcall_entry[];
static const char *const entry __attribute__((used)) = mf_upcall_entry;

#define TIMER      (UINT64_C(1) << MF_EVENT_TIMER)
#define GENERATION (UINT64_C(1) << MF_EVENT_GENERATION)

/* A deadline counts as reached that much before: clocks are not that exact. */
#define EARLY_NS 20000u

/* Who uses upcalls: the program by <mayfly/upcall.h>, and the scheduler. */
struct user {
    uint64_t events;
    uint64_t deadline_ns; /* 0: none */
};

static struct user program, scheduler;
static mf_upcall_handler *handler;
static uint64_t always; /* watched whatever the scheduler says */
static uint64_t watched_came;

/* ---- The boot page ------------------------------------------------------ */

static void write_events(void)
{
    __atomic_store_n(&mf_boot_page()->upcall_events,
                     program.events | scheduler.events | always,
                     __ATOMIC_RELAXED);
}

/* The earlier one of both deadlines. */
static void write_deadline(void)
{
    uint64_t deadline_ns = program.deadline_ns;

    if (scheduler.deadline_ns &&
        (!deadline_ns || scheduler.deadline_ns < deadline_ns))
        deadline_ns = scheduler.deadline_ns;
    __atomic_store_n(&mf_boot_page()->upcall_deadline_ns, deadline_ns,
                     __ATOMIC_RELAXED);
}

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

/* ---- Delivering --------------------------------------------------------- */

/* A deadline is over. Returns TIMER if it was the program's. */
static uint64_t take_timer(void)
{
    bool reached = program.deadline_ns != 0;

    if (reached && scheduler.deadline_ns)
        reached = mf_clock_monotonic() + EARLY_NS >= program.deadline_ns;
    if (reached)
        program.deadline_ns = 0;
    scheduler.deadline_ns = 0;
    write_deadline();
    return reached ? TIMER : 0;
}

static void deliver(uint64_t events)
{
    uint64_t ours = events & (scheduler.events | always);

    if (events & TIMER && scheduler.events)
        events = (events & ~TIMER) | take_timer();
    if (ours) {
        watched_came |= ours;
        mf_note_due();
    }
    if (events & GENERATION && generation_due)
        generation_due(); /* before anything that is the program's */
    if (events & program.events) {
        /* Nobody else runs in there: it cannot wait for them. */
        mf_lock();
        handler(events & program.events);
        mf_runtime_lock.depth--;
    }
}

static void dispatch(void)
{
    struct mf_boot *boot = mf_boot_page();

    do {
        uint64_t events = take_events(boot);

        if (events)
            deliver(events);
        /* Partner: the monitor's look at the mask, in upcall_is_due(). */
        __atomic_store_n(&boot->upcall_masked, 0, __ATOMIC_SEQ_CST);
    } while (has_events(boot) && !mf_upcall_mask());
    if (mf_runtime_lock.due && mf_runtime_lock.depth == 0)
        mf_due();
}

void mf_upcall_enter(struct upcall_frame *frame, void *vectors)
{
    struct thread *self = thread_current;
    struct upcall_frame *outer = self->frame;

    self->frame = frame;
    self->vectors = vectors;
    dispatch();
    self->frame = outer;
}

/* ---- The program's ------------------------------------------------------ */

bool mf_upcall_mask(void)
{
    return __atomic_exchange_n(&mf_boot_page()->upcall_masked, 1,
                               __ATOMIC_SEQ_CST);
}

void mf_upcall_restore(bool masked)
{
    if (!masked)
        dispatch();
}

void mf_upcall_arm(mf_upcall_handler *wanted, uint64_t events)
{
    bool masked = mf_upcall_mask();

    handler = wanted;
    program.events = events;
    write_events();
    mf_upcall_restore(masked);
}

void mf_upcall_set_timer(uint64_t deadline_ns)
{
    program.deadline_ns = deadline_ns;
    write_deadline();
    if (deadline_ns)
        mf_hypercall(MF_HC_KICK, 0, 0);
}

/* ---- The scheduler's ---------------------------------------------------- */

void upcall_watch(uint64_t events)
{
    events |= TIMER;
    if (scheduler.events == events)
        return;
    scheduler.events = events;
    write_events();
}

void upcall_watch_always(uint64_t events)
{
    always |= events;
    write_events();
}

void upcall_set_slice(uint64_t deadline_ns, bool exact)
{
    scheduler.deadline_ns = deadline_ns;
    if (!(scheduler.events & TIMER))
        upcall_watch(scheduler.events);
    write_deadline();
    if (exact)
        mf_hypercall(MF_HC_KICK, 0, 0);
}

uint64_t upcall_take_watched(void)
{
    /* In one instruction: an upcall may come between two. */
    return __atomic_exchange_n(&watched_came, 0, __ATOMIC_RELAXED);
}
