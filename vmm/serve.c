/* SPDX-License-Identifier: MIT */
/* Serving a VM's devices, waiting for them, and telling its guest. */
#include "vmm/serve.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "vmm/base/log.h"
#include "vmm/base/os.h"

/*
 * So many exits for disks and networks in so short a time make a thread for
 * them worth its price: some 50 us to make it, and a processor that it keeps
 * busy. A function that reads one block never has one.
 */
#define EXITS_BEFORE_THREAD 16u
#define EXITS_WITHIN_NS     5000000u

/* Turns of disks and networks, 16 MiB, 16 flushes or 256 frames each, in one
 * exit. */
#define IO_ROUNDS 8u

/* Looks between two questions to the clock. */
#define LOOKS_A_CLOCK 16

/* ---- The I/O thread -------------------------------------------------- */

/* The devices that an I/O thread would serve: disks and networks. */
static uint64_t io_devices(const struct mayfly *vm)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < vm->native.set.count; i++)
        if (vm->native.set.devices[i]->class->threaded)
            mask |= UINT64_C(1) << i;
    return mask;
}

/* The devices that this thread serves. */
static uint64_t own_devices(const struct mayfly *vm)
{
    return vm->has_io && !io_is_parked(&vm->io) ? ~vm->io.mask : VDEV_SET_ALL;
}

/* Guest and I/O thread would only take the one processor from each other. */
static bool has_processor_to_spare(void)
{
    cpu_set_t set;

    CPU_ZERO(&set); /* the kernel fills in as much as it uses */
    return os_syscall(SYS_sched_getaffinity, 0, sizeof(set), &set) > 0 &&
           CPU_COUNT(&set) > 1;
}

/*
 * A device has raised an event: wakes a guest that waits, or interrupts one
 * that computes and wants to know. On the guest's own thread there is nothing
 * to do: it looks before it enters the guest (run.c).
 */
static void on_event(struct event_listener *listener)
{
    struct mayfly *vm = CONTAINER_OF(listener, struct mayfly, listener);

    /* Its fence is the partner of the one in enter_guest(), too. */
    if (bell_ring(&vm->bell) || !atomic_load(&vm->computing) ||
        !upcall_due(&vm->upcalls))
        return;
    if (atomic_exchange(&vm->signalled, true))
        return; /* on its way already */
    os_syscall(SYS_tgkill, vm->process, atomic_load(&vm->thread),
               MAYFLY_KICK_SIGNAL);
    atomic_fetch_add(&vm->upcall_signals, 1);
}

int serve_prepare(struct mayfly *vm)
{
    uint64_t mask = io_devices(vm);
    int error;

    if (!mask || vm->options.io == MAYFLY_IO_INLINE || vm->options.serves)
        return 0;
    if (vm->options.io == MAYFLY_IO_AUTO && !has_processor_to_spare())
        return 0;
    error = bell_init(&vm->bell);
    if (error)
        return error;
    error = io_init(&vm->io, &vm->native.set, mask, vm->options.poll_ns);
    if (error) {
        bell_fini(&vm->bell);
        return error;
    }
    spin_init(&vm->wait_spin, vm->options.poll_ns);
    vm->process = (pid_t)os_syscall(SYS_getpid);
    vm->has_io = true;
    return 0;
}

void serve_end(struct mayfly *vm)
{
    if (!vm->has_io)
        return;
    io_stop(&vm->io);
    vm->native.events.listener = NULL;
    io_fini(&vm->io);
    bell_fini(&vm->bell);
    vm->has_io = false;
}

/* Tells the guest how long a look at its rings may be worth it. */
static void set_guest_poll(struct mayfly *vm, uint64_t poll_ns)
{
    gpa_t at = gpa(MF_BOOT_PAGE + offsetof(struct mf_boot, poll_ns));
    void *host;

    if (gmem_map(&vm->mem, at, sizeof(poll_ns), &host) == 0)
        __atomic_store_n((uint64_t *)host, poll_ns, __ATOMIC_RELAXED);
}

static struct mayfly *vm_of(struct io *io)
{
    return CONTAINER_OF(io, struct mayfly, io);
}

static bool io_is_watched(struct io *io)
{
    return upcall_armed(&vm_of(io)->upcalls) & io->mask;
}

/* The guest's own thread has the devices again: it has to look at them. */
static void io_has_parked(struct io *io)
{
    set_guest_poll(vm_of(io), 0);
    bell_ring(&vm_of(io)->bell);
}

static void io_has_resumed(struct io *io)
{
    set_guest_poll(vm_of(io), vm_of(io)->options.poll_ns);
}

static const struct io_owner io_owner = {
    .is_watched = io_is_watched,
    .parked = io_has_parked,
    .resumed = io_has_resumed,
};

