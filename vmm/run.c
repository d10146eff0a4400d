/* SPDX-License-Identifier: MIT */
/* The run loop: enter the guest, find out why it stopped, do it, go on. */
#include "vmm/serve.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"
#include "vmm/devices.h"
#include "vmm/populate.h"
#include "vmm/snapshot.h"

/* How often the guest's clock is brought up to date while it computes. */
#define CLOCK_UPDATE_NS 1000000000ull

/* How long a guest may need to get through an exception, about. */
#define BUSY_NS 50000

/* ---- Signals ------------------------------------------------------------ */

/* For the signal handler: the vCPU that this thread runs. */
static _Thread_local struct vcpu *running;

static void on_kick(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    if (running)
        vcpu_interrupt(running);
    else if (info->si_code == SI_TIMER)
        tick_stray(info->si_timerid);
}

static int install_kick(void)
{
    struct sigaction action = {
        .sa_sigaction = on_kick,
        .sa_flags = SA_SIGINFO,
    };

    return os_sigaction(MAYFLY_KICK_SIGNAL, &action, NULL);
}

/* Makes the VM's thread look at what was asked of it. Signal handlers, too. */
static void call_thread(struct mayfly *vm)
{
    int saved = errno;
    pid_t thread;

    if (running == &vm->vcpu)
        vcpu_interrupt(&vm->vcpu);
    else if ((thread = atomic_load(&vm->thread)) != 0)
        syscall(SYS_tgkill, getpid(), thread, MAYFLY_KICK_SIGNAL);
    errno = saved;
}

void mayfly_stop(struct mayfly *vm)
{
    atomic_store(&vm->stop, true);
    call_thread(vm);
}

void mayfly_request_snapshot(struct mayfly *vm)
{
    if (!(vm->options.snapshots & MAYFLY_SNAPSHOT_ANYWHERE))
        return;
    atomic_store(&vm->snapshot_wanted, true);
    call_thread(vm);
}

void mayfly_resize(struct mayfly *vm)
{
    atomic_store(&vm->resized, true);
    call_thread(vm);
}

bool mayfly_takes_signals(const struct mayfly *vm)
{
    return vm->image.signals;
}

bool mayfly_signal(struct mayfly *vm, int number)
{
    if (!signals_send(&vm->signals, number))
        return false;
    call_thread(vm);
    return true;
}

/* ---- Before and after ---------------------------------------------------- */

/*
 * A number for this thread that no other one of the process ever has;
 * pthread_self() may be that of one that has ended.
 */
static uint64_t this_thread(void)
{
    static _Atomic uint64_t last;
    static _Thread_local uint64_t number;

    if (!number)
        number = atomic_fetch_add(&last, 1) + 1;
    return number;
}

/* The tick interrupts one thread: the one that runs the VM now. */
static int take_tick(struct mayfly *vm, char *error)
{
    int result = tick_join(MAYFLY_KICK_SIGNAL, &vm->tick, &vm->run_thread);

    if (result)
        return error_system(error, result, "cannot make the tick's timer");
    vm->run_number = this_thread();
    return 0;
}

/* If it was another thread's, that one finds out by itself. */
static void leave_tick(struct mayfly *vm)
{
    if (vm->run_number == this_thread())
        tick_leave();
    vm->run_number = 0;
}

int vm_prepare_run(struct mayfly *vm, char *error)
{
    int result;

    if (!vm->loaded)
        return error_set(error, -EINVAL, "this VM has no image");
    if (vm->run_number)
        return vm->run_number == this_thread() ? 0 : take_tick(vm, error);
    if (vm->options.snapshots) {
        result = snapshot_check(vm, error);
        if (result)
            return result;
        result = snapshot_prepare(vm);
        if (result)
            return error_system(error, result, "cannot prepare for a snapshot");
    }
    result = install_kick();
    if (result)
        return error_system(error, result, "cannot take the kick's signal");
    result = take_tick(vm, error);
    if (result)
        return result;
    result = serve_prepare(vm);
    if (result) {
        leave_tick(vm);
        return error_system(error, result, "cannot prepare an I/O thread");
    }
    return 0;
}

