/* SPDX-License-Identifier: MIT */
/* Going on from a snapshot: a VM whose guest is in the middle of something. */
#include <errno.h>
#include <string.h>
#include <sys/file.h>

#include "vmm/base/error.h"
#include "vmm/base/os.h"
#include "vmm/snapshot.h"
#include "vmm/devices.h"
#include "vmm/template.h"

/* ---- What is given, and what is needed --------------------------------- */

static int check_count(const char *what, unsigned needed, unsigned given,
                       char *error)
{
    if (needed == given)
        return 0;
    return error_set(error, -EINVAL, "the guest has %u %s, but %u %s given",
                     needed, what, given, given == 1 ? "is" : "are");
}

static int check_options(const struct mayfly *vm,
                         const struct snapshot_state *state, char *error)
{
    const struct mayfly_options *options = &vm->options;
    int result =
        check_count("disk", state->disk_count, options->disk_count, error);

    if (!result)
        result =
            check_count("network", state->net_count, options->net_count, error);
    if (!result && options->transport != MAYFLY_TRANSPORT_NATIVE)
        result = error_set(error, -EINVAL,
                           "a snapshot goes on with the native transport");
    if (!result && options->share_count > 0)
        result =
            error_set(error, -EINVAL, "a guest in a snapshot has no shares");
    if (!result && vm_has_sockets(options) && !state->sockets)
        result =
            error_set(error, -EINVAL, "a guest without streams cannot get any");
    return result;
}

/* Once for all time: it was taken where two VMs would be the same one. */
static int claim(const struct snapshot *snapshot, char *error)
{
    const off_t at = offsetof(struct snapshot_header, claimed);
    uint32_t claimed = 0;
    int result;

    if (!(snapshot->header.flags & SNAPSHOT_ONCE))
        return 0;
    result = (int)os_syscall(SYS_flock, snapshot->fd, LOCK_EX);
    if (result)
        return error_system(error, result, "cannot lock the snapshot");
    if (os_pread(snapshot->fd, &claimed, sizeof(claimed), at) !=
        sizeof(claimed))
        result = -EIO;
    else if (claimed)
        result = -EBUSY;
    claimed = 1;
    if (!result && os_pwrite(snapshot->fd, &claimed, sizeof(claimed), at) !=
                       sizeof(claimed))
        result = -EACCES;
    os_syscall(SYS_flock, snapshot->fd, LOCK_UN);
    if (result == -EBUSY)
        return error_set(error, result,
                         "a VM went on from this snapshot already; it was "
                         "taken at a moment from which only one can");
    if (result)
        return error_system(error, result,
                            "cannot note in the snapshot that a VM goes on "
                            "from it, as only one can");
    return 0;
}

/* ---- What is new in this VM -------------------------------------------- */

static int write_field(const struct mayfly *vm, size_t offset, const void *from,
                       size_t bytes)
{
    return gmem_write(&vm->mem, gpa(MF_BOOT_PAGE + offset), from, bytes);
}

#define WRITE_FIELD(vm, field, value)                          \
    write_field(vm, offsetof(struct mf_boot, field), &(value), \
                sizeof(((struct mf_boot *)0)->field))

/* Copies the options: the caller's may be gone when the VM is reset. */
static int take_options(struct mayfly *vm, char *error)
{
    const char *const *at = vm->options.guest_options;

    for (; at && *at; at++, vm->clone_optc++) {
        size_t bytes = strlen(*at) + 1;

        if (bytes > sizeof(vm->clone_strings) - vm->clone_bytes)
            return error_set(error, -E2BIG,
                             "options for the guest are longer than %zu bytes",
                             sizeof(vm->clone_strings));
        memcpy(vm->clone_strings + vm->clone_bytes, *at, bytes);
        vm->clone_bytes += (uint32_t)bytes;
    }
    return 0;
}

