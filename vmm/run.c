/* SPDX-License-Identifier: MIT */
/* The run loop: enter the guest, find out why it stopped, do it, go on. */
#include "vmm/vm.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"

/*
 * How long output may lie in a ring while the guest computes. An idle guest
 * waits in the monitor instead, where nothing ticks.
 */
#define TICK_NS 10000000ull

/* How often the guest's clock is brought up to date while it computes. */
#define CLOCK_UPDATE_NS 1000000000ull

/* ---- Signals ------------------------------------------------------------ */

/* The vCPU that this thread runs, for the signal handler. */
static _Thread_local struct vcpu *running;

static void on_kick(int number)
{
    (void)number;
    if (running)
        vcpu_interrupt(running);
}

static int install_kick(void)
{
    struct sigaction action = {.sa_handler = on_kick};

    return os_sigaction(MAYFLY_KICK_SIGNAL, &action, NULL);
}

void mayfly_stop(struct mayfly *vm)
{
    int saved = errno;
    pid_t thread;

    atomic_store(&vm->stop, true);
    if (running == &vm->vcpu)
        vcpu_interrupt(&vm->vcpu);
    else if ((thread = atomic_load(&vm->thread)) != 0)
        syscall(SYS_tgkill, getpid(), thread, MAYFLY_KICK_SIGNAL);
    errno = saved;
}

/* ---- The tick ----------------------------------------------------------- */

/* As the kernel has struct sigevent; libcs differ in naming the thread. */
struct kernel_sigevent {
    uint64_t value;
    int32_t signal;
    int32_t notify;
    int32_t thread;
    int32_t padding[11];
};

#define KERNEL_SIGEV_THREAD_ID 4

static int make_tick(struct mayfly *vm, pid_t thread)
{
    struct kernel_sigevent event = {
        .signal = MAYFLY_KICK_SIGNAL,
        .notify = KERNEL_SIGEV_THREAD_ID,
        .thread = thread,
    };
    int result = (int)os_syscall(SYS_timer_create, CLOCK_MONOTONIC, &event,
                                 &vm->tick.timer);

    vm->tick.made = result == 0;
    return result;
}

int vm_prepare_run(struct mayfly *vm, char *error)
{
    if (!vm->loaded)
        return error_set(error, -EINVAL, "this VM has no image");
    if (vm->tick.made)
        return 0;
    pid_t thread = (pid_t)os_syscall(SYS_gettid);
    int result = install_kick();
    if (!result)
        result = make_tick(vm, thread);
    if (result)
        return error_system(error, result, "cannot make the tick's timer");
    running = &vm->vcpu;
    atomic_store(&vm->thread, thread);
    return 0;
}

void vm_unprepare_run(struct mayfly *vm)
{
    if (vm->tick.made)
        os_syscall(SYS_timer_delete, vm->tick.timer);
    vm->tick = (struct tick){0};
    if (running == &vm->vcpu)
        running = NULL;
}

static struct timespec timespec_from_ns(uint64_t ns)
{
    return (struct timespec){
        .tv_sec = (time_t)(ns / 1000000000u),
        .tv_nsec = (long)(ns % 1000000000u),
    };
}

/* Makes the tick fire in `first_ns` and then regularly; 0 disarms it. */
static int set_tick(struct mayfly *vm, uint64_t now, uint64_t first_ns)
{
    struct itimerspec every = {0};

    if (first_ns) {
        every.it_value = timespec_from_ns(first_ns);
        every.it_interval = timespec_from_ns(TICK_NS);
    }
    int result =
        (int)os_syscall(SYS_timer_settime, vm->tick.timer, 0, &every, NULL);
    if (!result)
        vm->tick.next_ns = first_ns ? now + first_ns : 0;
    return result;
}

/*
 * Before the guest runs: the tick fires in time for its timer event, and every
 * TICK_NS anyway. Usually it is armed already and there is nothing to do.
 */