static void start_io(struct mayfly *vm)
{
    vm->listener.raised = on_event;
    vm->native.events.listener = &vm->listener;
    if (vm->options.io == MAYFLY_IO_AUTO)
        vm->io.owner = &io_owner;
    set_guest_poll(vm, vm->options.poll_ns);
    int error = io_start(&vm->io);
    if (!error)
        return;
    set_guest_poll(vm, 0);
    vm->native.events.listener = NULL;
    vm->options.io = MAYFLY_IO_INLINE;
    log_warn("no I/O thread: %s", strerror(-error));
}

/* Whether exits for an I/O thread's devices come one after the other. */
static bool is_busy(struct mayfly *vm, uint64_t now_ns)
{
    if (now_ns - vm->io_exits_since > EXITS_WITHIN_NS) {
        vm->io_exits_since = now_ns;
        vm->io_exits = 0;
    }
    return ++vm->io_exits > EXITS_BEFORE_THREAD;
}

/*
 * This thread had to do something for these devices: is it worth one of their
 * own? `watched` says that the guest relies on it.
 */
static void consider_io(struct mayfly *vm, uint64_t devices, bool watched)
{
    uint64_t now_ns;

    if (!vm->has_io || !(devices & vm->io.mask) || !io_is_parked(&vm->io) ||
        vm->options.io == MAYFLY_IO_INLINE)
        return;
    now_ns = os_now_ns();
    if (vm->options.io == MAYFLY_IO_AUTO && !watched &&
        (!is_busy(vm, now_ns) || io_is_held(&vm->io, now_ns)))
        return;
    io_note_guest_cpu(&vm->io);
    if (vm->io.started)
        io_activate(&vm->io);
    else
        start_io(vm);
}

/* ---- Limits and output -------------------------------------------------- */

bool serve_must_end(struct mayfly *vm, struct mayfly_result *result)
{
    if (atomic_load(&vm->stop))
        result->end = MAYFLY_STOPPED;
    else if (os_now_ns() >= vm->deadline_ns)
        result->end = MAYFLY_TIMED_OUT;
    else
        return false;
    return true;
}

/* Ends the run if the host took no more output. */
static bool output_failed(const struct mayfly *vm, struct mayfly_result *result)
{
    int failure = console_error(&vm->console);

    if (!failure)
        failure = console_error(&vm->errors);
    if (!failure)
        return false;
    result->end =
        failure == -EPIPE ? MAYFLY_OUTPUT_CLOSED : MAYFLY_OUTPUT_FAILED;
    result->status = -failure;
    return true;
}

/*
 * Serves some of this thread's devices. Returns whether the run ends. Disks and
 * networks have a bounded turn, or a peer that floods them would keep the guest
 * from running; vm->unfinished tells that there is more to do for them.
 */
static bool serve_some(struct mayfly *vm, uint64_t mask,
                       struct mayfly_result *result)
{
    bool ended = false;

    vm->unfinished = false;
    for (unsigned round = 1;
         vdev_set_serve(&vm->native.set, mask) == -EINTR && !ended; round++) {
        ended = serve_must_end(vm, result);
        consider_io(vm, mask, false);
        mask &= own_devices(vm);
        if (round != IO_ROUNDS)
            continue;
        vm->unfinished = mask & io_devices(vm);
        mask &= ~io_devices(vm);
    }
    return ended || output_failed(vm, result);
}

bool serve_all(struct mayfly *vm, struct mayfly_result *result)
{
    if (atomic_load(&vm->resized)) {
        atomic_store(&vm->resized, false);
        console_resize(&vm->console);
        console_resize(&vm->errors);
    }
    signals_serve(&vm->signals);
    bool ended = serve_some(vm, own_devices(vm), result);

    if (vm->console.output_bytes || vm->errors.output_bytes)
        vm_note_stage(vm, MAYFLY_STAGE_FIRST_OUTPUT);
    return ended;
}

bool serve_kick(struct mayfly *vm, uint64_t doorbells, bool kicked,
                struct mayfly_result *result)
{
    uint64_t own = VDEV_SET_ALL;

    if (kicked) {
        consider_io(vm, doorbells, false);
        vdev_set_count_kicks(&vm->native.set, doorbells);
    }
    if (vm->has_io && doorbells & vm->io.mask && io_kick(&vm->io))
        own = ~vm->io.mask;
    return serve_some(vm, doorbells & own, result);
}

/* What this thread's devices wait for. Returns whether that is anything. */
static bool find_files(struct mayfly *vm, struct pollfd *files,
                       uint64_t *wake_ns)
{
    struct vdev_set *set = &vm->native.set;

    *wake_ns = vdev_set_want(set, own_devices(vm), files);
    for (unsigned i = 0; i < set->count; i++)
        if (files[i].fd >= 0)
            return true;
    return false;
}