/* Without any, the guest keeps those that it has. */
static int write_options(struct mayfly *vm)
{
    const uint64_t at = MF_CLONE_STRINGS;
    int result;

    if (vm->clone_optc == 0)
        return 0;
    result = gmem_write(&vm->mem, gpa(at), vm->clone_strings, vm->clone_bytes);
    if (!result)
        result = WRITE_FIELD(vm, clone_strings, at);
    if (!result)
        result = WRITE_FIELD(vm, clone_optc, vm->clone_optc);
    return result;
}

static int renew_boot_page(struct mayfly *vm, const struct snapshot *snapshot,
                           char *error)
{
    struct {
        uint8_t seed[32];
        uint64_t generation;
    } fresh;
    const struct snapshot_state *state = snapshot->state;
    const uint64_t poll_ns = 0; /* until there is an I/O thread */
    const uint32_t snapshots = vm->options.snapshots & MAYFLY_SNAPSHOT_CALLS;
    const uint32_t stays = vm->options.resettable;
    ssize_t got = os_getrandom(&fresh, sizeof(fresh));
    int result;

    if (got != sizeof(fresh))
        return error_system(error, got < 0 ? (int)got : -EIO,
                            "cannot get a random seed");
    clock_resume(&vm->clock, vm->clock.now.tsc_khz, state->monotonic_ns,
                 state->clock_seq);
    fresh.generation |= 1; /* never the 0 that a VM starts with */
    result = WRITE_FIELD(vm, seed, fresh.seed);
    if (!result)
        result = WRITE_FIELD(vm, generation, fresh.generation);
    if (!result)
        result = WRITE_FIELD(vm, poll_ns, poll_ns);
    if (!result)
        result = WRITE_FIELD(vm, snapshot, snapshots);
    if (!result)
        result = WRITE_FIELD(vm, memory_stays, stays);
    if (!result)
        result = write_options(vm);
    explicit_bzero(&fresh, sizeof(fresh));
    if (!result)
        result = clock_publish(&vm->clock, &vm->mem);
    if (result)
        return error_system(error, result, "cannot write the boot page");
    /* At a hypercall that offers snapshots it looks by itself. */
    if (snapshot->header.flags & SNAPSHOT_ONCE)
        event_raise(&vm->native.events, MF_EVENT_GENERATION);
    return 0;
}

/* Where the guest is, for those who ask without running it. */
static void note_call(struct mayfly *vm, const struct snapshot *snapshot)
{
    vm->at_call = snapshot->header.flags & SNAPSHOT_IN_CALL;
    vm->call_at = snapshot->state->vcpu.regs[MF_RDI];
    vm->at_snapshot = false;
    vm->fresh = true;
}

int restore_renew(struct mayfly *vm, const struct snapshot *snapshot,
                  char *error)
{
    note_call(vm, snapshot);
    return renew_boot_page(vm, snapshot, error);
}

static int load_vcpu(struct mayfly *vm, const struct snapshot *snapshot,
                     char *error)
{
    int result =
        vcpu_load(&vm->vcpu, &vm->machine, &snapshot->state->vcpu, vm->xcr0);

    if (result == -EINVAL)
        return error_set(error, -ENOEXEC,
                         "a damaged snapshot: its registers make no sense");
    if (result)
        return error_system(error, result, "cannot load the processor");
    if (vm->image.upcall_entry)
        vcpu_allow_interrupts(&vm->vcpu);
    return 0;
}

/* ---- All of it --------------------------------------------------------- */

static int prepare_marks(struct mayfly *vm, char *error)
{
    if (vm->options.resettable && reset_prepare(vm))
        return error_set(error, -ENOMEM, "no memory for marks");
    return 0;
}

