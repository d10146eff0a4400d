/* SPDX-License-Identifier: MIT */
/* Making a VM out of its parts, in the order in which a machine comes up. */
#include "vmm/devices.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#include "vmm/base/error.h"
#include "vmm/base/log.h"
#include "vmm/base/os.h"
#include "vmm/room.h"
#include "vmm/snapshot.h"

/* ---- Parts ------------------------------------------------------------ */

void vm_note_stage(struct mayfly *vm, enum mayfly_stage stage)
{
    if (!vm->stats.stage_ns[stage])
        vm->stats.stage_ns[stage] = os_now_ns();
}

/*
 * With huge pages a first touch provides 2 MiB: ten times faster for a guest
 * that touches much, slower and larger for one that touches little. What the
 * monitor and every guest touch, below 2 MiB, stays small. A host without them
 * is no failure.
 */
static void want_huge_pages(const struct gmem_region *region)
{
    const uint64_t small = 2 << 20;

    if (region->bytes > small)
        os_syscall(SYS_madvise, (uint8_t *)region->host + small,
                   region->bytes - small, MADV_HUGEPAGE);
}

int vm_map_ram(struct mayfly *vm, const struct mf_range *range, char *error)
{
    void *host = NULL;

    if (range->bytes == 0)
        return 0;
    int result =
        os_mmap(range->bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, &host);
    if (result)
        return error_system(error, result, "cannot map %llu MiB of memory",
                            (unsigned long long)(range->bytes >> 20));
    gmem_add(&vm->ram, range->base, range->bytes, host);
    if (vm->options.huge_pages)
        want_huge_pages(&vm->ram.regions[vm->ram.count - 1]);
    return 0;
}

int vm_give_ram(struct mayfly *vm, char *error)
{
    int result = 0;

    for (unsigned i = 0; i < vm->ram.count && !result; i++) {
        const struct gmem_region *region = &vm->ram.regions[i];

        result = kvm_add_memory(&vm->kvm, region->base, region->bytes,
                                region->host, vm->ram.marks != NULL, error);
    }
    return result;
}

static void free_ram(struct mayfly *vm)
{
    unsigned mappings = vm->ram_rooms ? 0 : vm->ram.count;

    for (unsigned i = 0; i < mappings; i++)
        os_munmap(vm->ram.regions[i].host, vm->ram.regions[i].bytes);
    if (vm->ram_rooms)
        rooms_give(vm->ram_rooms, vm->ram.regions[0].host);
    vm->ram.count = 0;
}

static int start_clock(struct mayfly *vm, char *error)
{
    int khz = kvm_tsc_khz(&vm->kvm);

    if (khz <= 0)
        return error_set(error, khz ? khz : -ENOTSUP,
                         "KVM does not know the rate of the TSC");
    clock_init(&vm->clock, (uint32_t)khz);
    return 0;
}

/* Fills the machine around the loaded image. */
static int build_machine(struct mayfly *vm, char *error)
{
    struct machine_boot boot = {
        .clock = vm->clock.now,
        .xcr0 = vm->xcr0,
        .hwcap = (uint32_t)getauxval(AT_HWCAP),
        .hwcap2 = (uint32_t)getauxval(AT_HWCAP2),
        .args = vm->options.args,
        .env = vm->options.env,
        .options = vm->options.guest_options,
        .snapshot = vm->options.snapshots,
    };
    long got = os_syscall(SYS_getrandom, boot.seed, sizeof(boot.seed), 0);

    if (got != sizeof(boot.seed))
        return error_system(error, got < 0 ? (int)got : -EIO,
                            "cannot get a random seed");
    int result =
        machine_build(&vm->machine, &vm->image, &boot, &vm->ram, error);
    explicit_bzero(&boot.seed, sizeof(boot.seed));
    return result;
}

/* ---- Life cycle ------------------------------------------------------- */