static int arm_tick(struct mayfly *vm)
{
    uint64_t guest_ns = upcall_deadline(&vm->upcalls);
    uint64_t due_ns =
        guest_ns ? clock_host_from_guest(&vm->clock, guest_ns) : UINT64_MAX;

    if (vm->tick.next_ns && due_ns >= vm->tick.next_ns)
        return 0;
    uint64_t now = os_now_ns();
    uint64_t first_ns = due_ns > now ? min_u64(due_ns - now, TICK_NS) : 1;
    return set_tick(vm, now, first_ns);
}

static int disarm_tick(struct mayfly *vm)
{
    return vm->tick.next_ns ? set_tick(vm, 0, 0) : 0;
}

/* ---- Limits and output -------------------------------------------------- */

/* Ends the run if somebody asked for it or time is up. */
static bool must_end(struct mayfly *vm, struct mayfly_result *result)
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
 * Serves all rings until there is nothing left to do. Returns whether the run
 * ends because of it.
 */
static bool serve(struct mayfly *vm, struct mayfly_result *result)
{
    bool ended = false;

    while (vdev_set_serve(&vm->native.set, VDEV_SET_ALL) == -EINTR && !ended)
        ended = must_end(vm, result);
    if (vm->console.output_bytes || vm->errors.output_bytes)
        vm_note_stage(vm, MAYFLY_STAGE_FIRST_OUTPUT);
    return ended || output_failed(vm, result);
}

/* ---- Waiting ------------------------------------------------------------ */

/*
 * Sleeps until a device's file is ready or it wants to be served, a signal, or
 * `until_ns` (host monotonic). Signals are
 * let in only while asleep, so that a stop cannot slip in between the look at
 * the flag and the sleep.
 */
static int sleep_until(struct mayfly *vm, uint64_t until_ns)
{
    struct vdev_set *set = &vm->native.set;
    struct pollfd files[MF_DEVICES_MAX];
    sigset_t all, before;
    int result = 0;

    until_ns = min_u64(until_ns, vdev_set_want(set, VDEV_SET_ALL, files));
    sigfillset(&all);
    os_sigmask(SIG_BLOCK, &all, &before);
    uint64_t now = os_now_ns();
    if (!atomic_load(&vm->stop) && now < until_ns) {
        struct timespec timeout = timespec_from_ns(until_ns - now);

        result = os_ppoll(files, set->count,
                          until_ns == UINT64_MAX ? NULL : &timeout, &before);
    }
    os_sigmask(SIG_SETMASK, &before, NULL);
    if (result == -EINTR)
        return disarm_tick(vm);
    if (result < 0)
        return result;
    if (result > 0 && vdev_set_ready(set, files) == -EINTR)
        return 0; /* asked again before the next sleep */
    return 0;
}

/*
 * MF_HC_WAIT: the guest has nothing to do before an event or a deadline.
 * Returns 0 or a negative errno; `*ended` tells that the run is over.
 */
static int wait_for_event(struct mayfly *vm, uint64_t seen, uint64_t guest_ns,
                          struct mayfly_result *result, bool *ended)
{
    uint64_t until_ns = clock_host_from_guest(&vm->clock, guest_ns);
    uint64_t timer_ns = upcall_deadline(&vm->upcalls);
    uint64_t events;

    if (timer_ns)
        until_ns =
            min_u64(until_ns, clock_host_from_guest(&vm->clock, timer_ns));
    for (;;) {
        upcall_check_timer(&vm->upcalls, clock_guest_ns(&vm->clock));
        *ended = serve(vm, result) || must_end(vm, result);
        if (*ended)
            return 0;
        events = event_read(&vm->native.events);
        if (events != seen || os_now_ns() >= until_ns)
            break;
        vm_note_stage(vm, MAYFLY_STAGE_READY);
        int failure = sleep_until(vm, min_u64(until_ns, vm->deadline_ns));
        if (failure)
            return failure;
    }
    /* The guest must see that its deadline has passed. */
    clock_update(&vm->clock);
    vcpu_set_result(&vm->vcpu, events);
    return clock_publish(&vm->clock, &vm->mem);
}

/* ---- Ends --------------------------------------------------------------- */