void vm_unprepare_run(struct mayfly *vm)
{
    serve_end(vm);
    leave_tick(vm);
    if (running == &vm->vcpu)
        running = NULL;
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

/* ---- Snapshots ---------------------------------------------------------- */

/*
 * The guest stands still, with `flags` for the snapshot: finishes what it was
 * in the middle of and what its devices have under way. Returns 0, or -EBUSY if
 * it is in the middle of an exception: soon it is not.
 */
static int stop_for_snapshot(struct mayfly *vm, uint32_t flags,
                             struct mayfly_result *result)
{
    int failure = vcpu_complete(&vm->vcpu);

    if (!failure && !vcpu_is_at_rest(&vm->vcpu))
        failure = -EBUSY;
    if (failure)
        return failure;
    result->end = MAYFLY_AT_SNAPSHOT;
    vm->at_snapshot = true;
    vm->snapshot_flags = flags;
    return 0;
}

/* MF_HC_SNAPSHOT: the guest says that this is a good moment. */
static int offer_snapshot(struct mayfly *vm, uint64_t moment,
                          struct mayfly_result *result, bool *ended)
{
    int failure;

    vm->stats.hypercall_snapshot++;
    vcpu_set_result(&vm->vcpu, 0);
    *ended = moment < 32 && (vm->options.snapshots & MAYFLY_SNAPSHOT_CALLS &
                             UINT32_C(1) << moment);
    if (!*ended)
        return 0;
    failure = stop_for_snapshot(vm, SNAPSHOT_AT_POINT, result);
    if (failure == -EBUSY)
        *ended = false; /* from a fault handler, say: not now */
    return failure == -EBUSY ? 0 : failure;
}

/* Whoever runs the VM wants one, wherever the guest is. */
static int take_snapshot_anywhere(struct mayfly *vm,
                                  struct mayfly_result *result, bool *ended)
{
    int failure;

    if (!atomic_load(&vm->snapshot_wanted))
        return 0;
    failure = stop_for_snapshot(vm, SNAPSHOT_ONCE, result);
    if (failure == -EBUSY)
        return tick_arm(vm->tick, os_now_ns() + BUSY_NS);
    atomic_store(&vm->snapshot_wanted, false);
    *ended = !failure;
    return failure;
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
        return serve_wait(vm, stop->args[0], stop->args[1], result, ended);
    case MF_HC_KICK:
        vm->stats.hypercall_kick++;
        *ended = serve_kick(vm, stop->args[0], true, result);
        vcpu_set_result(&vm->vcpu, 0);
        upcall_check_timer(&vm->upcalls, clock_guest_ns(&vm->clock));
        return 0;
    case MF_HC_CRASH:
        vm->stats.hypercall_crash++;
        crash_reported(vm, stop->args[0], result);
        return 0;
    case MF_HC_POPULATE:
        vm->stats.hypercall_populate++;
        *ended = false;
        vcpu_set_result(&vm->vcpu,
                        populate(&vm->mem, stop->args[0], stop->args[1]));
        return 0;
    case MF_HC_CALL:
        vm->stats.hypercall_call++;
        vcpu_set_result(&vm->vcpu, 0);
        vm->at_call = true;
        vm->call_at = stop->args[0];
        vm->snapshot_flags = SNAPSHOT_IN_CALL;
        result->end = MAYFLY_AT_CALL;
        return 0;
    case MF_HC_SNAPSHOT:
        return offer_snapshot(vm, stop->args[0], result, ended);
    default:
        crash_here(vm, MAYFLY_CRASH_HYPERCALL, stop->number, result);
        return 0;
    }
}

/* Interrupts the guest if it wants to be; it has just been stopped by a signal,
 * so it computes. */
static int deliver_upcall(struct mayfly *vm)
{
    if (!upcall_due(&vm->upcalls))
        return 0;
    int failure = vcpu_interrupt_guest(&vm->vcpu, &vm->mem, vm->upcalls.entry,
                                       MF_UPCALL_STACK + MF_PAGE_BYTES);
    if (failure == -EBUSY) {
        vm->told = UINT64_MAX; /* not before the next stop, which is near */
        return tick_arm(vm->tick, os_now_ns() + BUSY_NS);
    }
    if (failure)
        return failure;
    upcall_begin(&vm->upcalls);
    vm->stats.injections++;
    return 0;
}

/*
 * The guest touched memory that is not there. Returns whether that was a
 * device's register, and has been seen to.
 */
static bool do_access(struct mayfly *vm, const struct vcpu_access *access,
                      struct mayfly_result *result, bool *ended)
{
    uint64_t device;
    bool kicked;

    if (!devices_access(vm, access, &device, &kicked))
        return false;
    vm->stats.exits_registers++;
    *ended = device && serve_kick(vm, device, kicked, result);
    return true;
}

/*
 * If the snapshot's file was cut short, anywhere, this byte is gone, which
 * on_bus_error() notes. KVM itself tells of pages that it cannot read, but lets
 * a guest that writes to one try for ever (kvm_pvm).
 */
static void look_at_memory(const struct mayfly *vm)
{
    if (vm->mapped_end)
        (void)*(const volatile uint8_t *)vm->mapped_end;
}

