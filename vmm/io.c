/* SPDX-License-Identifier: MIT */
/* The I/O thread: serves devices while the guest's processor runs. */
#include "vmm/io.h"

#include <sched.h>
#include <string.h>

#include "vmm/base/os.h"

/* ThreadSanitizer keeps its own state on a stack, and needs a larger one. */
#ifndef MAYFLY_TEST_STACK_KIB
#define MAYFLY_TEST_STACK_KIB 64u
#endif

#define STACK_BYTES ((size_t)MAYFLY_TEST_STACK_KIB << 10)
#define GUARD_BYTES 4096u

/* Looks between two questions to the clock. */
#define LOOKS_A_CLOCK 4

/* Asleep for so long, it parks: wakes by the guest's own thread are shorter. */
#define PARK_AFTER_NS 1000000u

/*
 * So long between two looks, or from a kick to the work that it asks for, means
 * that somebody else had the processor. Then
 * requests are done sooner by a thread that is running anyway, the guest's. The
 * thread stays parked for a while, and longer if that happens again soon.
 */
#define LOST_NS 300000u
/*
 * The same is true if it sleeps too often when the next request comes: a kick
 * counts for so many looks that were worth it, and parks it from so many on.
 */
#define VAIN_COST   2u
#define VAIN_MAX    16u
#define HOLD_NS_MIN 2000000u
#define HOLD_NS_MAX 640000000u
/* Soon: before so many times as long as the last stay have passed. */
#define HOLD_PART 8u

/* How often to move to another processor, at most. */
#define MOVE_NS  1000000u
#define TRADE_NS 5000000u
/* So often in that time is again and again. */
#define TRADE_DISPLACED 4u

/* ---- Processors ------------------------------------------------------ */

void io_note_guest_cpu(struct io *io)
{
    atomic_store_explicit(&io->guest_cpu, sched_getcpu(), memory_order_relaxed);
}

/*
 * Moves the calling thread to one of the processors in `there`, and lets it go
 * where it might before. Returns whether it moved.
 */
static bool step_to(const cpu_set_t *there)
{
    cpu_set_t before, both;

    CPU_ZERO(&before);
    if (os_syscall(SYS_sched_getaffinity, 0, sizeof(before), &before) <= 0)
        return false;
    CPU_AND(&both, &before, there);
    if (CPU_COUNT(&both) == 0 ||
        os_syscall(SYS_sched_setaffinity, 0, sizeof(both), &both))
        return false;
    /* If that is refused, somebody has just decided otherwise. */
    os_syscall(SYS_sched_setaffinity, 0, sizeof(before), &before);
    return true;
}

/*
 * Two threads that look for each other's work on one processor only keep each
 * other from it, and the scheduler does not part them soon: both look idle to
 * it half of the time. So this one steps aside, and may come back.
 */
static void keep_off_guest_cpu(struct io *io, uint64_t now_ns)
{
    int cpu = sched_getcpu();
    cpu_set_t others;

    atomic_store_explicit(&io->cpu, cpu, memory_order_relaxed);
    if (cpu < 0 ||
        cpu != atomic_load_explicit(&io->guest_cpu, memory_order_relaxed) ||
        now_ns - io->moved_ns < MOVE_NS)
        return;
    io->moved_ns = now_ns;
    memset(&others, 0xff, sizeof(others));
    CPU_CLR(cpu, &others);
    io->stats.moves += step_to(&others);
}

void io_trade_places(struct io *io)
{
    int cpu = atomic_load_explicit(&io->cpu, memory_order_relaxed);
    uint64_t now_ns = os_now_ns(), displaced;
    cpu_set_t there;

    if (now_ns - io->traded_ns < TRADE_NS)
        return;
    io->traded_ns = now_ns;
    displaced = spin_displaced();
    bool often = displaced - io->guest_displaced >= TRADE_DISPLACED;
    io->guest_displaced = displaced;
    if (!often || cpu < 0 || cpu == sched_getcpu())
        return;
    CPU_ZERO(&there);
    CPU_SET(cpu, &there);
    step_to(&there);
}

/* ---- Serving --------------------------------------------------------- */

static void take_lock(struct io *io)
{
    /* Others first: they come rarely, and the guest waits for them. */
    while (atomic_load(&io->waiting) > 0)
        spin_yield();
    pthread_mutex_lock(&io->lock);
}

/* With the lock: serves all devices. Returns whether that did something. */
static bool serve_devices(struct io *io)
{
    uint64_t before = vdev_set_progress(io->set, io->mask);
    int more = vdev_set_serve(io->set, io->mask);

    return more || vdev_set_progress(io->set, io->mask) != before;
}

/* Serves all devices once. Returns whether that did something. */
static bool serve_round(struct io *io)
{
    take_lock(io);
    atomic_store(&io->kicked, false);
    bool moved = serve_devices(io);
    pthread_mutex_unlock(&io->lock);
    io->stats.rounds++;
    return moved;
}

