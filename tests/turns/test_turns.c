/* SPDX-License-Identifier: MIT */
/* The guest's scheduler, with threads; its clock and monitor are a model. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <ucontext.h>

/* Guest code is not in the library that other unit tests link. */
#include "guest_rt/due.c"
#include "guest_rt/lock.c"
#include "guest_rt/sched.c"
#include "guest_rt/sched_source.c"
#include "guest_rt/sched_timer.c"
#include "guest_rt/thread_main.c"

/* What the monitor's help costs a guest, about. */
#define KICK_COST_NS      25000u
#define INTERRUPT_COST_NS 40000u

#define MS UINT64_C(1000000)

/* ---- The monitor -------------------------------------------------------- */

static uint64_t clock_ns = MS, tick_ns = 11 * MS;
static uint64_t upcall_deadline_ns, came;
static unsigned kicks, interruptions;

uint64_t mf_clock_monotonic(void)
{
    return clock_ns;
}

static void note_upcall(void)
{
    if (!upcall_deadline_ns || upcall_deadline_ns > clock_ns)
        return;
    upcall_deadline_ns = 0;
    clock_ns += INTERRUPT_COST_NS;
    interruptions++;
    came = 1;
    mf_note_due();
}

/* The guest computes; at a tick the monitor looks at its deadline. */
static void compute(uint64_t ns)
{
    while (ns > 0) {
        uint64_t step = tick_ns > clock_ns ? tick_ns - clock_ns : 0;

        step = step < ns ? step : ns;
        clock_ns += step;
        ns -= step;
        if (clock_ns < tick_ns)
            continue;
        note_upcall();
        tick_ns = clock_ns + 10 * MS;
        if (upcall_deadline_ns)
            tick_ns = min_u64(tick_ns, upcall_deadline_ns);
        if (mf_runtime_lock.due)
            mf_due();
    }
}

void upcall_set_slice(uint64_t deadline_ns, bool exact)
{
    upcall_deadline_ns = deadline_ns;
    if (!exact)
        return;
    clock_ns += KICK_COST_NS;
    kicks++;
    tick_ns = min_u64(tick_ns, deadline_ns);
    note_upcall(); /* the lock is held: it only notes it */
}

uint64_t upcall_take_watched(void)
{
    uint64_t taken = came;

    came = 0;
    return taken;
}

void upcall_watch(uint64_t events)
{
    (void)events;
}

/* ---- What these tests do without: devices, and nobody to run ------------- */

uint64_t (*mf_before_sleep)(uint64_t deadline_ns);

bool mf_upcall_mask(void)
{
    return true;
}

void mf_upcall_restore(bool masked)
{
    (void)masked;
}

bool poll_spin(struct poll *poll, bool (*ready)(void *context), void *context)
{
    (void)poll;
    return ready(context);
}

void poll_woke(struct poll *poll)
{
    (void)poll;
}

int poll_ring(struct poll *poll, const struct device *device, struct ring *ring)
{
    (void)poll;
    (void)device;
    (void)ring;
    abort();
}

long mf_hypercall(unsigned number, uint64_t a, uint64_t b)
{
    (void)number;
    (void)a;
    (void)b;
    cr_assert_fail("all threads are blocked");
    return 0;
}

/* ---- Threads ------------------------------------------------------------ */

#define STACK_BYTES 262144u

static unsigned switches;

/* A stack pointer is what holds it here. */
void sched_switch(uint64_t *stack_pointer, uint64_t to)
{
    ucontext_t here;

    switches++;
    *stack_pointer = (uintptr_t)&here;
    swapcontext(&here, (ucontext_t *)(uintptr_t)to);
}

uint64_t sched_prepare(void *stack, void (*begin)(void))
{
    ucontext_t *context = stack;

    getcontext(context);
    context->uc_stack.ss_sp = (char *)stack + sizeof(*context);
    context->uc_stack.ss_size = STACK_BYTES - sizeof(*context);
    makecontext(context, begin, 0);
    return (uintptr_t)context;
}

static void (*body)(void);

static void begin(void)
{
    sched_begin();
    mf_unlock();
    body();
    abort();
}

/* The one other thread, besides main; it never ends. */
static struct thread *start(void (*run)(void))
{
    static struct thread other;

    body = run;
    other.fs_base = read_fs_base();
    other.gs_base = read_gs_base();
    run_since_ns = clock_ns;
    mf_lock();
    sched_start(&other, malloc(STACK_BYTES), begin);
    mf_unlock();
    return &other;
}

static void wake(struct thread *thread)
{
    mf_lock();
    sched_wake(thread);
    mf_unlock();
}