static int map_memory(struct mayfly *vm, const struct snapshot *snapshot,
                      char *error)
{
    int result = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(vm->machine.ram) && !result; i++)
        result = vm_map_ram(vm, &vm->machine.ram[i], error);
    if (!result)
        result = prepare_marks(vm, error);
    if (!result)
        result = snapshot_map(snapshot, &vm->ram, &vm->mapped_end, error);
    if (result)
        return result;
    if (vm->mapped_end)
        result = snapshot_guard(&vm->ram, snapshot->fd, &vm->memory_lost);
    if (result)
        return error_system(error, result, "cannot watch over its memory");
    result = machine_rebuild(&vm->machine, &vm->image, &vm->ram);
    if (result)
        return error_system(error, result, "cannot build the machine");
    return vm_give_ram(vm, error);
}

/* A template's memory has all of that. */
static int map_template(struct mayfly *vm, char *error)
{
    int result = template_map(vm->template, vm, error);

    if (!result)
        result = prepare_marks(vm, error);
    if (result)
        return result;
    template_warm(vm->template, &vm->ram);
    return vm_give_ram(vm, error);
}

static int build(struct mayfly *vm, const struct snapshot *snapshot,
                 char *error)
{
    const struct snapshot_state *state = snapshot->state;
    int result = check_options(vm, state, error);

    if (result)
        return result;
    /* What the options could not know. */
    vm->options.entropy = state->entropy;
    vm->options.balloon = state->balloon;
    vm->options.sockets = state->sockets;
    if (devices_count(&vm->options) != snapshot->header.device_count)
        return error_set(error, -ENOEXEC, "a damaged snapshot: its devices");
    vm->image = snapshot->image;
    vm->machine = snapshot->machine;
    vm->from_snapshot = true;
    result = vm->template ? map_template(vm, error)
                          : map_memory(vm, snapshot, error);
    if (result)
        return result;
    vm_note_stage(vm, MAYFLY_STAGE_MEMORY);
    result = take_options(vm, error);
    if (result)
        return result;
    result = vm_connect(vm, snapshot->devices, error);
    if (!result)
        result = restore_renew(vm, snapshot, error);
    if (!result)
        result = load_vcpu(vm, snapshot, error);
    if (!result)
        result = claim(snapshot, error);
    if (result)
        return result;
    vm->loaded = true;
    vm_note_stage(vm, MAYFLY_STAGE_IMAGE);
    return 0;
}

/* For a VM that is reset; what it keeps of the snapshot is taken out of it. */
static int keep(struct mayfly *vm, struct snapshot *snapshot, char *error)
{
    int result = vm->options.resettable ? reset_keep(vm, snapshot) : 0;

    return result ? error_system(error, result, "cannot keep the snapshot") : 0;
}

static int check_new(const struct mayfly *vm, char *error)
{
    if (vm->loaded || vm->ram.count)
        return error_set(error, -EBUSY, "this VM has an image already");
    return 0;
}

int mayfly_restore(struct mayfly *vm, int snapshot_fd, char *error)
{
    unsigned long calls = os_calls;
    struct snapshot snapshot;
    int result = check_new(vm, error);

    if (!result)
        result = snapshot_read(&snapshot, snapshot_fd, error);
    if (result)
        return result;
    result = snapshot_check_host(&snapshot, error);
    if (!result)
        result = build(vm, &snapshot, error);
    if (!result)
        result = keep(vm, &snapshot, error);
    snapshot_close(&snapshot);
    vm->os_calls += os_calls - calls;
    return result;
}

int mayfly_clone(struct mayfly *vm, const struct mayfly_template *template,
                 char *error)
{
    unsigned long calls = os_calls;
    struct snapshot copy = {.state = NULL};
    int result = check_new(vm, error);

    if (result)
        return result;
    vm->template = template;
    result = build(vm, &template->snapshot, error);
    if (!result && vm->options.resettable) {
        result = template_copy(template, &copy);
        if (result)
            error_system(error, result, "cannot keep the snapshot");
        else
            result = keep(vm, &copy, error);
        snapshot_close(&copy);
    }
    vm->os_calls += os_calls - calls;
    return result;
}