void serve_tick(struct mayfly *vm)
{
    struct pollfd files[MF_DEVICES_MAX];
    uint64_t unused;

    /* A guest that wants to be interrupted wants it soon. */
    consider_io(vm, upcall_armed(&vm->upcalls), true);
    if (!find_files(vm, files, &unused) ||
        os_poll(files, vm->native.set.count, 0) <= 0)
        return;
    if (vdev_set_ready(&vm->native.set, files) == -EINTR)
        return; /* the next tick looks again */
}

/* How long a guest that computes on when it has answered is left alone. */
#define LOOK_NS 1000000u

static void look_later(struct mayfly *vm)
{
    vm->look_ns = vm->computes_on ? os_now_ns() + LOOK_NS : UINT64_MAX;
}

void serve_begin(struct mayfly *vm)
{
    vm->look_ns = UINT64_MAX;
    if (!vm->options.serves)
        return;
    vsock_set_quiet(&vm->vsock, true);
    look_later(vm);
}

bool serve_unasked(struct mayfly *vm, uint64_t now_ns,
                   struct mayfly_result *result)
{
    uint64_t before = vm->vsock.stats.in_bytes;
    bool ended = serve_all(vm, result);

    if (now_ns >= vm->look_ns) {
        vm->computes_on = true;
        vm->look_ns = UINT64_MAX;
    } else if (vm->vsock.stats.in_bytes != before) {
        /* Was it about to wait? Then it will not be seen here again. */
        vm->look_ns = now_ns + LOOK_NS;
    } else {
        return ended;
    }
    vsock_set_quiet(&vm->vsock, false);
    return serve_all(vm, result) || ended;
}

/* Nobody is to be served any more. */
static bool has_served(const struct mayfly *vm)
{
    return vm->options.serves && !vm->unfinished && vsock_is_over(&vm->vsock);
}

/* ---- Waiting ------------------------------------------------------------ */

/*
 * Sleeps until a file of `files` is ready, the bell rings, a signal comes, or
 * `until_ns` (host monotonic). Signals are let in only while asleep, so that a
 * stop cannot slip in between the look at the flag and the sleep. Returns the
 * number of ready files, 0 or -errno.
 */
static int sleep_until(struct mayfly *vm, struct pollfd *files, unsigned count,
                       uint64_t until_ns)
{
    sigset_t all, before;
    int ready = 0;

    sigfillset(&all);
    os_sigmask(SIG_BLOCK, &all, &before);
    uint64_t now = os_now_ns();
    if (!atomic_load(&vm->stop) && !atomic_load(&vm->resized) &&
        !atomic_load(&vm->snapshot_wanted) &&
        !signals_are_waiting(&vm->signals) && now < until_ns) {
        struct timespec timeout = os_timespec(until_ns - now);

        ready = os_ppoll(files, count, until_ns == UINT64_MAX ? NULL : &timeout,
                         &before);
    }
    os_sigmask(SIG_SETMASK, &before, NULL);
    return ready;
}

/* One sleep of a guest for which there has been nothing to do. */
static int sleep_once(struct mayfly *vm, uint64_t seen, uint64_t until_ns)
{
    struct vdev_set *set = &vm->native.set;
    struct pollfd files[MF_DEVICES_MAX + 1];
    struct pollfd *bell = &files[set->count];
    bool has_bell = vm->has_io && vm->io.started;
    uint64_t wake_ns;
    int ready = 0;

    *bell =
        (struct pollfd){.fd = has_bell ? vm->bell.fd : -1, .events = POLLIN};
    if (has_bell)
        bell_prepare(&vm->bell);
    /* Only now: from here on an I/O thread that parks rings the bell. */
    find_files(vm, files, &wake_ns);
    until_ns = min_u64(until_ns, wake_ns);
    if (event_read(&vm->native.events) == seen)
        ready = sleep_until(vm, files, set->count + has_bell, until_ns);
    if (has_bell)
        bell_wake(&vm->bell, ready > 0 && bell->revents);
    if (ready == -EINTR) {
        /* Seen to here: the next entry need not stop for it. */
        vcpu_forget_interrupt(&vm->vcpu);
        atomic_store(&vm->signalled, false);
        return tick_disarm(vm->tick);
    }
    if (ready > 0 && vdev_set_ready(set, files) == -EINTR)
        return 0; /* asked again before the next sleep */
    return ready < 0 ? ready : 0;
}

/*
 * Before the thread sleeps: an I/O thread that is at work may be about to raise
 * an event, and waking up takes longer. Returns whether it has.
 */