int mayfly_create(const struct mayfly_options *options, struct mayfly **out,
                  char *error)
{
    unsigned long calls = os_calls;
    void *fresh = NULL;

    if (options->disk_count > MAYFLY_DISKS_MAX)
        return error_set(error, -EINVAL, "%u disks asked for, at most %d",
                         options->disk_count, MAYFLY_DISKS_MAX);
    if (options->net_count > MAYFLY_NETS_MAX)
        return error_set(error, -EINVAL, "%u networks asked for, at most %d",
                         options->net_count, MAYFLY_NETS_MAX);
    if (options->share_count > MAYFLY_SHARES_MAX)
        return error_set(error, -EINVAL, "%u shares asked for, at most %d",
                         options->share_count, MAYFLY_SHARES_MAX);
    if (options->stream_count > MAYFLY_STREAMS_MAX)
        return error_set(error, -EINVAL, "%u streams asked for, at most %d",
                         options->stream_count, MAYFLY_STREAMS_MAX);
    if (options->connect_count > MAYFLY_CONNECTS_MAX)
        return error_set(error, -EINVAL, "%u addresses asked for, at most %d",
                         options->connect_count, MAYFLY_CONNECTS_MAX);
    if (devices_count(options) > MAYFLY_DEVICES_MAX)
        return error_set(error, -EINVAL,
                         "%u devices asked for, the consoles among them, at "
                         "most %d",
                         devices_count(options), MAYFLY_DEVICES_MAX);
    /* Not from malloc(): its own start-up would cost four calls. */
    int result = room_take(sizeof(struct mayfly), &fresh);

    if (result)
        return error_system(error, result, "cannot create a VM");
    struct mayfly *vm = fresh;
    vm->options = *options;
    vm->image_fd = -1;
    vm->stats.stage_ns[MAYFLY_STAGE_CREATE] = os_now_ns();

    result = kvm_create(&vm->kvm, error);
    if (result)
        goto free_vm;
    vm_note_stage(vm, MAYFLY_STAGE_VM);
    result = vcpu_create(&vm->vcpu, &vm->kvm, &vm->xcr0, error);
    if (result)
        goto destroy_kvm;
    vm_note_stage(vm, MAYFLY_STAGE_VCPU);
    result = start_clock(vm, error);
    if (result)
        goto destroy_vcpu;
    vm->os_calls += os_calls - calls;
    *out = vm;
    return 0;

destroy_vcpu:
    vcpu_destroy(&vm->vcpu);
destroy_kvm:
    kvm_destroy(&vm->kvm);
free_vm:
    room_give(vm, sizeof(*vm));
    return result;
}

int vm_connect(struct mayfly *vm, const struct native_state *devices,
               char *error)
{
    int result;

    if (vm->image.paging)
        kvm_report_failures(&vm->kvm);
    vm->mem = vm->ram;
    machine_guest_memory(&vm->machine, &vm->mem);
    result = devices_add(vm, devices, error);
    if (result)
        return result;
    result = upcall_init(&vm->upcalls, &vm->mem, &vm->native.events,
                         vm->image.upcall_entry);
    if (!result && vm->image.signals)
        result = signals_init(&vm->signals, &vm->mem, &vm->native.events);
    return result ? error_system(error, result, "cannot find the boot page")
                  : 0;
}

/*
 * The whole way from an image to a processor that is about to run it.
 */
int mayfly_load(struct mayfly *vm, int image_fd, char *error)
{
    unsigned long calls = os_calls;
    uint64_t mem_bytes = vm->options.mem_bytes;
    unsigned registers = vm->options.transport == MAYFLY_TRANSPORT_MMIO
                             ? devices_count(&vm->options)
                             : 0;

    if (vm->loaded || vm->ram.count)
        return error_set(error, -EBUSY, "this VM has an image already");
    int result = image_read(&vm->image, image_fd, error);
    if (result)
        return result;
    if (!mem_bytes)
        mem_bytes = max_u64(MAYFLY_MEM_DEFAULT,
                            machine_mem_bytes_min(&vm->image, registers));
    result =
        machine_plan(&vm->machine, &vm->image, mem_bytes, registers, error);
    for (unsigned i = 0; i < ARRAY_SIZE(vm->machine.ram) && !result; i++)
        result = vm_map_ram(vm, &vm->machine.ram[i], error);
    if (!result)
        result = vm_give_ram(vm, error);
    if (result)
        return result;
    vm_note_stage(vm, MAYFLY_STAGE_MEMORY);

    result = image_load(&vm->image, image_fd, &vm->ram, error);
    if (!result)
        result = build_machine(vm, error);
    if (result)
        return result;
    result = vm_connect(vm, NULL, error);
    if (result)
        return result;
    vcpu_set_entry(&vm->vcpu, &vm->machine, vm->image.entry);
    if (vm->image.upcall_entry)
        vcpu_allow_interrupts(&vm->vcpu);
    vm->image_fd = image_fd;
    vm->loaded = true;
    vm_note_stage(vm, MAYFLY_STAGE_IMAGE);
    vm->os_calls += os_calls - calls;
    return 0;
}

void mayfly_destroy(struct mayfly *vm)
{
    if (!vm)
        return;
    vm_unprepare_run(vm);
    snapshot_finish(vm);
    devices_remove(vm);
    vcpu_destroy(&vm->vcpu);
    kvm_destroy(&vm->kvm);
    snapshot_unguard(&vm->memory_lost);
    reset_finish(vm);
    free_ram(vm);
    room_give(vm, sizeof(*vm));
}

void mayfly_set_log_level(enum mayfly_log_level level)
{
    log_set_level((enum log_level)level);
}

/* ---- Reports ----------------------------------------------------------- */

const char *mayfly_stage_name(enum mayfly_stage stage)
{
    static const char *const names[MAYFLY_STAGE_COUNT] = {
        [MAYFLY_STAGE_CREATE] = "create",
        [MAYFLY_STAGE_VM] = "vm",
        [MAYFLY_STAGE_VCPU] = "vcpu",
        [MAYFLY_STAGE_MEMORY] = "memory",
        [MAYFLY_STAGE_IMAGE] = "image",
        [MAYFLY_STAGE_CONFINED] = "confined",
        [MAYFLY_STAGE_ENTRY] = "entry",
        [MAYFLY_STAGE_START] = "start",
        [MAYFLY_STAGE_MAIN] = "main",
        [MAYFLY_STAGE_FIRST_OUTPUT] = "first-output",
        [MAYFLY_STAGE_READY] = "ready",
        [MAYFLY_STAGE_END] = "end",
    };

    return stage < MAYFLY_STAGE_COUNT ? names[stage] : "";
}

