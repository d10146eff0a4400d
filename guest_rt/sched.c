/* SPDX-License-Identifier: MIT */
/* The scheduler: who runs, for how long, and who waits. */
#include "guest_rt/sched_private.h"

#include <errno.h>

#include "guest_rt/hypercall.h"
#include "guest_rt/runtime.h"
#include "guest_rt/sched_timer.h"
#include "guest_rt/upcall.h"

/*
 * Threads that can run are in one of two queues, both first in, first out:
 *
 *   woken  has blocked before its slice was used up; runs first
 *   rounds has used its slice up, or has not begun
 *
 * A slice is given at the head of `rounds` and lasts, over any number of
 * blocks, until it is used up. So a thread that waits for devices runs as soon
 * as it can, but between two of its slices everybody in `rounds` has one.
 *
 * A thread that is preempted is somewhere in its upcall, with what it still has
 * of its slice: it goes to the head of `rounds`.
 *
 * So does one that computes when it wakes another, at the end of its call: that
 * one would wait for the next upcall otherwise, 10 ms perhaps. (Who does not
 * compute will block soon, and one switch is enough then.) It goes on for
 * WAKE_NS, exactly, if the other one is known to compute, too, and would keep
 * the processor while the first may be about to wait.
 */

#define WAKE_NS 1000000u

/*
 * It does so once in so much of its own time, 40 times what that costs; and so
 * often at once, since a condition variable and its mutex take several. Who is
 * answered meanwhile, time and again, would never block and seem to compute on.
 */
#define GIVE_WAY_NS      20000u
#define GIVE_WAY_AT_ONCE 64u

struct queue {
    struct thread *first, *last;
};

static struct queue woken, rounds;
static uint64_t run_since_ns; /* the running thread is accounted up to here */
static uint64_t slice_end_ns; /* of the running thread */
static uint64_t dead_ns;      /* what those that have ended have run */
static struct thread *dead;   /* the one whose stack may be in use still */
static struct thread *giver;  /* the one that is to give way; NULL: none */

/* Who links this has mf_due(), which others refer to weakly. */
static void (*const due)(void) __attribute__((used)) = mf_note_due;

/* ---- Queues ------------------------------------------------------------- */

static void push(struct queue *queue, struct thread *thread)
{
    thread->state = THREAD_READY;
    thread->queue_next = NULL;
    if (queue->first)
        queue->last->queue_next = thread;
    else
        queue->first = thread;
    queue->last = thread;
}

static void push_first(struct queue *queue, struct thread *thread)
{
    thread->state = THREAD_READY;
    thread->queue_next = queue->first;
    if (!queue->first)
        queue->last = thread;
    queue->first = thread;
}

static struct thread *pop(struct queue *queue)
{
    struct thread *thread = queue->first;

    if (thread)
        queue->first = thread->queue_next;
    return thread;
}

bool sched_has_ready(void)
{
    return woken.first || rounds.first;
}

/* Takes the one whose turn it is, or NULL. */
struct thread *sched_take_ready(void)
{
    struct thread *thread = pop(&woken);

    if (!thread) {
        thread = pop(&rounds);
        if (thread && thread->slice_ns == 0)
            thread->slice_ns = SCHED_SLICE_NS;
    }
    return thread;
}

/* ---- Time --------------------------------------------------------------- */

/* Charges the running thread for what it has run. */
static void account(uint64_t now_ns)
{
    struct thread *self = thread_current;
    uint64_t ran_ns = now_ns - run_since_ns;

    run_since_ns = now_ns;
    self->run_ns += ran_ns;
    self->burst_ns += ran_ns;
    self->slice_ns -= ran_ns < self->slice_ns ? ran_ns : self->slice_ns;
}

/*
 * It blocks: how long has it run since it did so last? A run that is far longer
 * than the others counts for little: the host may have had other things to do.
 */
static void end_burst(struct thread *self)
{
    uint64_t burst_ns = self->burst_ns;

    if (burst_ns > 2 * SCHED_BURST_NS)
        burst_ns = 2 * SCHED_BURST_NS;
    self->burst_average_ns = (3 * self->burst_average_ns + burst_ns) / 4;
    self->burst_ns = 0;
}

/* Whether it is expected to run for long before it blocks. */
bool sched_computes(const struct thread *thread)
{
    return thread->burst_ns > SCHED_BURST_NS ||
           thread->burst_average_ns > SCHED_BURST_NS;
}

uint64_t sched_slice_end_ns(void)
{
    return slice_end_ns ? slice_end_ns : 1; /* 0 is not a deadline */
}