/* A crash that the vCPU's own registers describe. */
static void crash_here(struct mayfly *vm, enum mayfly_crash_kind kind,
                       uint64_t error, struct mayfly_result *result)
{
    struct mayfly_crash *crash = &result->crash;

    result->end = MAYFLY_CRASHED;
    *crash = (struct mayfly_crash){.kind = kind, .error = error};
    vcpu_get_regs(&vm->vcpu, crash->regs, &crash->rip, &crash->rflags);
    if (kind == MAYFLY_CRASH_MEMORY) {
        crash->has_address = true;
        crash->address = error;
    }
}

#define VECTOR_PF 14

/* MF_HC_CRASH: the guest's handlers tell what happened to it. */
static void crash_reported(struct mayfly *vm, uint64_t at,
                           struct mayfly_result *result)
{
    struct mayfly_crash *crash = &result->crash;
    struct mf_crash report;

    if (gmem_read(&vm->mem, gpa(at), &report, sizeof(report)) ||
        report.kind > MF_CRASH_ABORT ||
        (report.kind == MF_CRASH_FAULT && report.vector >= MF_FAULT_VECTORS)) {
        crash_here(vm, MAYFLY_CRASH_HYPERCALL, MF_HC_CRASH, result);
        return;
    }
    result->end = MAYFLY_CRASHED;
    *crash = (struct mayfly_crash){
        .kind = report.kind == MF_CRASH_FAULT ? MAYFLY_CRASH_FAULT
                                              : MAYFLY_CRASH_ABORT,
        .vector = report.vector,
        .error = report.error,
        .rip = report.rip,
        .rflags = report.rflags,
    };
    memcpy(crash->regs, report.regs, sizeof(crash->regs));
    if (report.kind != MF_CRASH_FAULT || report.vector != VECTOR_PF)
        return;
    crash->has_address =
        vcpu_get_fault_address(&vm->vcpu, &crash->address) == 0;
    crash->stack_overflow =
        crash->has_address && machine_is_guard(&vm->machine, crash->address);
}

/* ---- Hypercalls --------------------------------------------------------- */

/* Returns 0 or a negative errno; `*ended` tells that the run is over. */
static int do_hypercall(struct mayfly *vm, const struct vcpu_stop *stop,
                        struct mayfly_result *result, bool *ended)
{
    *ended = true;
    switch (stop->number) {
    case MF_HC_EXIT:
        vm->stats.hypercall_exit++;
        result->end = MAYFLY_EXITED;
        result->status = stop->args[0] & 0xff;
        return 0;
    case MF_HC_WAIT:
        vm->stats.hypercall_wait++;
        return wait_for_event(vm, stop->args[0], stop->args[1], result, ended);
    case MF_HC_KICK:
        vm->stats.hypercall_kick++;
        *ended = false;
        while (vdev_set_serve(&vm->native.set, stop->args[0]) == -EINTR &&
               !*ended)
            *ended = must_end(vm, result);
        *ended = *ended || output_failed(vm, result);
        vcpu_set_result(&vm->vcpu, 0);
        upcall_check_timer(&vm->upcalls, clock_guest_ns(&vm->clock));
        /* The `out` has to be completed before the guest is interrupted. */
        if (upcall_is_due(&vm->upcalls))
            vcpu_interrupt(&vm->vcpu);
        return 0;
    case MF_HC_CRASH:
        vm->stats.hypercall_crash++;
        crash_reported(vm, stop->args[0], result);
        return 0;
    default:
        crash_here(vm, MAYFLY_CRASH_HYPERCALL, stop->number, result);
        return 0;
    }
}

/* Input for buffers that a computing guest has posted. */
static void look_for_input(struct mayfly *vm)
{
    struct vdev_set *set = &vm->native.set;
    struct pollfd files[MF_DEVICES_MAX];

    vdev_set_want(set, VDEV_SET_ALL, files);
    if (os_poll(files, set->count, 0) > 0 &&
        vdev_set_ready(set, files) == -EINTR)
        return; /* the next tick looks again */
}

/* Interrupts the guest if it wants to be; it has just been stopped by a signal,
 * so it computes. */
static int deliver_upcall(struct mayfly *vm)
{
    if (!upcall_is_due(&vm->upcalls))
        return 0;
    int failure = vcpu_interrupt_guest(&vm->vcpu, &vm->mem, vm->upcalls.entry,
                                       MF_UPCALL_STACK + MF_PAGE_BYTES);
    if (failure)
        return failure == -EBUSY ? 0 : failure;
    upcall_begin(&vm->upcalls);
    vm->stats.injections++;
    return 0;
}