/* Looks for work for a while. Returns whether there was some. */
static bool look_for_work(struct io *io)
{
    uint64_t start = os_now_ns(), now = start, before;

    while (now - start < io->spin.limit_ns && !atomic_load(&io->stop)) {
        before = now;
        for (unsigned i = 0; i < LOOKS_A_CLOCK; i++) {
            if (serve_round(io)) {
                spin_found(&io->spin, now - start);
                io->vain -= io->vain > 0;
                return true;
            }
            __builtin_ia32_pause();
        }
        spin_yield();
        now = os_now_ns();
        keep_off_guest_cpu(io, now);
        io->lost |= now - before > LOST_NS;
    }
    spin_missed(&io->spin);
    io->stats.poll_ns += now - start;
    return false;
}

/* ---- Sleeping -------------------------------------------------------- */

/*
 * Asks for kicks, and looks once more. Returns whether there is nothing to do:
 * then `files` is what to wait for, until `*wake_ns`.
 */
static bool fall_asleep(struct io *io, struct pollfd *files, uint64_t *wake_ns)
{
    take_lock(io);
    vdev_set_poll(io->set, io->mask, false);
    bell_prepare(&io->bell);
    bool busy = serve_devices(io) || atomic_load(&io->stop);
    *wake_ns = vdev_set_want(io->set, io->mask, files);
    pthread_mutex_unlock(&io->lock);
    return !busy;
}

static void wake_up(struct io *io, const struct pollfd *files)
{
    take_lock(io);
    vdev_set_poll(io->set, io->mask, true);
    /* What it could not finish, the next round does. */
    if (files && vdev_set_ready(io->set, files))
        io->stats.rounds++;
    pthread_mutex_unlock(&io->lock);
}

/* Whether the thread would rather park than sleep for long. */
static bool may_park(struct io *io)
{
    return io->owner && !io->owner->is_watched(io);
}

/*
 * Sleeps until a kick, a file is ready, or a device wants to be served. Returns
 * whether there was nothing for so long that the thread may park.
 */
static bool sleep_for_work(struct io *io)
{
    struct pollfd files[MF_DEVICES_MAX + 1];
    struct pollfd *bell = &files[io->set->count];
    uint64_t wake_ns, start = os_now_ns();
    struct timespec timeout;
    bool parks;
    int ready = 0;

    if (!fall_asleep(io, files, &wake_ns)) {
        bell_wake(&io->bell, false);
        wake_up(io, NULL);
        return false;
    }
    parks = wake_ns > start + PARK_AFTER_NS && may_park(io);
    if (parks)
        wake_ns = start + PARK_AFTER_NS;
    *bell = (struct pollfd){.fd = io->bell.fd, .events = POLLIN};
    if (wake_ns > start) {
        timeout = os_timespec(wake_ns - start);
        ready = os_ppoll(files, io->set->count + 1,
                         wake_ns == VDEV_NEVER ? NULL : &timeout, NULL);
        io->stats.sleeps++;
    }
    uint64_t now = os_now_ns();
    if (ready > 0 && bell->revents) {
        io->lost |= now > atomic_load(&io->kicked_ns) + LOST_NS;
        io->vain += VAIN_COST;
    }
    bell_wake(&io->bell, ready > 0 && bell->revents);
    wake_up(io, ready > 0 ? files : NULL);
    spin_found(&io->spin, now - start);
    return parks && ready == 0;
}

/* ---- Parking --------------------------------------------------------- */

/* The host took the processor away: for how long to do without the thread. */
static void hold_off(struct io *io)
{
    uint64_t now = os_now_ns();

    if (now > atomic_load(&io->not_before) + io->hold_ns * HOLD_PART)
        io->hold_ns = HOLD_NS_MIN; /* the last time is long ago */
    atomic_store(&io->not_before, now + io->hold_ns);
    io->hold_ns = min_u64(HOLD_NS_MAX, io->hold_ns * 2);
}

/* Gives the devices back, unless there is something to do after all. */
static bool give_back(struct io *io)
{
    take_lock(io);
    vdev_set_poll(io->set, io->mask, false);
    bool busy = serve_devices(io) || atomic_load(&io->kicked);
    if (busy)
        vdev_set_poll(io->set, io->mask, true);
    else
        atomic_store(&io->active, false);
    pthread_mutex_unlock(&io->lock);
    return !busy;
}

/* Takes the devices if they were given to it, or if it missed a kick. */
static bool take_back(struct io *io)
{
    take_lock(io);
    if (atomic_load(&io->kicked)) {
        /* In this order: io_is_parked() reads them the other way round. */
        atomic_store(&io->active, true);
        atomic_store(&io->kicked, false);
    }
    pthread_mutex_unlock(&io->lock);
    return atomic_load(&io->active);
}