uint64_t sched_run_ns(const struct thread *thread)
{
    uint64_t ran_ns = thread->run_ns;

    if (thread == thread_current)
        ran_ns += mf_clock_monotonic() - run_since_ns;
    return ran_ns;
}

uint64_t sched_process_ns(void)
{
    uint64_t ran_ns = dead_ns;
    const struct thread *thread = &thread_main;

    do
        ran_ns += sched_run_ns(thread);
    while ((thread = thread->next) != &thread_main);
    return ran_ns;
}

/* ---- Switching ---------------------------------------------------------- */

/* After a switch, on the stack of the thread that runs now. */
static void finish_switch(void)
{
    struct thread *gone = dead;

    if (gone && gone != thread_current) {
        dead = NULL;
        if (gone != &thread_main)
            dead_ns += gone->run_ns;
        thread_free(gone);
    }
    if (signal_is_due && signal_is_due(thread_current))
        mf_note_due();
}

static uint64_t read_fs_base(void)
{
    uint64_t base;

    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

static uint64_t read_gs_base(void)
{
    uint64_t base;

    __asm__ volatile("rdgsbase %0" : "=r"(base));
    return base;
}

static void switch_to(struct thread *next)
{
    struct thread *self = thread_current;

    self->fs_base = read_fs_base();
    self->gs_base = read_gs_base();
    self->lock_depth = mf_runtime_lock.depth;
    thread_current = next;
    mf_runtime_lock.depth = next->lock_depth;
    __asm__ volatile("wrfsbase %0" : : "r"(next->fs_base) : "memory");
    /* Hardly anybody uses GS, and writing it costs 50 times a look at it. */
    if (next->gs_base != self->gs_base)
        __asm__ volatile("wrgsbase %0" : : "r"(next->gs_base) : "memory");
    sched_switch(&self->stack_pointer, next->stack_pointer);
    finish_switch();
}

/*
 * Runs who is next; the caller has said what is to become of the running
 * thread. Returns when that runs again.
 */
static void schedule(uint64_t now_ns)
{
    struct thread *next;

    account(now_ns);
    source_look_sometimes(now_ns);
    next = sched_take_ready();
    if (!next) {
        next = sched_idle();
        now_ns = run_since_ns = mf_clock_monotonic();
    }
    slice_end_ns = now_ns + next->slice_ns;
    if (source_watch(next, now_ns) && woken.first) {
        /* Work has come just now, and goes first. */
        push_first(&rounds, next);
        next = sched_take_ready();
        slice_end_ns = now_ns + next->slice_ns;
    }
    next->state = THREAD_RUNNING;
    if (next != thread_current)
        switch_to(next);
}

void sched_start(struct thread *thread, void *stack, void (*begin)(void))
{
    thread->stack_pointer = sched_prepare(stack, begin);
    thread->lock_depth = 1;
    thread->slice_ns = SCHED_SLICE_NS;
    push(&rounds, thread);
    source_note_ready();
}

void sched_begin(void)
{
    finish_switch();
}

void sched_exit(void)
{
    struct thread *self = thread_current;

    timer_stop(&self->timer);
    self->state = THREAD_DEAD;
    dead = self;
    schedule(mf_clock_monotonic());
    __builtin_unreachable();
}

/* ---- Blocking ----------------------------------------------------------- */

static void make_ready(struct thread *thread)
{
    push(thread->slice_ns > 0 ? &woken : &rounds, thread);
    source_note_ready();
}

static void fire_deadline(struct timer *timer)
{
    struct thread *thread =
        (struct thread *)((char *)timer - offsetof(struct thread, timer));

    if (thread->state != THREAD_BLOCKED)
        return;
    thread->timed_out = true;
    make_ready(thread);
}

static bool is_interrupted(const struct thread *self)
{
    return (signal_is_due && signal_is_due(self)) ||
           (self->cancel && *self->cancel);
}

static int block(uint64_t deadline_ns, bool interruptible)
{
    struct thread *self = thread_current;
    bool timed_out = false;

    if (!self->woken) {
        uint64_t now_ns = mf_clock_monotonic();

        if (interruptible && is_interrupted(self))
            return -EINTR;
        if (deadline_ns <= now_ns)
            return -ETIMEDOUT;
        self->timed_out = false;
        self->interruptible = interruptible;
        self->state = THREAD_BLOCKED;
        self->switches++;
        self->blocked_ns = now_ns;
        self->timer.fire = fire_deadline;
        timer_start(&self->timer, deadline_ns);
        account(now_ns);
        end_burst(self);
        schedule(now_ns);
        timer_stop(&self->timer);
        timed_out = self->timed_out;
    }
    if (self->woken) {
        self->woken = false;
        return 0;
    }
    if (timed_out)
        return -ETIMEDOUT;
    return interruptible && is_interrupted(self) ? -EINTR : 0;
}

int sched_block(uint64_t deadline_ns)
{
    return block(deadline_ns, true);
}

int sched_block_uninterrupted(uint64_t deadline_ns)
{
    return block(deadline_ns, false);
}

/*
 * A thread whose runs are long, or has run for long now while the other one
 * waited. That leaves out mutexes, of which there is always one who unlocks
 * them and one who has just begun to wait. A clock is read only if it may be
 * so.
 */
static bool ought_to_give_way(const struct thread *self,
                              const struct thread *to)
{
    uint64_t now_ns;

    if (!sched_computes(self))
        return false;
    if (self->burst_average_ns > SCHED_BURST_NS)
        return true;
    now_ns = mf_clock_monotonic();
    return self->burst_ns + (now_ns - run_since_ns) > SCHED_BURST_NS &&
           now_ns - to->blocked_ns > SCHED_BURST_NS;
}

/* A call of the running thread makes this one ready, or a device does. */
static void let_go_on(struct thread *thread)
{
    struct thread *self = thread_current;

    make_ready(thread);
    /* Whoever looks at devices sees to it that those run who are woken. */
    if (!woken.first || source_is_looking() || self->state != THREAD_RUNNING ||
        !ought_to_give_way(self, thread))
        return;
    giver = self;
    mf_note_due();
}

void sched_wake(struct thread *thread)
{
    thread->woken = true;
    if (thread->state == THREAD_BLOCKED)
        let_go_on(thread);
}

void sched_interrupt(struct thread *thread)
{
    /* While all are blocked that is one of them, which goes on by itself. */
    if (thread == thread_current)
        mf_note_due();
    /* Who sends a signal goes on first: programs rely on it. */
    if (thread->state == THREAD_BLOCKED && thread->interruptible)
        make_ready(thread);
}

void sched_sleep_until(uint64_t deadline_ns)
{
    mf_lock();
    while (sched_block_uninterrupted(deadline_ns) != -ETIMEDOUT)
        continue;
    mf_unlock();
}

/* ---- Giving way --------------------------------------------------------- */

void sched_yield_thread(void)
{
    uint64_t now_ns;

    if (!sched_has_ready() && !source_is_any())
        return;
    now_ns = mf_clock_monotonic();
    source_look_sometimes(now_ns);
    if (!sched_has_ready())
        return;
    push(&rounds, thread_current);
    schedule(now_ns);
}

/* Lets others run if there are any that ought to. Returns whether. */
static bool preempt(uint64_t now_ns)
{
    struct thread *self = thread_current;

    account(now_ns);
    if (!woken.first && (!rounds.first || self->slice_ns > 0))
        return false;
    self->preemptions++;
    if (self->slice_ns > 0)
        push_first(&rounds, self);
    else
        push(&rounds, self);
    schedule(now_ns);
    return true;
}

/* A bucket that its running time fills, with room for GIVE_WAY_AT_ONCE. */
static bool may_give_way(struct thread *self)
{
    const uint64_t ahead_ns = (GIVE_WAY_AT_ONCE - 1) * GIVE_WAY_NS;

    if (self->gave_way_ns > self->run_ns + ahead_ns)
        return false;
    if (self->gave_way_ns < self->run_ns)
        self->gave_way_ns = self->run_ns;
    self->gave_way_ns += GIVE_WAY_NS;
    return true;
}

/* The running thread, which computes, has woken others. */
static void give_way(uint64_t now_ns)
{
    const struct thread *next = woken.first;

    if (!next)
        return;
    if (next->burst_average_ns > SCHED_BURST_NS) {
        if (slice_end_ns > now_ns + WAKE_NS)
            slice_end_ns = now_ns + WAKE_NS;
        source_keep_slice();
    } else if (may_give_way(thread_current)) {
        preempt(now_ns);
    }
}

void sched_due(void)
{
    uint64_t now_ns = mf_clock_monotonic();
    bool interrupted = source_begin_due(now_ns);
    struct thread *gives = giver;

    giver = NULL;
    if (gives && !interrupted) {
        account(now_ns);
        source_look_sometimes(now_ns);
        if (gives == thread_current)
            give_way(now_ns);
        return;
    }
    source_look(now_ns);
    /* It has run for a while: others' devices are to interrupt it. */
    source_arm();
    if (!preempt(now_ns))
        source_watch(thread_current, now_ns);
}