/* A signal came: the tick, a stop, or one that is none of our business. */
static int do_tick(struct mayfly *vm, struct mayfly_result *result, bool *ended)
{
    uint64_t now = os_now_ns();

    *ended = must_end(vm, result) || serve(vm, result);
    if (*ended)
        return 0;
    vm->tick.next_ns = now + TICK_NS;
    if (now - vm->clock.updated_ns >= CLOCK_UPDATE_NS) {
        clock_update(&vm->clock);
        int failure = clock_publish(&vm->clock, &vm->mem);
        if (failure)
            return failure;
    }
    look_for_input(vm);
    upcall_check_timer(&vm->upcalls, clock_guest_ns(&vm->clock));
    return deliver_upcall(vm);
}

/* What the guest could not do by itself. */
static int handle(struct mayfly *vm, const struct vcpu_stop *stop,
                  struct mayfly_result *result, bool *ended)
{
    *ended = true;
    switch (stop->exit) {
    case VCPU_EXIT_HYPERCALL:
        vm->stats.exits_hypercall++;
        return do_hypercall(vm, stop, result, ended);
    case VCPU_EXIT_SIGNAL:
        vm->stats.exits_interrupt++;
        return do_tick(vm, result, ended);
    case VCPU_EXIT_TRIPLE:
        crash_here(vm, MAYFLY_CRASH_TRIPLE, 0, result);
        return 0;
    case VCPU_EXIT_PORT:
        crash_here(vm, MAYFLY_CRASH_HYPERCALL, stop->detail, result);
        return 0;
    case VCPU_EXIT_MEMORY:
        crash_here(vm, MAYFLY_CRASH_MEMORY, stop->detail, result);
        return 0;
    case VCPU_EXIT_KVM:
        crash_here(vm, MAYFLY_CRASH_KVM, stop->detail, result);
        return 0;
    }
    return -EINVAL;
}

static int run_until_end(struct mayfly *vm, struct mayfly_result *result,
                         char *error)
{
    bool ended = must_end(vm, result);

    vm_note_stage(vm, MAYFLY_STAGE_ENTRY);
    while (!ended) {
        struct vcpu_stop stop;
        int failure = arm_tick(vm);

        if (!failure)
            failure = vcpu_run(&vm->vcpu, &stop);
        if (failure)
            return error_system(error, failure, "cannot run the guest");
        vm->stats.exits++;
        failure = handle(vm, &stop, result, &ended);
        if (failure)
            return error_system(error, failure, "cannot serve the guest");
    }
    return 0;
}

/* What the guest has written before it ended is still to be delivered. */
static void finish_output(struct mayfly *vm, struct mayfly_result *result)
{
    struct mayfly_result late = *result;

    if (result->end == MAYFLY_EXITED || result->end == MAYFLY_CRASHED) {
        if (serve(vm, &late))
            *result = late;
    } else {
        /* Somebody wants it to end now: one attempt. */
        if (vdev_set_serve(&vm->native.set, VDEV_SET_ALL) == -EINTR)
            return;
    }
}

/* Host monotonic time in `timeout_ns`; UINT64_MAX for never. */
static uint64_t deadline(uint64_t timeout_ns)
{
    uint64_t now = os_now_ns();

    if (timeout_ns == 0 || timeout_ns > UINT64_MAX - now)
        return UINT64_MAX;
    return now + timeout_ns;
}

int mayfly_run(struct mayfly *vm, struct mayfly_result *result, char *error)
{
    unsigned long calls = os_calls;
    int failure = vm_prepare_run(vm, error);

    memset(result, 0, sizeof(*result));
    if (failure)
        return failure;
    vm->deadline_ns = deadline(vm->options.timeout_ns);
    failure = run_until_end(vm, result, error);
    if (!failure)
        finish_output(vm, result);
    vm_note_stage(vm, MAYFLY_STAGE_END);
    atomic_store(&vm->thread, 0);
    running = NULL;
    vm->os_calls += os_calls - calls;
    return failure;
}