/* Parks, and comes back when it is active again or has to end. */
static void park(struct io *io)
{
    if (!give_back(io))
        return;
    io->stats.parks++;
    io->owner->parked(io);
    while (!atomic_load(&io->stop)) {
        struct pollfd bell = {.fd = io->bell.fd, .events = POLLIN};
        int ready = 0;

        bell_prepare(&io->bell);
        if (!atomic_load(&io->active) && !atomic_load(&io->kicked) &&
            !atomic_load(&io->stop))
            ready = os_ppoll(&bell, 1, NULL, NULL);
        bell_wake(&io->bell, ready > 0);
        if (take_back(io))
            break;
    }
    wake_up(io, NULL);
    if (io->owner->resumed && atomic_load(&io->active))
        io->owner->resumed(io);
}

/* Does it earn nothing, and may the guest do without it? */
static bool is_displaced(struct io *io)
{
    if ((!io->lost && io->vain < VAIN_MAX) || !may_park(io))
        return false;
    io->lost = false;
    io->vain = 0;
    hold_off(io);
    return true;
}

static void *io_main(void *argument)
{
    struct io *io = argument;

    wake_up(io, NULL);
    while (!atomic_load(&io->stop)) {
        if (serve_round(io) || look_for_work(io))
            continue;
        if (is_displaced(io) || sleep_for_work(io))
            park(io);
    }
    io->stats.displaced = spin_displaced();
    io->stats.os_calls = os_calls;
    return NULL;
}

/* ---- Life cycle ------------------------------------------------------ */

int io_init(struct io *io, struct vdev_set *set, uint64_t mask,
            uint64_t poll_ns)
{
    void *stack = NULL;
    int error;

    *io = (struct io){
        .set = set,
        .mask = mask,
        .hold_ns = HOLD_NS_MIN,
        .lock = PTHREAD_MUTEX_INITIALIZER,
    };
    spin_init(&io->spin, poll_ns);
    atomic_init(&io->guest_cpu, -1);
    atomic_init(&io->cpu, -1);
    error = bell_init(&io->bell);
    if (error)
        return error;
    /* A page without access lies below the stack. */
    error = os_mmap(GUARD_BYTES + STACK_BYTES, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, &stack);
    if (error)
        goto end_bell;
    error = (int)os_syscall(SYS_mprotect, (char *)stack + GUARD_BYTES,
                            STACK_BYTES, PROT_READ | PROT_WRITE);
    if (error)
        goto free_stack;
    io->stack = stack;
    return 0;

free_stack:
    os_munmap(stack, GUARD_BYTES + STACK_BYTES);
end_bell:
    bell_fini(&io->bell);
    return error;
}

void io_fini(struct io *io)
{
    bug_on(io->started);
    os_munmap(io->stack, GUARD_BYTES + STACK_BYTES);
    bell_fini(&io->bell);
}

/* The thread inherits the signal mask: all of them blocked. */
static int create_thread(struct io *io)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, (char *)io->stack + GUARD_BYTES,
                          STACK_BYTES);
    os_sigmask(SIG_BLOCK, &all, &before);
    error = pthread_create(&io->thread, &attributes, io_main, io);
    os_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}

int io_start(struct io *io)
{
    int error;

    atomic_store(&io->stop, false);
    atomic_store(&io->active, true);
    error = create_thread(io);
    io->started = error == 0;
    return error;
}

void io_stop(struct io *io)
{
    if (!io->started)
        return;
    atomic_store(&io->stop, true);
    bell_ring(&io->bell);
    pthread_join(io->thread, NULL);
    atomic_store(&io->active, false);
    atomic_store(&io->kicked, false);
    io->started = false;
    /* Whoever serves them now is to be kicked. */
    vdev_set_poll(io->set, io->mask, false);
}

bool io_kick(struct io *io)
{
    atomic_store(&io->kicked_ns, os_now_ns());
    atomic_store(&io->kicked, true);
    if (pthread_mutex_trylock(&io->lock) == 0) {
        bool active = atomic_load(&io->active);

        if (!active)
            atomic_store(&io->kicked, false);
        pthread_mutex_unlock(&io->lock);
        if (!active)
            return false;
    }
    bell_ring(&io->bell);
    return true;
}

bool io_is_parked(const struct io *io)
{
    if (!io->started)
        return true;
    /* A thread that missed a kick takes the devices: see take_back(). */
    return !atomic_load(&io->kicked) && !atomic_load(&io->active);
}

bool io_is_held(const struct io *io, uint64_t now_ns)
{
    return now_ns < atomic_load(&io->not_before);
}

void io_activate(struct io *io)
{
    atomic_store(&io->active, true);
    bell_ring(&io->bell);
}

void io_wake(struct io *io)
{
    atomic_store(&io->kicked_ns, os_now_ns());
    bell_ring(&io->bell);
}

void io_lock(struct io *io)
{
    if (!io->started)
        return;
    atomic_fetch_add(&io->waiting, 1);
    pthread_mutex_lock(&io->lock);
    atomic_fetch_sub(&io->waiting, 1);
}

void io_unlock(struct io *io)
{
    if (io->started)
        pthread_mutex_unlock(&io->lock);
}