static void wait_until(const volatile bool *so)
{
    while (!*so) {
        mf_lock();
        sched_block_uninterrupted(WAIT_NO_END);
        mf_unlock();
    }
}

TestSuite(turns, .timeout = 60);

/* ---- Sleeps beside a computation ---------------------------------------- */

static unsigned naps;

static void take_naps(void)
{
    for (;;) {
        compute(1000);
        sched_sleep_until(clock_ns + 20000);
        naps++;
    }
}

/* To keep so short sleeps exactly would take all of the processor. */
Test(turns, leave_time_between_sleeps_to_a_computation)
{
    uint64_t start_ns = clock_ns;

    start(take_naps);
    compute(50 * MS); /* as the other one has not slept yet */
    compute(50 * MS);
    cr_assert_leq(clock_ns - start_ns, 200 * MS);
    cr_assert_geq(naps, 100); /* and they are not put off to the next slice */
}

static void take_long_naps(void)
{
    for (;;) {
        compute(1000);
        sched_sleep_until(clock_ns + MS);
        naps++;
    }
}

/* A kick, an interruption, and no more, for each that is long enough. */
Test(turns, interrupt_a_computation_when_a_sleep_ends)
{
    start(take_long_naps);
    compute(50 * MS);
    naps = kicks = interruptions = 0;
    compute(50 * MS);
    cr_assert_geq(naps, 45);
    cr_assert_leq(kicks, naps + 1);
    cr_assert_leq(interruptions, naps + 6);
}

/* ---- Wake-ups by a computation ------------------------------------------ */

#define ROUNDS 100

static volatile bool asked, running, stopped, ended;
static struct thread *other;

/* Computes until it is told to stop. */
static void work(void)
{
    for (;;) {
        wait_until(&asked);
        asked = false;
        running = true;
        wake(&thread_main);
        while (!stopped)
            compute(10000);
        stopped = running = false;
        ended = true;
        wake(&thread_main);
    }
}

/* As LevelDB's test of its skip list does: both compute, and tell the other. */
Test(turns, let_who_is_woken_by_a_computation_run)
{
    uint64_t start_ns;

    other = start(work);
    compute(30 * MS);
    start_ns = clock_ns;
    for (unsigned i = 0; i < ROUNDS; i++) {
        asked = true;
        wake(other);
        wait_until(&running);
        compute(MS);
        stopped = true;
        wait_until(&ended);
        ended = false;
    }
    /* Their fair shares, and not a slice each time. */
    cr_assert_leq(clock_ns - start_ns, 5 * ROUNDS * MS);
}

static unsigned made, taken;

static void take(void)
{
    for (;;) {
        while (taken < made)
            taken++;
        mf_lock();
        sched_block_uninterrupted(WAIT_NO_END);
        mf_unlock();
    }
}

/* Wakes the other one every microsecond, for 10 ms. */
static void make(void)
{
    other = start(take);
    compute(30 * MS);
    switches = 0;
    for (unsigned i = 0; i < 10000; i++) {
        compute(1000);
        made++;
        wake(other);
    }
}

/* After a few wake-ups that are near each other one goes on. */
Test(turns, are_not_changed_for_each_of_many_wake_ups)
{
    thread_main.burst_average_ns = MS;
    make();
    cr_assert_geq(taken, 64);
    cr_assert_leq(switches, 140);
}

/* One always has the mutex, and another one has just begun to wait for it. */
Test(turns, are_not_changed_when_a_mutex_is_unlocked)
{
    make();
    cr_assert_leq(switches, 4);
}

static volatile bool mine, yours;

static uint64_t stolen_ns; /* by the host, in each one's next run */

static void answer(void)
{
    for (;;) {
        wait_until(&yours);
        yours = false;
        compute(1000 + stolen_ns);
        mine = true;
        wake(&thread_main);
    }
}

static void ask(void)
{
    compute(1000 + stolen_ns);
    yours = true;
    wake(other);
    wait_until(&mine);
    mine = false;
    stolen_ns = 0;
}

/* A host that does something else now and then makes no computations of them.
 */
Test(turns, change_without_the_monitor_after_a_run_that_took_long)
{
    other = start(answer);
    ask();
    kicks = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        stolen_ns = i % 10 == 0 ? 4 * MS : 0;
        ask();
    }
    cr_assert_leq(kicks, ROUNDS / 10, "%u", kicks);
}

/* Who waits for the answer anyway need not give way before. */
Test(turns, change_once_for_a_wake_up_and_a_wait)
{
    other = start(answer);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i == 1)
            switches = 0; /* until then they may not know each other */
        ask();
    }
    cr_assert_eq(switches, 2 * (ROUNDS - 1));
}