/* A signal came: the tick, a stop, or one that is none of our business. */
static int do_tick(struct mayfly *vm, struct mayfly_result *result, bool *ended)
{
    uint64_t now = os_now_ns();

    atomic_store(&vm->signalled, false);
    look_at_memory(vm);
    *ended = serve_must_end(vm, result) ||
             (vm->options.serves ? serve_unasked(vm, now, result)
                                 : serve_all(vm, result));
    if (*ended)
        return 0;
    tick_came(vm->tick, now);
    if (now - vm->clock.updated_ns >= CLOCK_UPDATE_NS) {
        clock_update(&vm->clock);
        int failure = clock_publish(&vm->clock, &vm->mem);
        if (failure)
            return failure;
    }
    serve_tick(vm);
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
        if (do_access(vm, &stop->access, result, ended))
            return 0;
        crash_here(vm, MAYFLY_CRASH_MEMORY, stop->detail, result);
        return 0;
    case VCPU_EXIT_KVM:
        crash_here(vm, MAYFLY_CRASH_KVM, stop->detail, result);
        return 0;
    }
    return -EINVAL;
}

/*
 * Host time at which the guest wants its timer event, is to be looked after, or
 * has to end; UINT64_MAX: never.
 */
static uint64_t timer_due(const struct mayfly *vm)
{
    uint64_t guest_ns = upcall_deadline(&vm->upcalls);
    uint64_t due_ns = min_u64(vm->deadline_ns, vm->look_ns);

    if (!guest_ns)
        return due_ns;
    return min_u64(due_ns, clock_host_from_guest(&vm->clock, guest_ns));
}

/*
 * Runs the guest. An upcall that is due already stops it before its next
 * instruction, when the one that it is in the middle of is completed.
 */
static int enter_guest(struct mayfly *vm, struct vcpu_stop *stop)
{
    int failure = tick_arm(vm->tick, timer_due(vm));

    if (failure)
        return failure;
    atomic_store(&vm->computing, true);
    /* After that: what comes now is on_event()'s to tell. */
    if (upcall_due(&vm->upcalls) & ~vm->told)
        vcpu_interrupt(&vm->vcpu);
    vm->told = 0;
    failure = vcpu_run(&vm->vcpu, stop);
    atomic_store_explicit(&vm->computing, false, memory_order_relaxed);
    return failure;
}

static int run_until_end(struct mayfly *vm, struct mayfly_result *result,
                         char *error)
{
    bool ended = serve_must_end(vm, result);

    vm_note_stage(vm, MAYFLY_STAGE_ENTRY);
    while (!ended) {
        struct vcpu_stop stop;
        int failure = enter_guest(vm, &stop);

        if (failure == -EFAULT && vm->from_snapshot) {
            atomic_store(&vm->memory_lost, true); /* KVM found that out */
        } else if (failure) {
            return error_system(error, failure, "cannot run the guest");
        } else {
            vm->stats.exits++;
            vm->stopped_by_hypercall = stop.exit == VCPU_EXIT_HYPERCALL;
            failure = handle(vm, &stop, result, &ended);
        }
        ended = ended || atomic_load(&vm->memory_lost);
        if (!failure && !ended)
            failure = take_snapshot_anywhere(vm, result, &ended);
        if (failure)
            return error_system(error, failure, "cannot serve the guest");
    }
    return 0;
}

/* Host monotonic time in `timeout_ns`; UINT64_MAX for never. */
static uint64_t deadline(uint64_t timeout_ns)
{
    uint64_t now = os_now_ns();

    if (timeout_ns == 0 || timeout_ns > UINT64_MAX - now)
        return UINT64_MAX;
    return now + timeout_ns;
}

int vm_run(struct mayfly *vm, uint64_t timeout_ns, struct mayfly_result *result,
           char *error)
{
    int failure;

    running = &vm->vcpu;
    atomic_store(&vm->thread, vm->run_thread);
    vm->at_snapshot = vm->at_call = vm->fresh = false;
    vm->deadline_ns = deadline(timeout_ns);
    serve_begin(vm);
    failure = run_until_end(vm, result, error);
    if (!failure)
        serve_finish(vm, result);
    if (!failure && atomic_load(&vm->memory_lost))
        crash_here(vm, MAYFLY_CRASH_LOST, 0, result);
    if (failure && vm->has_io)
        io_stop(&vm->io); /* nobody is there any more to be told anything */
    atomic_store(&vm->thread, 0);
    running = NULL;
    return failure;
}

int mayfly_run(struct mayfly *vm, struct mayfly_result *result, char *error)
{
    unsigned long calls = os_calls;
    int failure = vm_prepare_run(vm, error);

    memset(result, 0, sizeof(*result));
    if (!failure)
        failure = vm_run(vm, vm->options.timeout_ns, result, error);
    vm_note_stage(vm, MAYFLY_STAGE_END);
    vm->os_calls += os_calls - calls;
    return failure;
}