static bool look_for_events(struct mayfly *vm, uint64_t seen, uint64_t until_ns)
{
    uint64_t start = os_now_ns(), now = start;

    if (own_devices(vm) == VDEV_SET_ALL)
        return false;
    io_trade_places(&vm->io);
    io_note_guest_cpu(&vm->io);
    until_ns = min_u64(until_ns, start + vm->wait_spin.limit_ns);
    while (now < until_ns && !atomic_load(&vm->stop)) {
        for (unsigned i = 0; i < LOOKS_A_CLOCK; i++) {
            if (event_read(&vm->native.events) != seen) {
                spin_found(&vm->wait_spin, now - start);
                return true;
            }
            __builtin_ia32_pause();
        }
        spin_yield();
        now = os_now_ns();
    }
    spin_missed(&vm->wait_spin);
    return false;
}

int serve_wait(struct mayfly *vm, uint64_t seen, uint64_t guest_ns,
               struct mayfly_result *result, bool *ended)
{
    uint64_t until_ns = clock_host_from_guest(&vm->clock, guest_ns);
    uint64_t timer_ns = upcall_deadline(&vm->upcalls);
    uint64_t events;

    if (vm->has_io)
        consider_io(vm, vm->io.mask, false);
    if (timer_ns)
        until_ns =
            min_u64(until_ns, clock_host_from_guest(&vm->clock, timer_ns));
    for (;;) {
        upcall_check_timer(&vm->upcalls, clock_guest_ns(&vm->clock));
        /* A guest that sleeps wants to hear at once what was put off. */
        if (event_await(&vm->native.events) && vm->has_io)
            io_wake(&vm->io);
        *ended = serve_all(vm, result) || serve_must_end(vm, result);
        if (*ended)
            return 0;
        events = event_read(&vm->native.events);
        if (has_served(vm)) {
            result->end = MAYFLY_SERVED;
            *ended = true;
            break;
        }
        if (events != seen || os_now_ns() >= until_ns)
            break;
        if (atomic_load(&vm->snapshot_wanted)) {
            /* It wakes up, here or elsewhere, by an event and not by time. */
            event_raise(&vm->native.events, MF_EVENT_GENERATION);
            events = event_read(&vm->native.events);
            break;
        }
        if (vm->unfinished)
            continue;
        vm_note_stage(vm, MAYFLY_STAGE_READY);
        uint64_t end_ns = min_u64(until_ns, vm->deadline_ns);
        if (look_for_events(vm, seen, end_ns))
            continue;
        uint64_t start = os_now_ns();
        int failure = sleep_once(vm, seen, end_ns);
        if (failure)
            return failure;
        spin_found(&vm->wait_spin, os_now_ns() - start);
        /* What it slept for is served: the guest goes on at once. */
        events = event_read(&vm->native.events);
        if (events != seen && !atomic_load(&vm->stop))
            break;
    }
    event_stop_waiting(&vm->native.events);
    look_later(vm);
    /* The guest must see that its deadline has passed. */
    clock_update(&vm->clock);
    vcpu_set_result(&vm->vcpu, events);
    vm->told = events;
    return clock_publish(&vm->clock, &vm->mem);
}

/* ---- The end ------------------------------------------------------------ */

/* How long peers have to take what a guest that has ended sent to them. */
#define DRAIN_NS 10000000000u

void serve_flush_streams(struct mayfly *vm, uint64_t until_ns)
{
    struct pollfd file;
    bool more = true;

    while (vsock_has_output(&vm->vsock) && vdev_ready(&vm->vsock.dev) == -EINTR)
        continue;
    while (more && vsock_has_output(&vm->vsock)) {
        vdev_want(&vm->vsock.dev, &file);
        if (file.fd < 0)
            return;
        int ready = sleep_until(vm, &file, 1, until_ns);
        if (ready > 0 && vdev_ready(&vm->vsock.dev) == -EINTR)
            continue;
        more = ready > 0 || ready == -EINTR;
    }
}

/* As with a process: what it has sent goes out, though it has ended. */
static void drain_streams(struct mayfly *vm)
{
    /* Elsewhere it is up to those who offered the connections. */
    if (!vm->options.serves)
        serve_flush_streams(vm,
                            min_u64(os_now_ns() + DRAIN_NS, vm->deadline_ns));
}

void serve_finish(struct mayfly *vm, struct mayfly_result *result)
{
    struct mayfly_result late = *result;

    if (vm->has_io)
        io_stop(&vm->io);
    if (result->end == MAYFLY_EXITED || result->end == MAYFLY_CRASHED ||
        result->end == MAYFLY_AT_SNAPSHOT) {
        bool ended;

        do
            ended = serve_all(vm, &late);
        while (!ended && vm->unfinished);
        if (ended)
            *result = late;
        if (!ended && late.end != MAYFLY_AT_SNAPSHOT)
            drain_streams(vm);
    } else if (result->end != MAYFLY_SERVED) {
        /* Somebody wants it to end now: one attempt. */
        if (vdev_set_serve(&vm->native.set, VDEV_SET_ALL) == -EINTR)
            return;
    }
}