/* Bytes of RAM for which the host has pages. */
static uint64_t touched_bytes(const struct gmem *mem)
{
    unsigned char resident[4096];
    const uint64_t page = 4096, step = sizeof(resident) * page;
    uint64_t pages = 0;

    for (unsigned i = 0; i < mem->count; i++) {
        const struct gmem_region *region = &mem->regions[i];

        for (uint64_t at = 0; at < region->bytes; at += step) {
            uint64_t bytes = min_u64(step, region->bytes - at);

            if (os_syscall(SYS_mincore, region->host + at, bytes, resident))
                return 0;
            for (uint64_t p = 0; p < bytes / page; p++)
                pages += resident[p] & 1;
        }
    }
    return pages * page;
}

static const char *syscall_name(uint32_t number)
{
    static const char *const names[] = {
#include "syscall_names.h"
    };

    if (number >= ARRAY_SIZE(names) || !names[number])
        return "unknown";
    return names[number];
}

/* The guest's own words: copied, bounded, shown, never acted on. */
static void read_guest_notes(const struct mayfly *vm,
                             struct mayfly_stats *stats)
{
    struct mf_boot boot;
    const enum mayfly_stage stages[] = {
        [MF_STAMP_START] = MAYFLY_STAGE_START,
        [MF_STAMP_MAIN] = MAYFLY_STAGE_MAIN,
    };

    if (gmem_read(&vm->mem, gpa(MF_BOOT_PAGE), &boot, sizeof(boot)))
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(stages); i++) {
        uint64_t ns = clock_host_from_tsc(&vm->clock, boot.stamps[i]);

        if (boot.stamps[i] && ns >= stats->stage_ns[MAYFLY_STAGE_ENTRY] &&
            ns <= os_now_ns())
            stats->stage_ns[stages[i]] = ns;
    }
    for (unsigned i = 0; i < MF_MISSING_MAX; i++) {
        const struct mf_missing *missing = &boot.missing[i];

        if (!missing->count)
            continue;
        stats->missing[stats->missing_count++] = (struct mayfly_missing){
            .name = syscall_name(missing->number),
            .number = missing->number,
            .count = missing->count,
        };
    }
}

static void get_io_stats(const struct mayfly *vm, struct mayfly_stats *stats)
{
    stats->upcall_signals = atomic_load(&vm->upcall_signals);
    stats->io_thread = vm->io.stats.rounds > 0;
    stats->io_rounds = vm->io.stats.rounds;
    stats->io_sleeps = vm->io.stats.sleeps;
    stats->io_parks = vm->io.stats.parks;
    stats->io_moves = vm->io.stats.moves;
    stats->io_displaced = vm->io.stats.displaced;
    stats->io_poll_ns = vm->io.stats.poll_ns;
    stats->monitor_calls += vm->io.stats.os_calls;
}

void mayfly_get_stats(struct mayfly *vm, struct mayfly_stats *stats)
{
    *stats = vm->stats;
    stats->monitor_calls = vm->os_calls;
    devices_get_stats(vm, stats);
    get_io_stats(vm, stats);
    stats->mem_bytes = vm->machine.mem_bytes;
    stats->mem_touched_bytes = touched_bytes(&vm->ram);
    if (vm->loaded)
        read_guest_notes(vm, stats);
}

void mayfly_get_counts(const struct mayfly *vm, struct mayfly_counts *counts)
{
    const struct console *out = &vm->console, *err = &vm->errors;

    *counts = (struct mayfly_counts){
        .exits = vm->stats.exits,
        .reset_pages = vm->stats.reset_pages,
        .mem_bytes = vm->machine.mem_bytes,
        .lost_bytes = out->lost_bytes + err->lost_bytes,
        .lost_error = out->lost_error ? out->lost_error : err->lost_error,
    };
}

_Static_assert(MAYFLY_DEVICES_MAX == MF_DEVICES_MAX, "one limit");
_Static_assert(MAYFLY_STREAMS_MAX == VSOCK_LISTENERS_MAX &&
                   MAYFLY_CONNECTS_MAX == VSOCK_CONNECTS_MAX &&
                   sizeof(struct mayfly_connect) ==
                       sizeof(struct vsock_connect) &&
                   sizeof(struct mayfly_connected) ==
                       sizeof(struct vsock_connected),
               "one limit");
_Static_assert(MAYFLY_MISSING_MAX == MF_MISSING_MAX, "one limit");
_Static_assert(MAYFLY_ERROR_BYTES == ERROR_BYTES, "one limit");
_Static_assert((int)MAYFLY_LOG_WARN == (int)LOG_WARN &&
                   (int)MAYFLY_LOG_DEBUG == (int)LOG_DEBUG,
               "one order");
